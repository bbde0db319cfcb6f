"""Whether the receiver's answer to our motion is overdue: then messages leave with every frame until one is answered.

    messages   A . . . . . . B . . . . h h h h h h h . . . . . . C
    answers      a               (b)               h               B and the first h are lost
                                      ^ overdue

A message of several frames holds the line's news back for a quarter of a second, so the end of a burst of loss is found
late. As with the tail loss probe (RFC 8985, section 7) an answer that does not come asks for more small packets. The
newest frames are what the receiver needs most: it draws those that are missing between them and what it has.

An answer is due a round trip after the oldest message that is not answered left, but not sooner than the receiver's
own pace has it, and as much later as answers lately were: jitter, reordering and a busy receiver are no loss.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from adasr_core.bitstream.feedback import MotionFeedback

_REPLY_PACE_S = 0.2  # call.feedback_pace: one feedback says all that came since the one before
_LATENESS_KEPT = 32
_LATENESS_PERCENTILE = 90.0
_MOST_LATENESS_S = 0.15  # of one answer: a feedback that got lost itself is no measure of how late they come
_MARGIN_S = 0.03
_LEAST_PATIENCE_S = 0.05
_MOST_WAITING = 64
_GIVEN_UP_S = 1.0


class ReplyWatch:
    """Follows messages and their answers; times are seconds on one clock."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, float]] = deque(maxlen=_MOST_WAITING)  # sequence of the newest frame, left
        self._answered_s: float | None = None
        self._lateness: deque[float] = deque(maxlen=_LATENESS_KEPT)
        self._patience_s = _LEAST_PATIENCE_S

    def on_message(self, sequence: int, now: float) -> None:
        """A message left, whose newest frame is `sequence` (0 to 255)."""
        self._waiting.append((sequence, now))

    def on_feedback(self, feedback: MotionFeedback, rtt_s: float | None, now: float) -> None:
        """The receiver says what it has. What it says of messages answered before, or never sent, has no effect.

        rtt_s: the least round trip lately, seconds, or None while it is not known.
        """
        answered = next((place for place, (one, _) in enumerate(self._waiting) if one == feedback.sequence), None)
        if answered is None:
            return
        oldest, left_s = self._waiting[0]
        due_s = self._due_s(left_s, rtt_s)
        if due_s is not None and oldest in feedback.sequences():
            self._lateness.append(min(max(now - due_s, 0.0), _MOST_LATENESS_S))
            late_s = float(np.percentile(self._lateness, _LATENESS_PERCENTILE))
            self._patience_s = max(late_s + _MARGIN_S, _LEAST_PATIENCE_S)
        for _ in range(answered + 1):
            self._waiting.popleft()
        self._answered_s = now

    def overdue(self, rtt_s: float | None, now: float, *, lone_losses: bool = False) -> bool:
        """Whether an answer should have come by `now`, and has not.

        Not any more after a second: then it is no burst but an outage, or the way back.

        Args:
            rtt_s: as in `on_feedback`.
            now: seconds.
            lone_losses: the line is known to lose messages, or their answers, but not many in a row: one that left
                when an answer was overdue must be unanswered for as long itself.
        """
        if not self._waiting or rtt_s is None:
            return False
        due_s = self._due_s(self._waiting[0][1], rtt_s)
        if due_s is None:
            return False
        overdue_s = due_s + self._patience_s
        given_up_s = overdue_s + _GIVEN_UP_S
        if lone_losses:
            again_s = next((left_s for _, left_s in self._waiting if left_s >= overdue_s), None)
            if again_s is None:
                return False
            overdue_s = again_s + rtt_s + self._patience_s
        return overdue_s <= now < given_up_s

    def _due_s(self, left_s: float, rtt_s: float | None) -> float | None:
        """When a message that left at `left_s` is answered at best; None before the first answer."""
        if self._answered_s is None or rtt_s is None:
            return None
        return max(self._answered_s + _REPLY_PACE_S, left_s + rtt_s)
