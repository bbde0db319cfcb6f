"""Wire bytes of RTP video against cases reckoned by hand."""

import pytest

from benchmarks.rtp_cost import (
    PACKET_HEADER_BYTES,
    PayloadFormat,
    clip_wire_bytes,
    frame_wire_bytes,
    payload_bytes,
    wire_kbps,
)


def test_headers_of_a_packet() -> None:
    assert PACKET_HEADER_BYTES == 20 + 8 + 12 + 10


@pytest.mark.parametrize(
    ("payload", "wire"), [(0, 50), (1, 51), (80, 130), (1200, 1250), (1201, 1301), (2400, 2500), (4100, 4300)]
)
def test_a_frame_pays_for_each_packet_and_for_one_at_least(payload: int, wire: int) -> None:
    assert frame_wire_bytes(payload) == wire


def test_a_clip_with_and_without_its_first_picture() -> None:
    payloads = [2000, *[75] * 24]  # one second at 25 frames/s
    assert clip_wire_bytes(payloads) == 2100 + 24 * 125
    assert wire_kbps(payloads, 1.0) == pytest.approx(40.8)
    assert wire_kbps(payloads, 1.0, without_first=True) == pytest.approx(24.0)


def test_av1_goes_without_its_temporal_delimiter() -> None:
    assert payload_bytes(b"\x12\x00\x32\x05hello", PayloadFormat.AV1) == 7
    assert payload_bytes(b"\x32\x05hello", PayloadFormat.AV1) == 7
    assert payload_bytes(b"\x12\x00\x32\x05hello", PayloadFormat.VP9) == 9


def test_h264_goes_without_start_codes_and_information() -> None:
    parameters, information, slice_unit = b"\x67abc", b"\x06x264 and all its options", b"\x65slice"
    data = b"\x00\x00\x00\x01" + parameters + b"\x00\x00\x01" + information + b"\x00\x00\x01" + slice_unit
    assert payload_bytes(data, PayloadFormat.H264) == len(parameters) + len(slice_unit)
    assert payload_bytes(data, PayloadFormat.HEVC) == len(parameters) + len(information) + len(slice_unit)


def test_negative_sizes_and_no_time_are_refused() -> None:
    with pytest.raises(ValueError, match="got -1"):
        frame_wire_bytes(-1)
    with pytest.raises(ValueError, match=r"seconds: got 0\.0"):
        wire_kbps([10], 0.0)
