"""Motion and reference packets: round trips, golden bytes, truncations, fuzz."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adasr_core.bitstream.errors import BitstreamError
from adasr_core.bitstream.packets import MotionPacket, ReferencePacket, unwrap_u8, unwrap_u16

MOTION_GOLDEN = bytes.fromhex("3a fe 1234 70 010203")
REFERENCE_GOLDEN = bytes.fromhex(
    "414b5231 01 3a 1234 01 0200 0003 00000005 aabbcc 0102030405 daf258db97e327e8".replace(" ", "")
)

motion_packets = st.builds(
    MotionPacket,
    slot=st.integers(0, 15),
    generation=st.integers(0, 15),
    sequence=st.integers(0, 255),
    time_ms=st.integers(0, 65535),
    quality=st.integers(0, 15),
    body=st.binary(max_size=250),
)
reference_packets = st.builds(
    ReferencePacket,
    slot=st.integers(0, 15),
    generation=st.integers(0, 15),
    time_ms=st.integers(0, 65535),
    frame_px=st.integers(16, 2048),
    parameters=st.binary(max_size=300),
    picture=st.binary(min_size=1, max_size=300),
)


def _golden_motion() -> MotionPacket:
    return MotionPacket(slot=3, generation=10, sequence=0xFE, time_ms=0x1234, quality=7, body=b"\1\2\3")


def _golden_reference() -> ReferencePacket:
    return ReferencePacket(
        slot=3, generation=10, time_ms=0x1234, frame_px=512, parameters=b"\xaa\xbb\xcc", picture=b"\1\2\3\4\5"
    )


def test_golden_bytes() -> None:
    assert _golden_motion().pack() == MOTION_GOLDEN
    assert MotionPacket.unpack(MOTION_GOLDEN) == _golden_motion()
    assert _golden_reference().pack().hex() == REFERENCE_GOLDEN.hex()
    assert ReferencePacket.unpack(REFERENCE_GOLDEN) == _golden_reference()


@given(motion_packets)
def test_motion_round_trip(packet: MotionPacket) -> None:
    data = packet.pack()
    assert len(data) == 5 + len(packet.body)
    assert MotionPacket.unpack(data) == packet


@given(reference_packets)
def test_reference_round_trip(packet: ReferencePacket) -> None:
    assert ReferencePacket.unpack(packet.pack()) == packet


def test_every_truncation() -> None:
    for length in range(5):
        with pytest.raises(BitstreamError, match="motion packet length"):
            MotionPacket.unpack(MOTION_GOLDEN[:length])
    # A cut body is still a packet: its length is the datagram's.
    assert MotionPacket.unpack(MOTION_GOLDEN[:6]).body == b"\1"
    for length in range(len(REFERENCE_GOLDEN)):
        with pytest.raises(BitstreamError, match="reference packet"):
            ReferencePacket.unpack(REFERENCE_GOLDEN[:length])
    with pytest.raises(BitstreamError, match="length"):
        ReferencePacket.unpack(REFERENCE_GOLDEN + b"\0")


def test_every_flipped_bit_of_a_reference_is_found() -> None:
    for bit in range(8 * len(REFERENCE_GOLDEN)):
        damaged = bytearray(REFERENCE_GOLDEN)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BitstreamError):
            ReferencePacket.unpack(bytes(damaged))


@given(st.binary(max_size=300))
def test_motion_fuzz(data: bytes) -> None:
    try:
        packet = MotionPacket.unpack(data)
    except BitstreamError:
        return
    assert packet.pack() == data


@given(st.binary(max_size=80), st.integers(0, 28), st.booleans())
def test_reference_fuzz(noise: bytes, kept: int, repaired: bool) -> None:
    """Noise behind a sound start, with the check made right or not: parses to the same bytes or is refused."""
    data = REFERENCE_GOLDEN[:kept] + noise
    if repaired:
        data += hashlib.sha256(data).digest()[:8]
    try:
        packet = ReferencePacket.unpack(data)
    except BitstreamError:
        return
    assert packet.pack() == data


@pytest.mark.parametrize(
    ("field", "at", "value"),
    [("magic", 3, 0x32), ("version", 4, 2), ("picture_codec", 8, 9), ("frame_px", 9, 0xFF)],
)
def test_reference_fields_are_checked_behind_a_right_check(field: str, at: int, value: int) -> None:
    content = bytearray(REFERENCE_GOLDEN[:-8])
    content[at] = value
    data = bytes(content) + hashlib.sha256(content).digest()[:8]
    with pytest.raises(BitstreamError, match=field):
        ReferencePacket.unpack(data)


def test_reserved_bits_are_refused() -> None:
    with pytest.raises(BitstreamError, match="reserved"):
        MotionPacket.unpack(MOTION_GOLDEN[:4] + b"\x71")


@pytest.mark.parametrize(
    "change",
    [
        {"slot": 16},
        {"generation": -1},
        {"sequence": 256},
        {"time_ms": 65536},
        {"quality": 16},
        {"body": bytes(251)},
    ],
)
def test_motion_caller_mistakes(change: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"slot": 0, "generation": 0, "sequence": 0, "time_ms": 0, "quality": 0, "body": b""}
    with pytest.raises(ValueError, match=next(iter(change))) as caught:
        MotionPacket(**(fields | change))
    assert not isinstance(caught.value, BitstreamError)


@pytest.mark.parametrize(
    "change",
    [
        {"slot": 16},
        {"time_ms": -1},
        {"frame_px": 8},
        {"picture_codec": 2},
        {"parameters": bytes(4097)},
        {"picture": b""},
        {"picture": bytes(262_145)},
    ],
)
def test_reference_caller_mistakes(change: dict[str, Any]) -> None:
    fields: dict[str, Any] = {
        "slot": 0,
        "generation": 0,
        "time_ms": 0,
        "frame_px": 512,
        "parameters": b"",
        "picture": b"x",
    }
    with pytest.raises(ValueError, match=next(iter(change))) as caught:
        ReferencePacket(**(fields | change))
    assert not isinstance(caught.value, BitstreamError)


@given(st.integers(0, 1 << 40), st.integers(-0x7FFF, 0x7FFF))
def test_unwrap_u16(near: int, step: int) -> None:
    assert unwrap_u16((near + step) % 0x10000, near) == near + step


@given(st.integers(0, 1 << 40), st.integers(-0x7F, 0x7F))
def test_unwrap_u8(near: int, step: int) -> None:
    assert unwrap_u8((near + step) % 0x100, near) == near + step


def test_unwrap_half_a_cycle_takes_the_lower() -> None:
    assert unwrap_u16(0, 0x8000) == 0
    assert unwrap_u8(0, 0x80) == 0
