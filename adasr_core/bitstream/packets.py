"""Reference packets, one a key frame, and what all packets share.

Reference packet, big endian::

    "AKR2" | slot u4, generation u4 | time_ms u16 | kind u8 | base u8 | frame_px u16 | parameters_bytes u16
           | parameters | picture | first 8 bytes of sha256(all before)

``kind`` is the picture codec, plus 128 when the parameters are coded against another reference's; ``base`` is then that
one's slot and generation, else 0. Of a kept picture the packet has the name alone, 16 bytes.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from adasr_core.bitstream.bounds import require
from adasr_core.bitstream.errors import BitstreamError
from adasr_core.bitstream.kept_picture import KEPT_NAME_BYTES

BITSTREAM_VERSION = 3
"""Version of every packet; peers with different versions refuse each other in the handshake."""

REFERENCE_SLOTS = 16
"""Slots of the reference bank."""

GENERATIONS = 16
"""Generations of a slot: reusing a slot raises its generation by one, modulo 16."""

MAX_QUALITY = 15
DEFAULT_QUALITY = 4
"""Quantiser index of the motion: finer ones gain little that a rebuild shows."""

MAX_PARAMETERS_BYTES = 4096
MAX_PICTURE_BYTES = 262_144
MAX_FRAME_PX = 2048
PICTURE_AVIF = 1
PICTURE_AV1_CHAIN = 2
"""A picture coded against earlier ones of its chain, see `adasr_core.bitstream.av1_chain`."""
PICTURE_KEPT = 3
"""A picture of an earlier call that both ends kept, by its name, see `adasr_core.bitstream.kept_picture`."""

_REFERENCE = struct.Struct(">4sBHBBHH")
_REFERENCE_MAGIC = b"AKR2"
_AGAINST_BASE = 0x80
_CHECK_BYTES = 8
MAX_REFERENCE_PACKET_BYTES = _REFERENCE.size + MAX_PARAMETERS_BYTES + MAX_PICTURE_BYTES + _CHECK_BYTES


def unwrap_u16(value: int, near: int) -> int:
    """The integer that is congruent to value modulo 65536 and nearest to `near` (half a cycle away: the lower one)."""
    return near + (value - near + 0x8000) % 0x10000 - 0x8000


def unwrap_u8(value: int, near: int) -> int:
    """The integer that is congruent to value modulo 256 and nearest to `near` (half a cycle away: the lower one)."""
    return near + (value - near + 0x80) % 0x100 - 0x80


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferencePacket:
    """One reference: its picture and its own quantised motion parameters.

    slot: 0..15, generation: 0..15: where it goes in the bank.
    time_ms: 0..65535, capture time in milliseconds modulo 65536.
    frame_px: side of the square picture, 16..2048.
    parameters: at most 4096 bytes, see `MotionCodec.encode_reference`. picture: 1 to 262144 bytes.
    picture_codec: 1 = AVIF, 2 = AV1 chain, 3 = kept: then `picture` is its name, 16 bytes.
    base: slot and generation of the reference that `parameters` are coded against; None: coded on their own.
    """

    slot: int
    generation: int
    time_ms: int
    frame_px: int
    parameters: bytes
    picture: bytes
    picture_codec: int = PICTURE_AVIF
    base: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """Check every field. Raises ValueError."""
        require("slot", self.slot, 0, REFERENCE_SLOTS - 1)
        require("generation", self.generation, 0, GENERATIONS - 1)
        require("time_ms", self.time_ms, 0, 0xFFFF)
        require("picture_codec", self.picture_codec, PICTURE_AVIF, PICTURE_KEPT)
        require("frame_px", self.frame_px, 16, MAX_FRAME_PX)
        require("parameters length", len(self.parameters), 0, MAX_PARAMETERS_BYTES)
        if self.picture_codec == PICTURE_KEPT:
            require("kept picture's name, length", len(self.picture), KEPT_NAME_BYTES, KEPT_NAME_BYTES)
        require("picture length", len(self.picture), 1, MAX_PICTURE_BYTES)
        if self.base is not None:
            require("base slot", self.base[0], 0, REFERENCE_SLOTS - 1)
            require("base generation", self.base[1], 0, GENERATIONS - 1)

    def pack(self) -> bytes:
        """The packet's bytes, with the check at the end."""
        slot, generation = (0, 0) if self.base is None else self.base
        head = _REFERENCE.pack(
            _REFERENCE_MAGIC,
            self.slot << 4 | self.generation,
            self.time_ms,
            self.picture_codec | (0 if self.base is None else _AGAINST_BASE),
            slot << 4 | generation,
            self.frame_px,
            len(self.parameters),
        )
        content = head + self.parameters + self.picture
        return content + hashlib.sha256(content).digest()[:_CHECK_BYTES]

    @classmethod
    def unpack(cls, data: bytes) -> ReferencePacket:
        """Inverse of `pack`. The picture and the parameters are not decoded.

        Raises:
            BitstreamError: magic, a length, a field or the check is wrong.
        """
        least = _REFERENCE.size + _CHECK_BYTES
        if not least <= len(data) <= MAX_REFERENCE_PACKET_BYTES:
            expected = f"{least}..{MAX_REFERENCE_PACKET_BYTES}"
            raise BitstreamError(
                f"reference packet length: got {len(data)} bytes, expected {expected}; ask for it again"
            )
        magic, place, time_ms, kind, base, frame_px, parameters = _REFERENCE.unpack_from(data)
        if magic != _REFERENCE_MAGIC:
            raise BitstreamError(
                f"reference packet magic: got {magic!r}, expected {_REFERENCE_MAGIC!r}; use one release on both ends"
            )
        content = data[:-_CHECK_BYTES]
        if hashlib.sha256(content).digest()[:_CHECK_BYTES] != data[-_CHECK_BYTES:]:
            raise BitstreamError("reference packet check: the bytes do not match their sha256; ask for it again")
        if base and not kind & _AGAINST_BASE:
            raise BitstreamError(f"reference packet base: got {base:#x} for parameters without one, expected 0")
        picture_start = _REFERENCE.size + parameters
        try:
            return cls(
                slot=place >> 4,
                generation=place & 0x0F,
                time_ms=time_ms,
                frame_px=frame_px,
                parameters=bytes(content[_REFERENCE.size : picture_start]),
                picture=bytes(content[picture_start:]),
                picture_codec=kind & ~_AGAINST_BASE,
                base=(base >> 4, base & 0x0F) if kind & _AGAINST_BASE else None,
            )
        except ValueError as error:
            raise BitstreamError(f"reference packet {error}") from error
