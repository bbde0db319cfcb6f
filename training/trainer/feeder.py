"""Batches by step number: every sample has a random generator of its own, so any batch can be drawn at any time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import numpy as np

Batch = TypeVar("Batch")


def sample_generator(seed: int, step: int, sample: int) -> np.random.Generator:
    """The random generator of sample `sample` of step `step`: the same in any process, at any time."""
    return np.random.default_rng((seed, step, sample))


def share_of(batch: int, rank: int, world_size: int) -> range:
    """Which samples of a step's batch a process draws. Raises ValueError when they cannot be shared evenly."""
    if batch % world_size:
        raise ValueError(f"batch: got {batch}, expected a multiple of the {world_size} processes; change --batch")
    count = batch // world_size
    return range(rank * count, (rank + 1) * count)


class Feeder(Generic[Batch]):
    """Gives the batch of each step, drawn when wanted or by `workers` threads ahead of it, with the same result."""

    def __init__(
        self,
        draw: Callable[[Sequence[np.random.Generator]], Batch],
        seed: int,
        samples: range,
        *,
        workers: int = 0,
        first_step: int = 0,
    ) -> None:
        """`draw` takes one generator a sample and must be safe in several threads at once."""
        self._draw, self._seed, self.samples = draw, seed, samples
        self._step = first_step
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="batch") if workers else None
        self._ahead: deque[Future[Batch]] = deque()
        self._workers = workers

    def _make(self, step: int) -> Batch:
        return self._draw([sample_generator(self._seed, step, i) for i in self.samples])

    def next(self) -> Batch:
        """The batch of the next step."""
        step = self._step
        self._step += 1
        if self._pool is None:
            return self._make(step)
        while len(self._ahead) < self._workers + 1:
            self._ahead.append(self._pool.submit(self._make, step + len(self._ahead)))
        return self._ahead.popleft().result()

    def close(self) -> None:
        """Drop what was drawn ahead."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
