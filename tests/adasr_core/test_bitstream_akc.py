"""The file form: round trips, golden bytes, every truncation, every flipped bit, fuzz behind a right checksum."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adasr_core.bitstream.akc import AkcFile
from adasr_core.bitstream.akc_reader import read_akc
from adasr_core.bitstream.akc_records import (
    AkcHeader,
    AudioPacket,
    AudioStream,
    TimedMotion,
    pack_signed_varint,
    pack_varint,
    unpack_signed_varint,
    unpack_varint,
)
from adasr_core.bitstream.akc_writer import AkcWriter
from adasr_core.bitstream.errors import BitstreamError
from adasr_core.bitstream.motion_message import MotionMessage
from adasr_core.bitstream.packets import ReferencePacket

HEADER = AkcHeader(codec_id="0123456789abcdef", model="edge", frame_px=512, frame_rate=(25, 1), frames=4)
AUDIO = AudioStream(codec_name="aac", sample_rate=48000, layout="stereo", time_base=(1, 48000), extradata=b"\x11\x90")


def _reference(slot: int = 0, generation: int = 0) -> ReferencePacket:
    return ReferencePacket(
        slot=slot, generation=generation, time_ms=0, frame_px=512, parameters=b"\xaa", picture=b"\xbb\xcc"
    )


def _motion(number: int, slot: int = 0, generation: int = 0) -> MotionMessage:
    return MotionMessage(
        slot=slot, generation=generation, sequence=number % 256, time_ms=40 * number % 65_536, body=bytes([number, 7])
    )


def _written(*, audio: bool = True) -> bytes:
    file = io.BytesIO()
    with AkcWriter(file, HEADER) as writer:
        if audio:
            writer.write_audio_stream(AUDIO)
            writer.write_audio_packet(AudioPacket(-1024, 1024, b"sound"))
        writer.write_reference(_reference())
        writer.write_motion(_motion(1), (0, 3600))
        if audio:
            writer.write_audio_packet(AudioPacket(0, 1024, b"more"))
        writer.write_motion(_motion(3), (7300, 11_000))
    return file.getvalue()


GOLDEN = bytes.fromhex(
    # magic, version 3, header length 72, msgpack header
    "414b4333 0003 00000048"
    "85 a8636f6465635f6964 b030313233343536373839616263646566 a56d6f64656c a465646765"
    "a86672616d655f7078 cd0200 aa6672616d655f72617465 921901 a66672616d6573 04"
    # reference, 24 bytes
    "02 18 414b5232 00 0000 01 00 0200 0001 aa bbcc 7a8d86ce7b90c682"
    # two frames at the header's rate; two at times of their own: 3700 ticks each
    "11 06 00 01 0028 0107"
    "21 0a f41c f41c 00 03 0078 0307"
    # index: 4 frames, 1 reference, no audio, bytes of each, checksum
    "ff 28 00000004 00000001 00000000 0000000000000014 000000000000001a 0000000000000000 74d27932"
)


def _repaired(data: bytes) -> bytes:
    """The same bytes with the checksum at the end made right."""
    return data[:-4] + zlib.crc32(data[:-4]).to_bytes(4, "big")


def test_golden_bytes() -> None:
    assert _written(audio=False).hex() == GOLDEN.hex()


def test_round_trip() -> None:
    data = _written()
    akc = read_akc(data)
    assert akc.header == HEADER
    motions = TimedMotion((0, 3600), _motion(1)), TimedMotion((7300, 11_000), _motion(3))
    assert akc.records == (_reference(), *motions)
    assert akc.references == (_reference(),)
    assert akc.motions == motions
    assert akc.pts_ticks == (0, 3600, 7300, 11_000)
    assert akc.audio is not None
    assert akc.audio.stream == AUDIO
    assert akc.audio.packets == (AudioPacket(-1024, 1024, b"sound"), AudioPacket(0, 1024, b"more"))
    assert akc.sizes.total == len(data)
    assert akc.sizes.motion == (2 + 6) + (2 + 4 + 6)
    assert akc.sizes.references == 2 + len(_reference().pack())


def test_without_audio_and_from_a_path(tmp_path: Path) -> None:
    path = tmp_path / "clip.akc"
    path.write_bytes(_written(audio=False))
    for source in (path, str(path)):
        akc = read_akc(source)
        assert akc.audio is None
        assert akc.sizes.audio == 0
        assert len(akc.motions) == 2


def test_slots_are_replaced_in_file_order() -> None:
    file = io.BytesIO()
    with AkcWriter(file, HEADER) as writer:
        writer.write_reference(_reference(3, 0))
        writer.write_motion(_motion(0, 3, 0), (100, 200))
        writer.write_reference(_reference(3, 1))
        with pytest.raises(ValueError, match=r"reference 3\.0"):
            writer.write_motion(_motion(1, 3, 0), (300, 400))
        writer.write_motion(_motion(1, 3, 1), (300, 400))
    akc = read_akc(file.getvalue())
    assert [type(record).__name__ for record in akc.records] == ["ReferencePacket", "TimedMotion"] * 2
    assert akc.pts_ticks == (100, 200, 300, 400)


def test_every_truncation() -> None:
    data = _written()
    for length in range(len(data)):
        with pytest.raises(BitstreamError, match="akc"):
            read_akc(data[:length])
    with pytest.raises(BitstreamError, match="akc"):
        read_akc(data + b"\0")


def test_every_truncation_behind_a_right_checksum() -> None:
    data = _written()
    for length in range(10, len(data)):
        with pytest.raises(BitstreamError):
            read_akc(_repaired(data[:length]))


def test_every_flipped_bit() -> None:
    data = _written()
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BitstreamError):
            read_akc(bytes(damaged))


@settings(max_examples=400)
@given(
    flips=st.lists(st.tuples(st.integers(0, len(_written()) - 5), st.integers(0, 255)), min_size=1, max_size=3),
)
def test_changed_bytes_behind_a_right_checksum(flips: list[tuple[int, int]]) -> None:
    damaged = bytearray(_written())
    for at, value in flips:
        damaged[at] = value
    _parses_or_refuses(_repaired(bytes(damaged)))


@given(noise=st.binary(max_size=120), start=st.integers(0, len(_written()) - 44))
def test_noise_behind_a_sound_start(noise: bytes, start: int) -> None:
    _parses_or_refuses(_repaired(_written()[:start] + noise + bytes(4)))


@given(st.binary(max_size=200))
def test_fuzz(data: bytes) -> None:
    for noise in (data, b"AKC3" + data, b"AKC3\0\3\0\0" + data):
        with pytest.raises(BitstreamError):
            read_akc(noise)


def _parses_or_refuses(data: bytes) -> None:
    try:
        akc = read_akc(data)
    except BitstreamError:
        return
    assert isinstance(akc, AkcFile)
    assert akc.header.frames == len(akc.pts_ticks)
    assert akc.sizes.total == len(data)


def test_other_files_are_named_as_such(tmp_path: Path) -> None:
    for name, content in (("text", b"hello, world\n" * 20), ("empty", b""), ("video", b"\0\0\0\x18ftypmp42")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BitstreamError, match=r"no \.akc file"):
            read_akc(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_akc(tmp_path / "nothing")


def test_future_versions_are_named() -> None:
    data = bytearray(_written())
    data[5] = 4
    with pytest.raises(BitstreamError, match="akc version: got 4, expected 3"):
        read_akc(bytes(data))
    # Files of earlier versions had another magic.
    for earlier in (b"AKC1", b"AKC2"):
        with pytest.raises(BitstreamError, match="akc magic"):
            read_akc(earlier + bytes(data)[4:])


def test_an_exception_leaves_no_valid_file() -> None:
    def fail() -> None:
        with AkcWriter(file, HEADER) as writer:
            writer.write_reference(_reference())
            writer.write_motion(_motion(0), (0,))
            raise KeyboardInterrupt

    file = io.BytesIO()
    with pytest.raises(KeyboardInterrupt):
        fail()
    with pytest.raises(BitstreamError, match="cut short"):
        read_akc(file.getvalue())


def test_writer_refuses() -> None:
    file = io.BytesIO()
    writer = AkcWriter(file, HEADER)
    with pytest.raises(ValueError, match="must come first"):
        writer.write_motion(_motion(0), (0,))
    with pytest.raises(ValueError, match="before the stream"):
        writer.write_audio_packet(AudioPacket(0, 0, b"x"))
    writer.write_audio_stream(AUDIO)
    with pytest.raises(ValueError, match="second stream"):
        writer.write_audio_stream(AUDIO)
    writer.write_reference(_reference())
    writer.write_motion(_motion(0), (50,))
    for number, pts_ticks in ((1, (50,)), (1, (49, 60)), (2, (60, 60)), (3, (60, 70, 65)), (2, (60, 1 << 41))):
        with pytest.raises(ValueError, match=f"frame {number} time"):
            writer.write_motion(_motion(1), pts_ticks)
    for count in (0, 9):
        with pytest.raises(ValueError, match=f"frames of a message: got {count}"):
            writer.write_motion(_motion(1), tuple(range(60, 60 + count)))
    with pytest.raises(ValueError, match="frames: got 1, expected 4"):
        writer.close()
    writer.write_motion(_motion(1), (51, 52, 53))
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.write_reference(_reference())
    # Nothing that was refused has left a trace.
    assert read_akc(file.getvalue()).pts_ticks == (50, 51, 52, 53)


def _times_written(rate: tuple[int, int], groups: list[tuple[int, ...]]) -> AkcFile:
    """Write messages of frames at these times; what comes back has the same ones."""
    file = io.BytesIO()
    frames = sum(map(len, groups))
    header = AkcHeader(codec_id="0" * 16, model="edge", frame_px=512, frame_rate=rate, frames=frames)
    with AkcWriter(file, header) as writer:
        writer.write_reference(_reference())
        for number, times in enumerate(groups):
            writer.write_motion(_motion(number % 256), times)
    akc = read_akc(file.getvalue())
    assert [motion.pts_ticks for motion in akc.motions] == groups
    return akc


@pytest.mark.parametrize("rate", [(25, 1), (24_000, 1001), (30_000, 1001), (60, 1), (1, 2), (7, 3), (90_000, 1)])
def test_a_steady_rate_costs_two_bytes_a_message(rate: tuple[int, int]) -> None:
    """Also where a frame is no whole number of ticks, and where one lasts seconds."""
    times = [number * 90_000 * rate[1] // rate[0] for number in range(200)]
    groups = [tuple(times[at : at + 4]) for at in range(0, 200, 4)]
    akc = _times_written(rate, groups)
    assert akc.sizes.motion == 50 * (2 + 6)


def test_a_late_start_and_a_gap_cost_their_times_once() -> None:
    """After a message with times of its own the rate counts from its last frame."""
    start, later = 1000, 1000 + 7 * 3600 + 50_000
    groups = [
        (start,),
        *(tuple(start + 3600 * n for n in range(at, at + 3)) for at in (1, 4)),
        (later, later + 3600),
        (later + 7200, later + 10_800),
    ]
    akc = _times_written((25, 1), groups)
    timed = (2 + 2 + 6) + (2 + 3 + 2 + 6)  # 1000; 53600 and 3600 as varints
    assert akc.sizes.motion == timed + 3 * (2 + 6)


@given(
    rate=st.tuples(st.integers(1, 200_000), st.integers(1, 2000)),
    deltas=st.lists(st.one_of(st.just(-1), st.integers(1, 200_000)), min_size=1, max_size=40),
    counts=st.lists(st.integers(1, 8), min_size=40, max_size=40),
)
def test_any_times_come_back(rate: tuple[int, int], deltas: list[int], counts: list[int]) -> None:
    """Times at random, mixed with frames that follow the one before as the rate says (-1)."""
    interval = max(1, 90_000 * rate[1] // rate[0])
    times, now = [], 0
    for delta in deltas:
        times.append(now)
        now += interval if delta < 0 else delta
    groups = []
    for count in counts:
        if times:
            groups.append(tuple(times[:count]))
            times = times[count:]
    _times_written(rate, groups)


def test_times_in_vain_are_refused() -> None:
    """The reader takes one form of a file only."""
    data = _written(audio=False)
    plain, timed = bytes.fromhex("1106 0001 0028 0107"), bytes.fromhex("2109 00 901c 0001 0028 0107")
    assert plain in data
    crafted = data.replace(plain, timed)
    with pytest.raises(BitstreamError, match="times that need none"):
        read_akc(_repaired(crafted))


def test_other_numbers_of_frames_are_refused() -> None:
    """A record says how many frames it has; together they must be the header's."""
    data = _written(audio=False)
    for kind in (16, *range(18, 24)):
        crafted = data.replace(bytes.fromhex("1106 0001"), bytes((kind,)) + bytes.fromhex("06 0001"))
        with pytest.raises(BitstreamError):
            read_akc(_repaired(crafted))
    for kind in (15, 24, 31, 40, 48, 144, 1):
        crafted = data.replace(bytes.fromhex("1106 0001"), bytes((kind,)) + bytes.fromhex("06 0001"))
        with pytest.raises(BitstreamError, match=f"record type at byte 108: got {kind}"):
            read_akc(_repaired(crafted))


