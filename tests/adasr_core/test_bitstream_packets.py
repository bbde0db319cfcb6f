"""Reference packets: round trips, golden bytes, truncations, fuzz; sequence and time unwrapped."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adasr_core.bitstream.errors import BitstreamError
from adasr_core.bitstream.packets import (
    PICTURE_AV1_CHAIN,
    PICTURE_AVIF,
    PICTURE_KEPT,
    ReferencePacket,
    unwrap_u8,
    unwrap_u16,
)

REFERENCE_GOLDEN = bytes.fromhex("414b5232 3a 1234 01 00 0200 0003 aabbcc 0102030405 c15945e1d27346c3")
AGAINST_GOLDEN = bytes.fromhex("414b5232 3a 1234 82 4b 0200 0003 aabbcc 0102030405 7cd2f7253ed05bce")

reference_packets = st.builds(
    ReferencePacket,
    slot=st.integers(0, 15),
    generation=st.integers(0, 15),
    time_ms=st.integers(0, 65535),
    frame_px=st.integers(16, 2048),
    parameters=st.binary(max_size=300),
    picture=st.binary(min_size=1, max_size=300),
    picture_codec=st.sampled_from((PICTURE_AVIF, PICTURE_AV1_CHAIN)),
    base=st.none() | st.tuples(st.integers(0, 15), st.integers(0, 15)),
)


def _golden_reference() -> ReferencePacket:
    return ReferencePacket(
        slot=3, generation=10, time_ms=0x1234, frame_px=512, parameters=b"\xaa\xbb\xcc", picture=b"\1\2\3\4\5"
    )


def _golden_against() -> ReferencePacket:
    return replace(_golden_reference(), picture_codec=PICTURE_AV1_CHAIN, base=(4, 11))


def test_golden_bytes() -> None:
    assert _golden_reference().pack().hex() == REFERENCE_GOLDEN.hex()
    assert ReferencePacket.unpack(REFERENCE_GOLDEN) == _golden_reference()
    assert _golden_against().pack().hex() == AGAINST_GOLDEN.hex()
    assert ReferencePacket.unpack(AGAINST_GOLDEN) == _golden_against()
    # 21 bytes of head and check.
    assert len(REFERENCE_GOLDEN) == 21 + 3 + 5


def test_a_kept_picture_is_its_name() -> None:
    packet = replace(_golden_reference(), picture=bytes(range(16)), picture_codec=PICTURE_KEPT)
    assert packet.pack()[7] == 3
    assert ReferencePacket.unpack(packet.pack()) == packet
    against = replace(packet, base=(4, 11))
    assert against.pack()[7:9] == b"\x83\x4b"
    assert ReferencePacket.unpack(against.pack()) == against


@pytest.mark.parametrize("length", [1, 15, 17, 300])
def test_a_name_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="name"):
        replace(_golden_reference(), picture=bytes(length), picture_codec=PICTURE_KEPT)
    # On the wire: as if another codec's picture were a name.
    content = bytearray(replace(_golden_reference(), picture=bytes(length)).pack()[:-8])
    content[7] = PICTURE_KEPT
    with pytest.raises(BitstreamError, match="name"):
        ReferencePacket.unpack(bytes(content) + hashlib.sha256(content).digest()[:8])


def test_a_base_of_0_0_is_a_base() -> None:
    packet = replace(_golden_reference(), base=(0, 0))
    assert ReferencePacket.unpack(packet.pack()) == packet
    assert packet.pack() != _golden_reference().pack()


@given(reference_packets)
def test_reference_round_trip(packet: ReferencePacket) -> None:
    assert ReferencePacket.unpack(packet.pack()) == packet


def test_every_truncation() -> None:
    for length in range(len(REFERENCE_GOLDEN)):
        with pytest.raises(BitstreamError, match="reference packet"):
            ReferencePacket.unpack(REFERENCE_GOLDEN[:length])
    with pytest.raises(BitstreamError, match="check"):
        ReferencePacket.unpack(REFERENCE_GOLDEN + b"\0")


def test_every_flipped_bit_of_a_reference_is_found() -> None:
    for bit in range(8 * len(REFERENCE_GOLDEN)):
        damaged = bytearray(REFERENCE_GOLDEN)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BitstreamError):
            ReferencePacket.unpack(bytes(damaged))


@given(st.binary(max_size=80), st.integers(0, 21), st.booleans())
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
    [
        ("magic", 3, 0x31),
        ("picture_codec", 7, 0),
        ("picture_codec", 7, 4),
        ("picture_codec", 7, 0x41),
        ("base", 8, 0x10),
        ("frame_px", 9, 0xFF),
        ("picture length", 12, 8),
        ("picture length", 11, 0xFF),
    ],
)
def test_reference_fields_are_checked_behind_a_right_check(field: str, at: int, value: int) -> None:
    content = bytearray(REFERENCE_GOLDEN[:-8])
    content[at] = value
    data = bytes(content) + hashlib.sha256(content).digest()[:8]
    with pytest.raises(BitstreamError, match=field):
        ReferencePacket.unpack(data)


@pytest.mark.parametrize(
    "change",
    [
        {"slot": 16},
        {"time_ms": -1},
        {"frame_px": 8},
        {"generation": 16},
        {"picture_codec": 0},
        {"picture_codec": 4},
        {"base": (16, 0)},
        {"base": (0, -1)},
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
