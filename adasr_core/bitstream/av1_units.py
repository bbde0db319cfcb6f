"""The plain form of an AV1 unit of a reference chain, and the size that its data makes a decoder allocate.

Looked at before anything is decoded: a few bytes can claim 65536x65536. One frame a unit, shown; a sequence header only
in front of a key frame, with one operating point and without timing (AV1 specification 5.3 to 5.5, 5.9.2)::

    key unit:  OBU 1 (sequence header) | OBU 6 (frame: key, shown)
    unit:      OBU 6 (frame: not key, shown)
"""

from __future__ import annotations

from adasr_core.bitstream.errors import BitstreamError

_SEQUENCE_HEADER = 1
_FRAME = 6
_DELIMITER = b"\x12\x00"
_MAX_OBUS = 2
_TIERED_LEVELS = 8
_KEY_FRAME = 0
_INTER_FRAME = 1


def strip_delimiter(unit: bytes) -> bytes:
    """What an encoder wrote, without the temporal delimiter (two bytes that say nothing here) at its start."""
    return unit[len(_DELIMITER) :] if unit.startswith(_DELIMITER) else unit


def frame_unit_size(unit: bytes, *, key: bool) -> tuple[int, int] | None:
    """Width and height in pixels that a key unit makes a decoder allocate; None for another unit.

    key: whether a key unit is expected.

    Raises:
        BitstreamError: the unit is not in the plain form.
    """
    obus = _obus(unit)
    kinds = [kind for kind, _ in obus]
    expected = [_SEQUENCE_HEADER, _FRAME] if key else [_FRAME]
    if kinds != expected:
        raise BitstreamError(f"AV1 reference: got OBUs of types {kinds}, expected {expected}; ask for a new chain")
    frame = obus[-1][1]
    # show_existing_frame 1 | frame_type 2 | show_frame 1
    if not frame or frame[0] >> 7 or frame[0] >> 5 & 0b11 != (_KEY_FRAME if key else _INTER_FRAME):
        raise BitstreamError("AV1 reference: expected a coded frame, a key frame in a chain's first unit alone")
    if not frame[0] >> 4 & 1:
        raise BitstreamError("AV1 reference: expected a frame that is shown")
    return _sequence_size(obus[0][1]) if key else None


def _obus(unit: bytes) -> list[tuple[int, bytes]]:
    """Type and payload of each OBU (open bitstream unit); at most two, without extension, sizes stated."""
    obus: list[tuple[int, bytes]] = []
    offset = 0
    while offset < len(unit):
        if len(obus) == _MAX_OBUS:
            raise BitstreamError(f"AV1 reference: got more than {_MAX_OBUS} OBUs; ask for a new chain")
        first = unit[offset]
        # forbidden 0 | type 4 | extension 0 | has size 1 | reserved 0
        if first & 0b1000_0111 != 0b10:
            raise BitstreamError(f"AV1 reference: got an OBU header {first:#04x}, expected one with its size alone")
        offset += 1
        size = shift = 0
        while True:
            if offset >= len(unit) or shift > 21:
                raise BitstreamError("AV1 reference: an OBU is cut short; ask for a new chain")
            byte = unit[offset]
            size |= (byte & 0x7F) << shift
            offset, shift = offset + 1, shift + 7
            if byte < 0x80:
                break
        if offset + size > len(unit):
            raise BitstreamError("AV1 reference: an OBU is cut short; ask for a new chain")
        obus.append((first >> 3, unit[offset : offset + size]))
        offset += size
    return obus


class _Bits:
    """Reads a header's bits, most significant first; zeros behind its end."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data[:16].ljust(16, b"\0"), "big")
        self._left = 128

    def read(self, count: int) -> int:
        self._left -= count
        return self._value >> self._left & (1 << count) - 1


def _sequence_size(header: bytes) -> tuple[int, int]:
    """Largest frame of a sequence header; its size fields must be no wider than that needs."""
    bits = _Bits(header)
    profile, _still, reduced = bits.read(3), bits.read(1), bits.read(1)
    timing, display_delay, further_points, point = bits.read(1), bits.read(1), bits.read(5), bits.read(12)
    if profile or reduced or timing or display_delay or further_points or point:
        raise BitstreamError("AV1 reference: expected a main-profile sequence header, one operating point, no timing")
    if bits.read(5) >= _TIERED_LEVELS:
        bits.read(1)  # the level's tier
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    width, height = bits.read(width_bits) + 1, bits.read(height_bits) + 1
    # A frame may state another size in fields of this width: up to twice the largest frame's at most.
    if (width_bits, height_bits) != ((width - 1).bit_length(), (height - 1).bit_length()):
        raise BitstreamError(
            f"AV1 reference: got size fields of {width_bits} and {height_bits} bits for {width}x{height}"
        )
    return width, height
