"""Where the time goes: seconds of sampling, forward, backward, optimiser."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

PROBE_STEPS = 50
"""On a GPU one step in so many is timed, with the GPU waited for between its parts; the others run on unhindered."""


class TimeTable:
    """Adds up seconds by part, since the last report."""

    def __init__(self, device: torch.device) -> None:
        """Time work on `device`."""
        self.device, self.seconds = device, dict[str, float]()
        self._probed = True

    def begin(self, step: int) -> None:
        """Decide whether this step is timed."""
        self._probed = self.device.type != "cuda" or step % PROBE_STEPS == PROBE_STEPS - 1

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the body's time to `name`, if this step is timed."""
        if not self._probed:
            yield
            return
        started = self._clock()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + self._clock() - started

    def shares(self) -> dict[str, float]:
        """Share of each part in the timed steps, 0 to 1; starts anew."""
        total = sum(self.seconds.values())
        shares = {name: seconds / total for name, seconds in self.seconds.items()} if total else {}
        self.seconds = {}
        return shares

    def _clock(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()
