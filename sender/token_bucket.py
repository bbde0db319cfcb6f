"""A token bucket: the bit rate that references may use, with room for bursts."""

from __future__ import annotations


class TokenBucket:
    """Bytes that may be sent by now.

    It starts full, fills at `rate_bps` bits a second up to `burst_bytes`, and may be overdrawn by what cannot wait.
    Times are seconds on any clock; one that runs backward adds nothing.
    """

    def __init__(self, rate_bps: float, burst_bytes: int) -> None:
        """Raises ValueError for a negative rate or a burst below one byte."""
        _check(rate_bps, burst_bytes)
        self._bytes_per_s = rate_bps / 8
        self._burst_bytes = burst_bytes
        self._level_bytes = float(burst_bytes)
        self._time: float | None = None

    def set_rate(self, rate_bps: float, burst_bytes: int, now: float) -> None:
        """Fill at another rate, up to another level, from `now` on; what is in it above that is lost.

        Raises:
            ValueError: as the constructor.
        """
        level_bytes = self.level_bytes(now)
        _check(rate_bps, burst_bytes)
        self._bytes_per_s = rate_bps / 8
        self._burst_bytes = burst_bytes
        self._level_bytes = min(level_bytes, float(burst_bytes))

    def level_bytes(self, now: float) -> float:
        """What may be sent at `now`; negative after an overdraft."""
        if self._time is not None and now > self._time:
            self._level_bytes = min(self._level_bytes + (now - self._time) * self._bytes_per_s, self._burst_bytes)
        self._time = now if self._time is None else max(now, self._time)
        return self._level_bytes

    def fill(self, now: float) -> float:
        """The level as a share of the burst, 0 to 1."""
        return max(self.level_bytes(now), 0.0) / self._burst_bytes

    def spend(self, count_bytes: int, now: float) -> None:
        """Take `count_bytes` out, into debt if need be."""
        self._level_bytes = self.level_bytes(now) - count_bytes


def _check(rate_bps: float, burst_bytes: int) -> None:
    if not rate_bps >= 0:
        raise ValueError(f"rate_bps: got {rate_bps}, expected 0 or more")
    if burst_bytes < 1:
        raise ValueError(f"burst_bytes: got {burst_bytes}, expected at least 1")
