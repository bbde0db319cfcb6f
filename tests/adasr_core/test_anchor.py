"""Anchor packets: golden bytes, round trips, every truncation, bounds; told apart from references."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adasr_core.bitstream import AnchorPacket, BitstreamError, ReferencePacket, is_anchor
from adasr_core.bitstream.packets import MAX_PICTURE_BYTES

GOLDEN = bytes.fromhex("a3 1234 07 ff 32a1b2")
HEAD_BYTES = 3


def _golden() -> AnchorPacket:
    return AnchorPacket(time_ms=0x1234, picture=b"\x07\xff\x32\xa1\xb2")


def test_golden_bytes() -> None:
    assert _golden().pack() == GOLDEN
    assert AnchorPacket.unpack(GOLDEN) == _golden()


@given(st.builds(AnchorPacket, time_ms=st.integers(0, 65_535), picture=st.binary(min_size=3, max_size=300)))
def test_round_trip(packet: AnchorPacket) -> None:
    data = packet.pack()
    assert len(data) == HEAD_BYTES + len(packet.picture)
    assert is_anchor(data)
    assert AnchorPacket.unpack(data) == packet


def test_every_truncation_is_refused_or_another_picture() -> None:
    """The packet has no check: the transport keeps it whole, and the picture's own form finds what is missing."""
    for length in range(len(GOLDEN)):
        if length < HEAD_BYTES + 3:
            with pytest.raises(BitstreamError, match=f"anchor packet length: got {length} bytes, expected 6..262147"):
                AnchorPacket.unpack(GOLDEN[:length])
        else:
            assert AnchorPacket.unpack(GOLDEN[:length]).picture == _golden().picture[: length - HEAD_BYTES]


def test_the_longest_and_one_byte_more() -> None:
    longest = AnchorPacket(time_ms=65_535, picture=bytes(MAX_PICTURE_BYTES)).pack()
    assert AnchorPacket.unpack(longest).pack() == longest
    with pytest.raises(BitstreamError, match="length: got 262148"):
        AnchorPacket.unpack(longest + b"\0")


@pytest.mark.parametrize("mark", [0x00, 0x41, 0xA2, 0xA4, 0xFF])
def test_another_first_byte_is_refused(mark: int) -> None:
    data = bytes((mark,)) + GOLDEN[1:]
    assert not is_anchor(data)
    with pytest.raises(BitstreamError, match=f"mark: got {mark:#x}, expected 0xa3"):
        AnchorPacket.unpack(data)


def test_references_are_no_anchors() -> None:
    reference = ReferencePacket(slot=0, generation=0, time_ms=0, frame_px=512, parameters=b"p", picture=b"x").pack()
    assert not is_anchor(reference)
    assert not is_anchor(b"")
    with pytest.raises(BitstreamError):
        AnchorPacket.unpack(reference)
    with pytest.raises(BitstreamError):
        ReferencePacket.unpack(GOLDEN)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"time_ms": -1}, "time_ms"),
        ({"time_ms": 65_536}, "time_ms"),
        ({"picture": b"\0\0"}, "picture length"),
        ({"picture": bytes(MAX_PICTURE_BYTES + 1)}, "picture length"),
    ],
)
def test_caller_mistakes(change: dict[str, Any], message: str) -> None:
    fields: dict[str, Any] = {"time_ms": 0, "picture": b"\0\0x"}
    with pytest.raises(ValueError, match=message) as caught:
        AnchorPacket(**(fields | change))
    assert not isinstance(caught.value, BitstreamError)


@given(st.binary(max_size=64))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for candidate in (data, b"\xa3" + data):
        try:
            packet = AnchorPacket.unpack(candidate)
        except BitstreamError:
            continue
        assert packet.pack() == candidate
