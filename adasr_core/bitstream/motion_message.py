"""Motion messages: one to eight frames in one datagram.

Layout, big endian::

    slot u4, generation u4 | sequence u8 | time_ms u16 | arithmetic code (`adasr_core.bitstream.motion`)

Sequence and time are those of the newest frame; the others have the sequences before it. A message decodes with its
reference and, where its body names one, with a base: an earlier frame that the receiver is known to hold.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from adasr_core.bitstream.bounds import require
from adasr_core.bitstream.errors import BitstreamError
from adasr_core.bitstream.packets import GENERATIONS, REFERENCE_SLOTS
from adasr_core.geometry import MotionParameters

MAX_MESSAGE_FRAMES = 8
MESSAGE_HEADER_BYTES = 4
MAX_MESSAGE_BYTES = 2200
"""Holds eight frames of 64 escaped coefficients; what talking heads need fits one datagram ten times over."""
MAX_BODY_BYTES = MAX_MESSAGE_BYTES - MESSAGE_HEADER_BYTES

_HEADER = struct.Struct(">BBH")


class MissingBaseError(BitstreamError):
    """A message was coded against a frame that is not here: drop the message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionMessage:
    """Motion of one to eight frames, coded together against one reference of the bank.

    slot: 0..15, generation: 0..15: the reference. sequence: 0..255, number of the newest frame modulo 256.
    time_ms: 0..65535, capture time of the newest frame in milliseconds modulo 65536.
    body: at most 2196 bytes, see `MotionCodec.encode_message`.
    """

    slot: int
    generation: int
    sequence: int
    time_ms: int
    body: bytes

    def __post_init__(self) -> None:
        """Check every field. Raises ValueError."""
        require("slot", self.slot, 0, REFERENCE_SLOTS - 1)
        require("generation", self.generation, 0, GENERATIONS - 1)
        require("sequence", self.sequence, 0, 0xFF)
        require("time_ms", self.time_ms, 0, 0xFFFF)
        require("body length", len(self.body), 0, MAX_BODY_BYTES)

    def pack(self) -> bytes:
        """The message's bytes, 4 to 2200."""
        return _HEADER.pack(self.slot << 4 | self.generation, self.sequence, self.time_ms) + self.body

    @classmethod
    def unpack(cls, data: bytes) -> MotionMessage:
        """Inverse of `pack`. The body is not looked at.

        Raises:
            BitstreamError: the length is not 4..2200.
        """
        if not MESSAGE_HEADER_BYTES <= len(data) <= MAX_MESSAGE_BYTES:
            expected = f"{MESSAGE_HEADER_BYTES}..{MAX_MESSAGE_BYTES}"
            raise BitstreamError(f"motion message length: got {len(data)} bytes, expected {expected}; drop the message")
        place, sequence, time_ms = _HEADER.unpack_from(data)
        return cls(
            slot=place >> 4,
            generation=place & 0x0F,
            sequence=sequence,
            time_ms=time_ms,
            body=bytes(data[MESSAGE_HEADER_BYTES:]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class FrameToCode:
    """A frame for `MotionCodec.encode_message`.

    time_ms: 0..65535, capture time in milliseconds modulo 65536. parameters: as detected.
    """

    time_ms: int
    parameters: MotionParameters


@dataclass(frozen=True, slots=True, eq=False)
class CodedFrame:
    """What both ends know of a frame once it is coded; it can be the base of later ones.

    sequence: 0..255. time_ms: 0..65535. slot, generation: its reference. quality: its quantiser index.
    coefficients: M integers, 1/64 of the tables' steps. parameters: decoded, what the receiver rebuilds from.
    repeat: a coarser copy of a frame that went before; it cannot be a base, because its original would be another one.
    """

    sequence: int
    time_ms: int
    slot: int
    generation: int
    quality: int
    coefficients: tuple[int, ...]
    parameters: MotionParameters
    repeat: bool = False
