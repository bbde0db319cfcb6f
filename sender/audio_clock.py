"""When each frame of a microphone was recorded: a smooth clock out of uneven arrivals (pure).

Blocks come late by turns, never early, and the device's own clock is a little fast or slow. Times follow the count of
samples; each arrival moves them by a small part of its difference. A device that paused has skipped frames.
"""

from __future__ import annotations

_FOLLOW = 0.02
_PAUSE_S = 0.3


class AudioClock:
    """Gives frames their times and sequence numbers; times are seconds on the caller's clock."""

    def __init__(self, frame_s: float) -> None:
        """frame_s: duration of a frame, seconds."""
        self._frame_s = frame_s
        self._next_s: float | None = None
        self._sequence = -1

    def frame(self, arrived_s: float) -> tuple[int, float]:
        """A frame is complete, its last sample came at `arrived_s`: its number, not wrapped, and when it began."""
        began = arrived_s - self._frame_s
        if self._next_s is None:
            self._next_s = began
        off = began - self._next_s
        if abs(off) > _PAUSE_S:
            self._sequence += max(round(off / self._frame_s), 0)
            self._next_s = began
        else:
            self._next_s += _FOLLOW * off
        self._sequence += 1
        now, self._next_s = self._next_s, self._next_s + self._frame_s
        return self._sequence, now
