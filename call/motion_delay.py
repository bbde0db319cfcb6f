"""How much later than at best our motion arrives, from the peer's feedback (pure).

The references' pace is halved when this grows (call.key_sender), here in the transport, because the queue that a chunk
builds on a slow line is gone again before a busy media process has looked.
"""

from __future__ import annotations

from collections import deque

from adasr_core.bitstream.feedback import MotionFeedback

_MODULO_MS = 1 << 16
_STANDING_S = 0.4
_BASE_S = 20.0


class MotionDelay:
    """Follows the transit times that feedback reports; the clock is the caller's."""

    def __init__(self) -> None:
        """Start without feedback."""
        self._origin: int | None = None
        self._recent: deque[tuple[float, int]] = deque()
        self._bases: deque[tuple[float, int]] = deque()

    def add(self, feedback: MotionFeedback, now: float) -> float:
        """Take one feedback; returns the standing delay above the least of the last 20 to 40 s, in milliseconds.

        Standing: the least of the last 0.4 s, so that jitter and a frame that was coded late do not count.
        """
        if self._origin is None:
            self._origin = feedback.transit_ms
        transit = (feedback.transit_ms - self._origin + _MODULO_MS // 2) % _MODULO_MS - _MODULO_MS // 2
        self._recent.append((now, transit))
        while now - self._recent[0][0] > _STANDING_S:
            self._recent.popleft()
        if not self._bases or now - self._bases[-1][0] > _BASE_S:
            self._bases.append((now, transit))
        else:
            self._bases[-1] = (self._bases[-1][0], min(self._bases[-1][1], transit))
        while len(self._bases) > 2:
            self._bases.popleft()
        return float(min(delay for _, delay in self._recent) - min(base for _, base in self._bases))
