"""Motion packets (one a frame) and reference packets (one a key frame).

Motion packet, big endian, 5 to 255 bytes::

    0               1               2               3               4               5
    +-------+-------+---------------+-------------------------------+-------+-------+------ - -
    | slot  |  gen  |   sequence    |            time_ms            |quality|   0   | body
    +-------+-------+---------------+-------------------------------+-------+-------+------ - -

Reference packet, big endian::

    "AKR1" | version u8 | slot u4, generation u4 | time_ms u16 | picture_codec u8 | frame_px u16
           | parameters_bytes u16 | picture_bytes u32 | parameters | picture | first 8 bytes of sha256(all before)
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from adasr_core.bitstream.bounds import require
from adasr_core.bitstream.errors import BitstreamError

BITSTREAM_VERSION = 1
"""Version of every packet; peers with different versions refuse each other in the handshake."""

REFERENCE_SLOTS = 16
"""Slots of the reference bank."""

GENERATIONS = 16
"""Generations of a slot: reusing a slot raises its generation by one, modulo 16."""

MAX_MOTION_PACKET_BYTES = 255
MOTION_HEADER_BYTES = 5
MAX_BODY_BYTES = MAX_MOTION_PACKET_BYTES - MOTION_HEADER_BYTES
MAX_QUALITY = 15
MAX_PARAMETERS_BYTES = 4096
MAX_PICTURE_BYTES = 262_144
MAX_FRAME_PX = 2048
PICTURE_AVIF = 1

_MOTION = struct.Struct(">BBHB")
_REFERENCE = struct.Struct(">4sBBHBHHI")
_REFERENCE_MAGIC = b"AKR1"
_CHECK_BYTES = 8
MAX_REFERENCE_PACKET_BYTES = _REFERENCE.size + MAX_PARAMETERS_BYTES + MAX_PICTURE_BYTES + _CHECK_BYTES


def unwrap_u16(value: int, near: int) -> int:
    """The integer that is congruent to value modulo 65536 and nearest to `near` (half a cycle away: the lower one)."""
    return near + (value - near + 0x8000) % 0x10000 - 0x8000


def unwrap_u8(value: int, near: int) -> int:
    """The integer that is congruent to value modulo 256 and nearest to `near` (half a cycle away: the lower one)."""
    return near + (value - near + 0x80) % 0x100 - 0x80


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionPacket:
    """Motion of one frame, coded against one reference of the bank; decodes on its own.

    slot: 0..15, generation: 0..15: the reference that it is coded against.
    sequence: 0..255, frame count modulo 256.
    time_ms: 0..65535, capture time in milliseconds modulo 65536.
    quality: 0..15, quantiser index (higher is coarser).
    body: at most 250 bytes, see `adasr_core.bitstream.motion`.
    """

    slot: int
    generation: int
    sequence: int
    time_ms: int
    quality: int
    body: bytes

    def __post_init__(self) -> None:
        """Check every field. Raises ValueError."""
        require("slot", self.slot, 0, REFERENCE_SLOTS - 1)
        require("generation", self.generation, 0, GENERATIONS - 1)
        require("sequence", self.sequence, 0, 0xFF)
        require("time_ms", self.time_ms, 0, 0xFFFF)
        require("quality", self.quality, 0, MAX_QUALITY)
        require("body length", len(self.body), 0, MAX_BODY_BYTES)

    def pack(self) -> bytes:
        """The packet's bytes, 5 to 255."""
        head = _MOTION.pack(self.slot << 4 | self.generation, self.sequence, self.time_ms, self.quality << 4)
        return head + self.body

    @classmethod
    def unpack(cls, data: bytes) -> MotionPacket:
        """Inverse of `pack`. The body is not looked at.

        Raises:
            BitstreamError: the length is not 5..255, or reserved bits are set.
        """
        if not MOTION_HEADER_BYTES <= len(data) <= MAX_MOTION_PACKET_BYTES:
            expected = f"{MOTION_HEADER_BYTES}..{MAX_MOTION_PACKET_BYTES}"
            raise BitstreamError(f"motion packet length: got {len(data)} bytes, expected {expected}; drop the packet")
        reference, sequence, time_ms, quality = _MOTION.unpack_from(data)
        if quality & 0x0F:
            raise BitstreamError(f"motion packet reserved bits: got {quality & 0x0F:#x}, expected 0; drop the packet")
        return cls(
            slot=reference >> 4,
            generation=reference & 0x0F,
            sequence=sequence,
            time_ms=time_ms,
            quality=quality >> 4,
            body=bytes(data[MOTION_HEADER_BYTES:]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferencePacket:
    """One reference: its picture and its own quantised motion parameters.

    slot: 0..15, generation: 0..15: where it goes in the bank.
    time_ms: 0..65535, capture time in milliseconds modulo 65536.
    picture_codec: 1 = AVIF. frame_px: side of the square picture, 16..2048.
    parameters: at most 4096 bytes, see `MotionCodec.encode_reference`. picture: 1 to 262144 bytes.
    """

    slot: int
    generation: int
    time_ms: int
    frame_px: int
    parameters: bytes
    picture: bytes
    picture_codec: int = PICTURE_AVIF

    def __post_init__(self) -> None:
        """Check every field. Raises ValueError."""
        require("slot", self.slot, 0, REFERENCE_SLOTS - 1)
        require("generation", self.generation, 0, GENERATIONS - 1)
        require("time_ms", self.time_ms, 0, 0xFFFF)
        require("picture_codec", self.picture_codec, PICTURE_AVIF, PICTURE_AVIF)
        require("frame_px", self.frame_px, 16, MAX_FRAME_PX)
        require("parameters length", len(self.parameters), 0, MAX_PARAMETERS_BYTES)
        require("picture length", len(self.picture), 1, MAX_PICTURE_BYTES)

    def pack(self) -> bytes:
        """The packet's bytes, with the check at the end."""
        head = _REFERENCE.pack(
            _REFERENCE_MAGIC,
            BITSTREAM_VERSION,
            self.slot << 4 | self.generation,
            self.time_ms,
            self.picture_codec,
            self.frame_px,
            len(self.parameters),
            len(self.picture),
        )
        content = head + self.parameters + self.picture
        return content + hashlib.sha256(content).digest()[:_CHECK_BYTES]

    @classmethod
    def unpack(cls, data: bytes) -> ReferencePacket:
        """Inverse of `pack`. The picture and the parameters are not decoded.

        Raises:
            BitstreamError: magic, version, a length, a field or the check is wrong.
        """
        least = _REFERENCE.size + _CHECK_BYTES
        if not least <= len(data) <= MAX_REFERENCE_PACKET_BYTES:
            expected = f"{least}..{MAX_REFERENCE_PACKET_BYTES}"
            raise BitstreamError(
                f"reference packet length: got {len(data)} bytes, expected {expected}; ask for it again"
            )
        magic, version, place, time_ms, codec, frame_px, parameters, picture = _REFERENCE.unpack_from(data)
        if magic != _REFERENCE_MAGIC:
            raise BitstreamError(f"reference packet magic: got {magic!r}, expected {_REFERENCE_MAGIC!r}")
        if version != BITSTREAM_VERSION:
            raise BitstreamError(
                f"reference packet version: got {version}, expected {BITSTREAM_VERSION}; use one release on both ends"
            )
        if len(data) != least + parameters + picture:
            expected = f"{least + parameters + picture}"
            raise BitstreamError(
                f"reference packet length: got {len(data)} bytes, expected {expected}; ask for it again"
            )
        content = data[:-_CHECK_BYTES]
        if hashlib.sha256(content).digest()[:_CHECK_BYTES] != data[-_CHECK_BYTES:]:
            raise BitstreamError("reference packet check: the bytes do not match their sha256; ask for it again")
        picture_start = _REFERENCE.size + parameters
        try:
            return cls(
                slot=place >> 4,
                generation=place & 0x0F,
                time_ms=time_ms,
                frame_px=frame_px,
                parameters=bytes(content[_REFERENCE.size : picture_start]),
                picture=bytes(content[picture_start:]),
                picture_codec=codec,
            )
        except ValueError as error:
            raise BitstreamError(f"reference packet {error}") from error
