"""How long sound waits before it is heard, from how unevenly it arrived (pure).

A frame's transit is its arrival less its capture time; the clocks' unknown offset is in it and in everything that is
compared with it. Frames wait so long that nearly all of the last seconds would have been there in time, those that came
as repeats included.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

_KEPT = 500
_LEAST_KEPT = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class AudioDelayConfig:
    """How the delay follows the line; seconds."""

    in_time_share: float = 0.98
    """Share of the frames of the last seconds that would have been in time, 0.5 to 1."""
    margin_s: float = 0.01
    """On top, for the block that is played and a late wake-up."""
    window_s: float = 8.0
    """Arrivals of so long are looked at."""
    longest_s: float = 0.4
    """The most beyond the fastest frame's transit."""
    shrink_s_per_s: float = 0.03
    """How fast the delay shrinks when the line calms down."""
    longest_hold_s: float = 0.25
    """The most that sound waits for pictures, beyond what its line needs."""

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        if not 0.5 <= self.in_time_share <= 1:
            raise ValueError(f"in_time_share: got {self.in_time_share}, expected 0.5 to 1")
        for name in ("margin_s", "window_s", "longest_s", "shrink_s_per_s", "longest_hold_s"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected 0 or more")


class AudioDelay:
    """Follows transits; times are seconds on the caller's clock."""

    def __init__(self, config: AudioDelayConfig) -> None:
        """Start without an arrival."""
        self._config = config
        self._transits: deque[tuple[float, float]] = deque(maxlen=_KEPT)
        self._wanted_s = 0.0
        self._followed_s: float | None = None
        self._hold_to_s: float | None = None

    @property
    def target_s(self) -> float:
        """From a sample's capture time (sender's clock) to when it shall be heard (ours)."""
        if self._hold_to_s is None:
            return self._wanted_s
        return max(self._wanted_s, min(self._hold_to_s, self._wanted_s + self._config.longest_hold_s))

    def arrived(self, transits_s: list[float], now: float) -> None:
        """Take the transits of frames that were not there before."""
        self._transits.extend((now, transit) for transit in transits_s)
        while len(self._transits) > _LEAST_KEPT and now - self._transits[0][0] > self._config.window_s:
            self._transits.popleft()
        values = np.array([transit for _, transit in self._transits])
        least = float(values.min())
        wanted = float(np.quantile(values, self._config.in_time_share, method="higher"))
        wanted = min(wanted, least + self._config.longest_s) + self._config.margin_s
        if self._followed_s is None:
            self._wanted_s = wanted
        else:
            step = self._config.shrink_s_per_s * max(now - self._followed_s, 0.0)
            self._wanted_s = max(wanted, self._wanted_s - step)
        self._followed_s = now

    def hold_to(self, delay_s: float | None) -> None:
        """Sound shall not be heard sooner than this after its capture: pictures come no sooner; None: no matter."""
        self._hold_to_s = delay_s

    def restart(self) -> None:
        """Forget all arrivals: the sender's clock is another."""
        self._transits.clear()
        self._followed_s = None
