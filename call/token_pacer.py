"""Token bucket whose rate can be changed while it runs (pure; the clock is the caller's)."""

from __future__ import annotations

_ROUNDING_BYTES = 1e-3


class TokenPacer:
    """Says how long so many bytes have to wait; starts with a full bucket."""

    def __init__(self, now: float, *, bytes_per_s: float, burst_bytes: float) -> None:
        """Start at ``now`` (seconds).

        Raises:
            ValueError: a rate or burst that is not positive.
        """
        _check(bytes_per_s, burst_bytes)
        self._rate = bytes_per_s
        self._burst = burst_bytes
        self._tokens = burst_bytes
        self._then = now

    def set_rate(self, bytes_per_s: float, burst_bytes: float, now: float) -> None:
        """Go on at another rate; tokens gathered so far stay, as far as the new bucket holds them.

        Raises:
            ValueError: a rate or burst that is not positive.
        """
        _check(bytes_per_s, burst_bytes)
        self._gather(now)
        self._rate = bytes_per_s
        self._burst = burst_bytes
        self._gather(now)

    def delay(self, size: int, now: float) -> float:
        """Seconds until ``size`` bytes may go; more than the bucket holds may go when it is full."""
        self._gather(now)
        missing = min(float(size), self._burst) - self._tokens
        return missing / self._rate if missing > _ROUNDING_BYTES else 0.0

    def take(self, size: int, now: float) -> None:
        """Pay for ``size`` bytes that go now."""
        self._gather(now)
        self._tokens -= size

    def _gather(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._then) * self._rate)
        self._then = max(self._then, now)


def _check(bytes_per_s: float, burst_bytes: float) -> None:
    if not (bytes_per_s > 0 and burst_bytes > 0):
        raise ValueError(f"pacer: got {bytes_per_s} B/s and burst {burst_bytes} B, expected positive numbers")
