"""Anchor packets: pictures at even intervals, between which frames are drawn.

    frames   0  1  2  3  4  5  6  7  8          motion message: frames 1..8
    anchors  A ---------------------A           anchor packet: the picture of frame 8, coded against that of frame 0
                drawn from both

An anchor is the picture of a frame whose motion is sent as well, so it needs no parameters of its own, no slot, and
no check: it travels beside motion that has all of these. Layout, big endian::

    0xA3 | time_ms u16 | chain u8 | index u8 | AV1 unit

``time_ms`` is the frame's, modulo 65536. Chain, index and unit are a picture of `adasr_core.bitstream.av1_chain`, one
chain with the reference packets'. Nothing is ever coded against an anchor but the next pictures of its chain.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from adasr_core.bitstream.bounds import require
from adasr_core.bitstream.errors import BitstreamError
from adasr_core.bitstream.packets import MAX_PICTURE_BYTES

ANCHOR_MARK = 0xA3
"""First byte; a reference packet begins with another one."""

_HEAD = struct.Struct(">BH")
_LEAST_PICTURE_BYTES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorPacket:
    """The picture of one frame.

    time_ms: 0..65535, capture time of the frame in milliseconds modulo 65536. picture: 3 to 262144 bytes, chain, index
    and unit.
    """

    time_ms: int
    picture: bytes

    def __post_init__(self) -> None:
        """Check every field. Raises ValueError."""
        require("time_ms", self.time_ms, 0, 0xFFFF)
        require("picture length", len(self.picture), _LEAST_PICTURE_BYTES, MAX_PICTURE_BYTES)

    def pack(self) -> bytes:
        """The packet's bytes."""
        return _HEAD.pack(ANCHOR_MARK, self.time_ms) + self.picture

    @classmethod
    def unpack(cls, data: bytes) -> AnchorPacket:
        """Inverse of `pack`. The picture is not decoded.

        Raises:
            BitstreamError: another first byte, or too short or too long.
        """
        least, most = _HEAD.size + _LEAST_PICTURE_BYTES, _HEAD.size + MAX_PICTURE_BYTES
        if not least <= len(data) <= most:
            raise BitstreamError(f"anchor packet length: got {len(data)} bytes, expected {least}..{most}; drop it")
        mark, time_ms = _HEAD.unpack_from(data)
        if mark != ANCHOR_MARK:
            raise BitstreamError(f"anchor packet mark: got {mark:#x}, expected {ANCHOR_MARK:#x}; drop it")
        return cls(time_ms=time_ms, picture=bytes(data[_HEAD.size :]))


def is_anchor(data: bytes) -> bool:
    """Whether a packet of the key channel is an anchor's rather than a reference's."""
    return data[:1] == bytes((ANCHOR_MARK,))
