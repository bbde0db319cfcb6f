"""Whether messages repeat what the one before said: on lines that lose more than 2 % of what is sent.

The receiver's feedback does not count repeats, so the loss that it tells is the line's own, with repeats or without.
"""

from __future__ import annotations

_ON_SHARE = 0.02
_OFF_SHARE = 0.01
_LOSSES_APART = 2
_QUIET_S = 10.0


class Redundancy:
    """Follows the loss of one direction; times are seconds on one clock."""

    def __init__(self) -> None:
        self._quiet_since: float | None = None
        self.on = False

    def update(self, loss: float, losses_apart: int, now: float) -> None:
        """Take what is known now.

        Args:
            loss: share of frames lost lately, 0 to 1.
            losses_apart: messages that were lost lately; a single one says nothing.
            now: seconds.
        """
        if loss > _ON_SHARE and losses_apart >= _LOSSES_APART:
            self.on = True
        if loss >= _OFF_SHARE or self._quiet_since is None:
            self._quiet_since = now
        elif now - self._quiet_since >= _QUIET_S:
            self.on = False
