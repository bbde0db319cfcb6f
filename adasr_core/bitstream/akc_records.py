"""What an .akc file is made of: its header, its audio and the variable-length integers between them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgpack

from adasr_core.bitstream.bounds import require
from adasr_core.bitstream.errors import BitstreamError
from adasr_core.bitstream.motion_message import MAX_MESSAGE_FRAMES, MotionMessage
from adasr_core.bitstream.packets import MAX_FRAME_PX

TICKS_PER_SECOND = 90_000
"""Presentation times of frames count in 1/90000 s."""

MAX_TICKS = 1 << 40
MAX_FRAMES = 100_000_000
MAX_HEADER_BYTES = 65_536
MAX_AUDIO_PACKET_BYTES = 131_072
MAX_EXTRADATA_BYTES = 4096
_MAX_VARINT_BYTES = 9
_MAX_INT32 = 0x7FFF_FFFF
_MAX_AUDIO_TICKS = 1 << 60
_CODEC_ID = re.compile(r"[0-9a-f]{16}")


def pack_varint(value: int) -> bytes:
    """Unsigned LEB128, 1 to 9 bytes. Raises ValueError outside 0..2**63 - 1."""
    if not 0 <= value < 1 << 7 * _MAX_VARINT_BYTES:
        raise ValueError(f"varint: got {value}, expected 0..2**63 - 1")
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)


def unpack_varint(data: bytes, offset: int) -> tuple[int, int]:
    """Inverse of `pack_varint`: (value, offset behind it).

    Raises:
        BitstreamError: the data ends in it, it has over 9 bytes, or it is longer than it must be.
    """
    value = 0
    for position in range(_MAX_VARINT_BYTES):
        if offset + position >= len(data):
            raise BitstreamError(f"varint at byte {offset}: the data ends inside it")
        byte = data[offset + position]
        value |= (byte & 0x7F) << 7 * position
        if byte < 0x80:
            if byte == 0 and position:
                raise BitstreamError(f"varint at byte {offset}: longer than it must be")
            return value, offset + position + 1
    raise BitstreamError(f"varint at byte {offset}: over {_MAX_VARINT_BYTES} bytes")


def pack_signed_varint(value: int) -> bytes:
    """A signed integer, zigzag coded: 0, -1, 1, -2 become 0, 1, 2, 3. Raises ValueError beyond 62 bits."""
    return pack_varint(value << 1 if value >= 0 else (-value << 1) - 1)


def unpack_signed_varint(data: bytes, offset: int) -> tuple[int, int]:
    """Inverse of `pack_signed_varint`. Raises BitstreamError like `unpack_varint`."""
    value, end = unpack_varint(data, offset)
    return (value >> 1 if not value & 1 else -(value + 1 >> 1)), end


@dataclass(frozen=True, slots=True, kw_only=True)
class AkcHeader:
    """Header of an .akc file.

    codec_id: 16 hex digits, the model that made the packets. model: its name, for messages.
    frame_px: side of a frame, 16..2048. frame_rate: (numerator, denominator) in frames/s, for display and for the
    duration of the last frame; frames carry their own times. frames: number of frames, 1 or more.
    """

    codec_id: str
    model: str
    frame_px: int
    frame_rate: tuple[int, int]
    frames: int

    def __post_init__(self) -> None:
        """Check every field. Raises ValueError."""
        if not _CODEC_ID.fullmatch(self.codec_id):
            raise ValueError(f"header codec_id: got {self.codec_id!r}, expected 16 hex digits")
        if not 1 <= len(self.model) <= 64 or not self.model.isprintable():
            raise ValueError(f"header model: got {self.model!r}, expected 1 to 64 printable characters")
        require("header frame_px", self.frame_px, 16, MAX_FRAME_PX)
        _require_fraction("header frame_rate", self.frame_rate)
        require("header frames", self.frames, 1, MAX_FRAMES)

    def pack(self) -> bytes:
        """The header as msgpack."""
        return _pack_map(
            {
                "codec_id": self.codec_id,
                "model": self.model,
                "frame_px": self.frame_px,
                "frame_rate": self.frame_rate,
                "frames": self.frames,
            }
        )

    @classmethod
    def unpack(cls, data: bytes) -> AkcHeader:
        """Inverse of `pack`. Raises BitstreamError on unknown, missing or invalid fields."""
        types = {"codec_id": str, "model": str, "frame_px": int, "frame_rate": tuple, "frames": int}
        content = _unpack_map("header", data, types)
        try:
            return cls(**content)
        except ValueError as error:
            raise BitstreamError(str(error)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioStream:
    """The audio of a file, carried as it is.

    codec_name: FFmpeg's name, for example "aac". sample_rate: Hz. layout: FFmpeg's channel layout, such as "stereo".
    time_base: (numerator, denominator) of a tick in seconds. extradata: the codec's own header, at most 4096 bytes.
    """

    codec_name: str
    sample_rate: int
    layout: str
    time_base: tuple[int, int]
    extradata: bytes

    def __post_init__(self) -> None:
        """Check every field. Raises ValueError."""
        for name, text in (("codec_name", self.codec_name), ("layout", self.layout)):
            if not 1 <= len(text) <= 64 or not text.isprintable():
                raise ValueError(f"audio {name}: got {text!r}, expected 1 to 64 printable characters")
        require("audio sample_rate", self.sample_rate, 1, 768_000)
        _require_fraction("audio time_base", self.time_base)
        require("audio extradata length", len(self.extradata), 0, MAX_EXTRADATA_BYTES)

    def pack(self) -> bytes:
        """The description as msgpack."""
        return _pack_map(
            {
                "codec_name": self.codec_name,
                "sample_rate": self.sample_rate,
                "layout": self.layout,
                "time_base": self.time_base,
                "extradata": self.extradata,
            }
        )

    @classmethod
    def unpack(cls, data: bytes) -> AudioStream:
        """Inverse of `pack`. Raises BitstreamError on unknown, missing or invalid fields."""
        types = {"codec_name": str, "sample_rate": int, "layout": str, "time_base": tuple, "extradata": bytes}
        content = _unpack_map("audio", data, types)
        try:
            return cls(**content)
        except ValueError as error:
            raise BitstreamError(str(error)) from error


@dataclass(frozen=True, slots=True)
class AudioPacket:
    """One coded audio packet.

    pts, duration: ticks of `AudioStream.time_base`; pts may be below 0. data: 1 to 131072 bytes.
    """

    pts: int
    duration: int
    data: bytes

    def __post_init__(self) -> None:
        """Check every field. Raises ValueError."""
        require("audio pts", self.pts, -_MAX_AUDIO_TICKS, _MAX_AUDIO_TICKS)
        require("audio duration", self.duration, 0, _MAX_AUDIO_TICKS)
        require("audio packet length", len(self.data), 1, MAX_AUDIO_PACKET_BYTES)


@dataclass(frozen=True, slots=True)
class TimedMotion:
    """The frames of a message in a file.

    pts_ticks: presentation time of each frame, oldest first, in 1/90000 s, 0 or more, rising from frame to frame.
    """

    pts_ticks: tuple[int, ...]
    message: MotionMessage

    def __post_init__(self) -> None:
        """Raise ValueError unless there are 1 to 8 frames."""
        require("frames of a message", len(self.pts_ticks), 1, MAX_MESSAGE_FRAMES)


def _require_fraction(name: str, value: tuple[int, int]) -> None:
    parts: tuple[object, ...] = value
    if len(parts) != 2 or not all(isinstance(part, int) and 1 <= part <= _MAX_INT32 for part in parts):
        raise ValueError(f"{name}: got {value}, expected two integers in 1..{_MAX_INT32}")


def _pack_map(content: Mapping[str, object]) -> bytes:
    packed = msgpack.packb(content, use_bin_type=True)
    assert isinstance(packed, bytes)
    return packed


def _unpack_map(name: str, data: bytes, types: Mapping[str, type]) -> dict[str, Any]:
    """A msgpack map with exactly these keys and types; arrays come as tuples."""
    try:
        content = msgpack.unpackb(data, raw=False, use_list=False, strict_map_key=True)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise BitstreamError(f"{name}: not msgpack ({error})") from error
    if not isinstance(content, dict) or set(content) != set(types):
        got = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise BitstreamError(f"{name} keys: got {got}, expected {sorted(types)}; update adasr")
    for key, expected in types.items():
        if type(content[key]) is not expected:
            raise BitstreamError(f"{name} {key}: got {type(content[key]).__name__}, expected {expected.__name__}")
    return content