@pytest.mark.parametrize(
    "change",
    [
        {"codec_id": "0123"},
        {"model": ""},
        {"model": "a\nb"},
        {"frame_px": 4},
        {"frame_rate": (25, 0)},
        {"frame_rate": (25.0, 1)},
        {"frame_rate": (25,)},
        {"frames": 0},
    ],
)
def test_header_refuses(change: dict[str, object]) -> None:
    fields: dict[str, object] = {
        "codec_id": "0" * 16,
        "model": "edge",
        "frame_px": 512,
        "frame_rate": (25, 1),
        "frames": 1,
    }
    with pytest.raises(ValueError, match=next(iter(change))):
        AkcHeader(**(fields | change))  # type: ignore[arg-type]


def test_header_keys_are_exact() -> None:
    packed = HEADER.pack()
    unknown = bytes([packed[0] + 1]) + packed[1:] + b"\xa1x\x01"
    missing = bytes([packed[0] - 1]) + packed[1:-8]
    for data in (unknown, missing):
        with pytest.raises(BitstreamError, match="header keys"):
            AkcHeader.unpack(data)
    with pytest.raises(BitstreamError, match="header frames: got str"):
        AkcHeader.unpack(packed[:-1] + b"\xa1x")


@given(st.binary(max_size=100))
def test_map_fuzz(data: bytes) -> None:
    for parse in (AkcHeader.unpack, AudioStream.unpack):
        with pytest.raises(BitstreamError):
            parse(data)


@given(st.integers(0, (1 << 63) - 1))
def test_varint_round_trip(value: int) -> None:
    data = pack_varint(value)
    assert unpack_varint(b"\xff" + data + b"\xff", 1) == (value, 1 + len(data))
    for length in range(len(data)):
        with pytest.raises(BitstreamError, match="varint"):
            unpack_varint(data[:length], 0)


@given(st.integers(-(1 << 62), (1 << 62) - 1))
def test_signed_varint_round_trip(value: int) -> None:
    assert unpack_signed_varint(pack_signed_varint(value), 0)[0] == value


def test_varint_forms() -> None:
    assert pack_varint(300) == b"\xac\x02"
    assert [pack_signed_varint(value) for value in (0, -1, 1, -2)] == [b"\0", b"\1", b"\2", b"\3"]
    for data in (b"\x80\x00", b"\xff" * 10):
        with pytest.raises(BitstreamError, match="varint"):
            unpack_varint(data, 0)
    for value in (-1, 1 << 63):
        with pytest.raises(ValueError, match="varint"):
            pack_varint(value)
