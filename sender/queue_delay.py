"""The queue that we build on the line, from how long frames travel.

    one-way delay (clock offset unknown) - least lately = queueing delay + jitter
    standing queue = least queueing delay of the last second     jitter and single bursts drop out of the least
    trend          = slope of the delay over the time of sending     seconds of queue a second; with sent rate s on a
                                                                     line of rate c it is s / c - 1

Google congestion control (draft-ietf-rmcat-gcc-02, section 5.3) fits a slope to the delay of packet groups; with 5 to
10 samples a second and frames of 40 ms the slope alone is too noisy, so it only counts together with a standing queue
(CoDel, RFC 8289, takes the same windowed least).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

_BUCKETS = 6
_EPSILON_S = 1e-9


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueDelayConfig:
    """Windows of the estimate."""

    standing_window_s: float = 1.0
    """The standing queue is the least delay of so long, seconds."""
    trend_window_s: float = 1.5
    """The trend is the slope over so long, seconds."""
    base_window_s: float = 60.0
    """The least delay is forgotten after so long, seconds: routes change and clocks drift."""
    least_samples: int = 3
    """Fewer samples in a window say nothing."""

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        for name in ("standing_window_s", "trend_window_s", "base_window_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected more than 0")
        if self.least_samples < 2:
            raise ValueError(f"least_samples: got {self.least_samples}, expected at least 2")


@dataclass(frozen=True, slots=True)
class _Journey:
    known: float
    sent: float
    one_way_s: float


@dataclass(frozen=True, slots=True)
class Trend:
    """Growth of the queue, seconds a second of sending, by frames sent between two times (seconds)."""

    slope: float
    sent_from: float
    sent_until: float


class QueueDelay:
    """Follows the queueing delay of one direction of a line."""

    def __init__(self, config: QueueDelayConfig | None = None) -> None:
        self._config = config if config is not None else QueueDelayConfig()
        self._journeys: deque[_Journey] = deque()
        self._minima: deque[tuple[float, float]] = deque()  # start of a bucket, its least delay

    def add(self, one_way_s: float, sent: float, now: float, *, queued_s: float = 0.0) -> None:
        """Note that a frame travelled `one_way_s` seconds plus an offset that is always the same.

        Args:
            one_way_s: unwrapped; any origin.
            sent: when it left, seconds.
            now: when that was known, seconds; not before the last call's.
            queued_s: so much of it is known to be queue; counts for the first frame, which has nothing to be compared
                with.
        """
        config = self._config
        self._journeys.append(_Journey(now, sent, one_way_s))
        while now - self._journeys[0].known > max(config.trend_window_s, config.standing_window_s) + _EPSILON_S:
            self._journeys.popleft()
        if not self._minima:
            self._minima.append((now, one_way_s - queued_s))
        bucket_s = config.base_window_s / _BUCKETS
        if now - self._minima[-1][0] < bucket_s:
            start, least = self._minima[-1]
            self._minima[-1] = (start, min(least, one_way_s))
        else:
            self._minima.append((now, one_way_s))
        while len(self._minima) > _BUCKETS:
            self._minima.popleft()

    def forget_journeys(self) -> None:
        """Drop the windows, not the least delay: after a silence they say nothing about now."""
        self._journeys.clear()

    def learn_least(self) -> None:
        """Take the present delay for the line's least: it is no queue of ours."""
        self._minima.clear()
        if self._journeys:
            least = min(self._journeys, key=lambda one: one.one_way_s)
            self._minima.append((least.known, least.one_way_s))

    def standing_s(self, now: float) -> float | None:
        """The standing queue, seconds; None while too little is known."""
        window = self._config.standing_window_s
        delays = [one.one_way_s for one in self._journeys if now - one.known <= window + _EPSILON_S]
        if len(delays) < self._config.least_samples:
            return None
        return min(delays) - min(least for _, least in self._minima)

    def trend(self, now: float) -> Trend | None:
        """How the queue grows; None while too little is known."""
        window = self._config.trend_window_s
        recent = [one for one in self._journeys if now - one.known <= window + _EPSILON_S]
        if len(recent) < self._config.least_samples:
            return None
        sent = np.array([one.sent for one in recent])
        delay = np.array([one.one_way_s for one in recent])
        spread = sent - sent.mean()
        variance = float(spread @ spread)
        slope = float(spread @ (delay - delay.mean())) / variance if variance > 0 else 0.0
        return Trend(slope, float(sent.min()), float(sent.max()))
