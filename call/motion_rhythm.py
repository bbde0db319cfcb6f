"""When the next motion message is expected to leave, so that others can ride in its datagram (pure)."""

from __future__ import annotations

_LONGEST_INTERVAL_S = 0.5
_LATENESS_S = 0.01


class MotionRhythm:
    """Learns the interval of our own motion messages; the clock is the caller's."""

    def __init__(self) -> None:
        """Start without a message."""
        self.latest = float("-inf")
        self._interval: float | None = None

    def sent(self, now: float) -> None:
        """Note a motion message that leaves at ``now`` (seconds)."""
        gap = now - self.latest
        if gap > _LONGEST_INTERVAL_S:
            self._interval = None
        else:
            self._interval = gap if self._interval is None else self._interval + (gap - self._interval) / 4
        self.latest = now

    def wait(self, now: float, longest: float) -> float:
        """Seconds to wait for the next message; 0 when none is expected within ``longest`` seconds."""
        if self._interval is None:
            return 0.0
        wait = self.latest + self._interval + _LATENESS_S - now
        return wait if 0 < wait <= longest else 0.0
