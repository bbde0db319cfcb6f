"""A message of sound: up to 16 Opus frames that follow each other, the newest last.

Big endian::

    0               1                               3                               5
    +---------------+-------------------------------+-------------------------------+-- ...
    |dur|0 0| n - 1 |         sequence u16          |          time_ms u16          | n frames, oldest first
    +---------------+-------------------------------+-------------------------------+-- ...

    dur          duration of every frame: 0 = 20 ms, 1 = 40 ms, 2 = 60 ms
    n - 1        frames, silent ones in between included, less one; 4 bits
    sequence     of the newest frame; counts frames of that duration, silent ones too
    time_ms      when the first sample of the newest frame was recorded, on the clock of the motion messages
    a frame      its length, then so many bytes of one Opus packet (RFC 6716, section 3.1); length 0: nothing was said
    length       as in RFC 6716, section 3.2.1: 0..251 in one byte, else 252 + (length & 3), (length - 252) >> 2
    last frame   has no length: it is the rest of the message

Neither the oldest nor the newest frame is silent: what is silent at an end is not sent.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from adasr_core.bitstream.bounds import require
from adasr_core.bitstream.errors import BitstreamError

AUDIO_FRAME_MS = (20, 40, 60)
"""Durations that a frame may have."""

MAX_AUDIO_FRAMES = 16
"""In one message."""

MAX_AUDIO_FRAME_BYTES = 400
"""Of one Opus packet: 60 ms at 53 kbit/s."""

MAX_AUDIO_MESSAGE_BYTES = 1000
"""A message is never longer: it fits into a datagram."""

_HEAD = struct.Struct(">BHH")
_TWO_BYTES_FROM = 252


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioMessage:
    """Frames of sound that follow each other.

    frame_ms: 20, 40 or 60. sequence: 0..65535, of the newest frame. time_ms: 0..65535, capture time of its first
    sample. frames: 1 to 16 Opus packets, oldest first; empty ones are silent, but neither the first nor the last.
    """

    frame_ms: int
    sequence: int
    time_ms: int
    frames: tuple[bytes, ...]

    def __post_init__(self) -> None:
        """Check every field. Raises ValueError."""
        if self.frame_ms not in AUDIO_FRAME_MS:
            raise ValueError(f"frame_ms: got {self.frame_ms}, expected one of {AUDIO_FRAME_MS}")
        require("sequence", self.sequence, 0, 0xFFFF)
        require("time_ms", self.time_ms, 0, 0xFFFF)
        require("frames", len(self.frames), 1, MAX_AUDIO_FRAMES)
        if not self.frames[0] or not self.frames[-1]:
            raise ValueError("frames: the first or the last is silent, expected sound there; leave silence at ends out")
        for frame in self.frames:
            require("bytes of a frame", len(frame), 0, MAX_AUDIO_FRAME_BYTES)
        require("bytes of an audio message", self.size_bytes, 1, MAX_AUDIO_MESSAGE_BYTES)

    @property
    def size_bytes(self) -> int:
        """Bytes of the packed message."""
        lengths = sum(2 if len(frame) >= _TWO_BYTES_FROM else 1 for frame in self.frames[:-1])
        return _HEAD.size + lengths + sum(map(len, self.frames))

    def pack(self) -> bytes:
        """The message's bytes."""
        head = AUDIO_FRAME_MS.index(self.frame_ms) << 6 | len(self.frames) - 1
        parts = [_HEAD.pack(head, self.sequence, self.time_ms)]
        for frame in self.frames[:-1]:
            parts += [_pack_length(len(frame)), frame]
        return b"".join([*parts, self.frames[-1]])

    @classmethod
    def unpack(cls, data: bytes) -> AudioMessage:
        """Inverse of `pack`; the Opus packets themselves are not looked into.

        Raises:
            BitstreamError: no message that `pack` makes.
        """
        if not _HEAD.size < len(data) <= MAX_AUDIO_MESSAGE_BYTES:
            raise BitstreamError(
                f"audio message length: got {len(data)} bytes, expected {_HEAD.size + 1} to {MAX_AUDIO_MESSAGE_BYTES}; "
                "drop the message"
            )
        head, sequence, time_ms = _HEAD.unpack_from(data)
        duration = head >> 6
        if duration >= len(AUDIO_FRAME_MS) or head & 0x30:
            raise BitstreamError(f"audio message head: got {head:#04x}, expected dur 0..2 and two zeros; drop it")
        frames: list[bytes] = []
        place = _HEAD.size
        for _ in range(head & 0x0F):
            length, place = _unpack_length(data, place)
            if length > min(MAX_AUDIO_FRAME_BYTES, len(data) - place):
                raise BitstreamError(
                    f"audio frame length: got {length}, left are {len(data) - place}; drop the message"
                )
            frames.append(data[place : place + length])
            place += length
        frames.append(data[place:])
        if not frames[0] or not frames[-1] or len(frames[-1]) > MAX_AUDIO_FRAME_BYTES:
            raise BitstreamError(
                f"audio message: got {len(frames[0])} and {len(frames[-1])} bytes in its first and last frame, "
                f"expected 1 to {MAX_AUDIO_FRAME_BYTES}; drop the message"
            )
        return cls(frame_ms=AUDIO_FRAME_MS[duration], sequence=sequence, time_ms=time_ms, frames=tuple(frames))


def _pack_length(length: int) -> bytes:
    if length < _TWO_BYTES_FROM:
        return bytes([length])
    return bytes([_TWO_BYTES_FROM + (length & 3), (length - _TWO_BYTES_FROM) >> 2])


def _unpack_length(data: bytes, place: int) -> tuple[int, int]:
    """A length and the place after it."""
    if place >= len(data):
        raise BitstreamError("audio message: it ends before a frame's length; drop the message")
    first = data[place]
    if first < _TWO_BYTES_FROM:
        return first, place + 1
    if place + 1 >= len(data):
        raise BitstreamError("audio message: it ends within a frame's length; drop the message")
    return first + 4 * data[place + 1], place + 2
