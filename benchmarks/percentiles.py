"""Times of repeated runs, and their percentiles."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Percentiles of a duration in milliseconds.

    Attributes:
        p50: the median.
        p95: one run in twenty took longer.
        p99: one run in a hundred took longer.
    """

    p50: float
    p95: float
    p99: float

    def to_json(self) -> dict[str, float]:
        """The percentiles by name, rounded to a microsecond."""
        return {"p50": round(self.p50, 3), "p95": round(self.p95, 3), "p99": round(self.p99, 3)}


def percentiles_of(durations_ms: list[float]) -> Percentiles:
    """Percentiles of measured durations.

    Raises:
        ValueError: there are none.
    """
    if not durations_ms:
        raise ValueError("durations: got none, expected at least one; measure more runs")
    p50, p95, p99 = np.percentile(durations_ms, (50, 95, 99))
    return Percentiles(float(p50), float(p95), float(p99))


def measure(run: Callable[[int], object], *, runs: int, warm_up: int) -> Percentiles:
    """Time a function that returns only when its work is done.

    Args:
        run: called with 0, 1, 2, ..., first for the warm-up, then for the measured runs.
        runs: measured runs, at least 1.
        warm_up: runs before them that are not measured.
    """
    durations_ms = []
    for index in range(warm_up + runs):
        began = time.perf_counter()
        run(index)
        if index >= warm_up:
            durations_ms.append(1e3 * (time.perf_counter() - began))
    return percentiles_of(durations_ms)
