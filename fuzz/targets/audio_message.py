"""Messages of sound."""

from __future__ import annotations

from adasr_core.bitstream import BitstreamError
from adasr_core.bitstream.audio_packet import MAX_AUDIO_FRAMES, MAX_AUDIO_MESSAGE_BYTES, AudioMessage
from fuzz.target import Target


def build() -> Target:
    """What unpacks packs to the same bytes wherever lengths are written the short way."""
    one = AudioMessage(frame_ms=20, sequence=0, time_ms=0, frames=(bytes(30),))
    pause = AudioMessage(frame_ms=60, sequence=0xFFFF, time_ms=0xFFFF, frames=(b"\x58" * 45, b"", b"", b"\x58" * 45))
    long = AudioMessage(frame_ms=40, sequence=300, time_ms=7, frames=(bytes(252), bytes(400), bytes(255)))
    most = AudioMessage(frame_ms=20, sequence=9, time_ms=9, frames=(b"\x08ab",) * MAX_AUDIO_FRAMES)
    seeds = tuple(message.pack() for message in (one, pause, long, most))
    return Target(check=_check, errors=(BitstreamError,), seeds=seeds, max_bytes=MAX_AUDIO_MESSAGE_BYTES + 16)


def _check(data: bytes) -> None:
    message = AudioMessage.unpack(data)
    assert message.pack() == data
    assert message.size_bytes == len(data)
    assert 1 <= len(message.frames) <= MAX_AUDIO_FRAMES
