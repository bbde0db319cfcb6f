"""Time and learning rate: how far a run is, and how fast it learns there."""

from __future__ import annotations

import math
from collections.abc import Callable

from training.run import RunConfig

PAUSE_S = 20.0
"""A longer gap between two looks at the clock means that the process was stopped; it does not count."""


class Budget:
    """Wall-clock seconds and steps that a run may spend; `now` is the clock, in seconds."""

    def __init__(self, config: RunConfig, now: Callable[[], float], *, spent_s: float = 0.0) -> None:
        """Start (or go on, with `spent_s` behind it)."""
        self.config, self.now = config, now
        self.spent_s, self.sitting_s = spent_s, 0.0
        self._last = now()

    def tick(self, *, working: bool = False) -> None:
        """Look at the clock. `working`: the gap was work (a validation), however long."""
        now = self.now()
        gap, self._last = now - self._last, now
        if working or gap <= PAUSE_S:
            self.spent_s += gap
            self.sitting_s += gap

    def progress(self, step: int, spent_s: float) -> float:
        """Share of the run that is spent, 0 to 1 (or above): by the clock or by steps, whichever is further."""
        progress = 0.0 if self.config.minutes is None else spent_s / (60 * self.config.minutes)
        if self.config.steps is not None:
            progress = max(progress, step / self.config.steps)
        return progress

    def eta_s(self, progress: float) -> float:
        """Seconds until the run ends, at the pace so far; 0 while a run by steps has no pace."""
        if progress > 0:
            return max(0.0, self.spent_s * (1 - progress) / progress)
        return 60 * (self.config.minutes or 0.0)

    def sitting_over(self, steps_done: int, sitting_s: float) -> bool:
        """Whether this sitting must end, `steps_done` steps and `sitting_s` after it began."""
        minutes, steps = self.config.sitting_minutes, self.config.sitting_steps
        return (minutes is not None and sitting_s >= 60 * minutes) or (steps is not None and steps_done >= steps)


def learning_rate(config: RunConfig, step: int, progress: float) -> float:
    """Linear warm-up, then half a cosine to 1 % of the peak at `progress` 1."""
    rise = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    return config.learning_rate * max(rise * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))), 0.01)
