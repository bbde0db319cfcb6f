"""The instants at which frames are drawn: where some are missing, and where the display is faster than the sender.

    frames    17 . . . . . . . . . 18 . . . . . . . . . . . . . . . . . . . 20
    instants  |                    |          (19 is missing:) |            |        as sent
    instants  |         |          |         |         |       |     |      |        a display twice as fast

The time between two frames is divided evenly, so every frame that was sent is itself shown.
"""

from __future__ import annotations

from receiver.timeline import Stamp

_SHORTEST_STEP_MS = 4.0
_STRAIN_LIMIT = 4.0
_RELIEF = 0.25
_FIRST_REST_S = 2.0
_LONGEST_REST_S = 64.0


class DisplayRate:
    """Divides the time between frames, and gives up on a faster display while the machine cannot keep up with it."""

    def __init__(self, display_interval_ms: float | None, longest_gap_ms: float) -> None:
        """Begin at the display's rate.

        display_interval_ms: wanted time between the frames shown; None for the sender's. longest_gap_ms: nothing is
        drawn between two frames that are farther apart.
        """
        self._display_interval_ms = display_interval_ms
        self._longest_gap_ms = longest_gap_ms
        self._strain = 0.0
        self._rest_until: float | None = None
        self._rest_s = _FIRST_REST_S

    @property
    def resting(self) -> bool:
        """Whether only what was sent is shown, because the machine did not keep up."""
        return self._rest_until is not None

    def step_ms(self, gap_ms: float, frames: int = 1) -> float:
        """Time between instants in a gap between two frames whose sequence numbers are `frames` apart."""
        parts = max(frames, 1)
        if self._display_interval_ms is not None and not self.resting:
            parts = max(parts, round(gap_ms / self._display_interval_ms))
        return gap_ms / max(min(parts, int(gap_ms / _SHORTEST_STEP_MS)), 1)

    def between(self, before: Stamp, after: Stamp) -> list[int]:
        """Capture times strictly between two frames at which something is to be shown."""
        gap_ms = after.capture_ms - before.capture_ms
        if not 0 < gap_ms <= self._longest_gap_ms:
            return []
        step_ms = self.step_ms(gap_ms, after.sequence - before.sequence)
        return [before.capture_ms + round(number * step_ms) for number in range(1, round(gap_ms / step_ms))]

    def skipped(self, instants: int, now: float) -> None:
        """Of the last frames that could have been drawn, so many were not, because `pull` came too late."""
        if self._display_interval_ms is None or self.resting:
            return
        self._strain = self._strain + instants if instants else max(self._strain - _RELIEF, 0.0)
        if self._strain > _STRAIN_LIMIT:
            self._strain = 0.0
            self._rest_until = now + self._rest_s
            self._rest_s = min(2 * self._rest_s, _LONGEST_REST_S)

    def look(self, now: float) -> None:
        """Try the display's rate again when it has rested long enough."""
        if self._rest_until is not None and now >= self._rest_until:
            self._rest_until = None
