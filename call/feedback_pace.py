"""When a receiver tells the sender what came.

Feedback costs bytes both ways: its own datagram, and the acknowledgement that rides on the sender's next one. It is
worth most at the start and after a break, when the sender has nothing to code against and a rate to find.
"""

from __future__ import annotations

_EAGER_S = 0.04
_EAGER_FOR_S = 1.0
_BREAK_S = 0.5
_DUPLEX_S = 0.1
_ONE_WAY_S = 0.2


class FeedbackPace:
    """Times of feedback; seconds on one clock."""

    def __init__(self, *, duplex: bool) -> None:
        """duplex: our own motion goes the other way, so that feedback finds company for most of its headers."""
        self._usual_s = _DUPLEX_S if duplex else _ONE_WAY_S
        self._motion_at: float | None = None
        self._began_at = 0.0
        self._sent_at: float | None = None

    def motion_arrived(self, now: float) -> None:
        """A motion message came."""
        if self._motion_at is None or now - self._motion_at > _BREAK_S:
            self._began_at = now
        self._motion_at = now

    def due(self, now: float, *, urgent: bool = False) -> bool:
        """Whether feedback may go now. urgent: the sender builds on what is not here."""
        if self._sent_at is None:
            return True
        eager = urgent or now - self._began_at < _EAGER_FOR_S
        return now - self._sent_at >= (_EAGER_S if eager else self._usual_s)

    def sent(self, now: float) -> None:
        """Feedback went."""
        self._sent_at = now
