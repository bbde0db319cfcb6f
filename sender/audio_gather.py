"""Which frames of sound leave together, and when (pure).

Sound has no datagrams of its own where it can help it: frames wait for the next motion message, which carries them for
their own bytes and 16 of a DATA chunk, but never longer than `patience_s`.

    frames   41 . 42 . 43 . 44 .        . = 20 ms
    motion         ^             ^
    messages    41 42         43 44     on lines that lose: 41 42 43 44, what the message before held once more
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from adasr_core.bitstream.audio_packet import MAX_AUDIO_FRAMES, MAX_AUDIO_MESSAGE_BYTES, AudioMessage

_EPSILON_S = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFrame:
    """One coded frame.

    frame_ms: 20, 40 or 60. sequence: not wrapped, counts silent ones too. time_s: when its first sample was recorded.
    packet: Opus, never empty. patience_s: how long it may wait for company. repeats: so many frames of the message
    before leave once more with it.
    """

    frame_ms: int
    sequence: int
    time_s: float
    packet: bytes
    patience_s: float
    repeats: int


class AudioGather:
    """Frames that wait for a message; times are seconds on one clock."""

    def __init__(self) -> None:
        """Start empty."""
        self._waiting: deque[AudioFrame] = deque()
        self._before: tuple[AudioFrame, ...] = ()
        self._since = 0.0

    def add(self, frame: AudioFrame, now: float) -> bytes | None:
        """Let a frame wait; returns a message that must leave first because the frame does not fit into it."""
        full = None
        if self._waiting and not _fit([*self._waiting, frame]):
            full = self.take()
        if not self._waiting:
            self._since = now
        self._waiting.append(frame)
        return full

    def deadline(self) -> float | None:
        """When what waits must leave, with company or without; None while nothing waits."""
        return self._since + self._waiting[0].patience_s - _EPSILON_S if self._waiting else None

    def take(self) -> bytes | None:
        """The packed message of all that waits; None when nothing does."""
        if not self._waiting:
            return None
        new = tuple(self._waiting)
        self._waiting.clear()
        frames = list(new)
        wanted = min(new[-1].repeats, len(self._before))
        for older in reversed(self._before[len(self._before) - wanted :]):
            if not _fit([older, *frames]):
                break
            frames.insert(0, older)
        self._before = new
        return _pack(frames)


def _fit(frames: list[AudioFrame]) -> bool:
    """Whether these can share a message."""
    span = frames[-1].sequence - frames[0].sequence + 1
    if frames[0].frame_ms != frames[-1].frame_ms or not len(frames) <= span <= MAX_AUDIO_FRAMES:
        return False
    return sum(len(frame.packet) + 2 for frame in frames) + MAX_AUDIO_FRAMES + 5 <= MAX_AUDIO_MESSAGE_BYTES


def _pack(frames: list[AudioFrame]) -> bytes:
    first, newest = frames[0].sequence, frames[-1]
    packets = [b""] * (newest.sequence - first + 1)
    for frame in frames:
        packets[frame.sequence - first] = frame.packet
    message = AudioMessage(
        frame_ms=newest.frame_ms,
        sequence=newest.sequence & 0xFFFF,
        time_ms=round(newest.time_s * 1000) & 0xFFFF,
        frames=tuple(packets),
    )
    return message.pack()
