"""Random choices of one sample.

Every sample has a seed of its own, drawn from the caller's generator one after the other. What happens to a picture
therefore hangs on its place in the run, and not on how the run was cut into batches or on what its neighbours got.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

Choice = TypeVar("Choice")
_SEEDS = 2**62


class SampleRandom:
    """Draws of one sample, from a generator on the CPU: the same on every device."""

    def __init__(self, seed: int) -> None:
        """Start at `seed`, 0 or more."""
        self._generator = torch.Generator().manual_seed(seed)

    def uniform(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * float(torch.rand((), generator=self._generator, dtype=torch.float64))

    def log_uniform(self, low: float, high: float) -> float:
        """A number in [low, high) whose logarithm is uniform; both above 0."""
        return math.exp(self.uniform(math.log(low), math.log(high)))

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.uniform(0.0, 1.0) < probability

    def choose(self, choices: Sequence[Choice], weights: Sequence[float] | None = None) -> Choice:
        """One of `choices`, alike or by weight; weights need not add to 1."""
        shares = torch.ones(len(choices)) if weights is None else torch.tensor(weights, dtype=torch.float32)
        return choices[int(torch.multinomial(shares, 1, generator=self._generator))]

    def seed(self) -> int:
        """A seed for a generator elsewhere, e.g. on a GPU."""
        return int(torch.randint(_SEEDS, (), generator=self._generator))


def sample_seeds(count: int, generator: torch.Generator) -> list[int]:
    """`count` seeds, drawn one by one: two calls of 2 give what one call of 4 gives."""
    return [int(torch.randint(_SEEDS, (), generator=generator)) for _ in range(count)]


def check_probability(name: str, value: float) -> None:
    """Raises ValueError unless 0 <= value <= 1."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name}: got {value}, expected a probability, 0 to 1")


def check_range(name: str, value: tuple[float, float], low: float, high: float = math.inf) -> None:
    """Raises ValueError unless low <= value[0] <= value[1] <= high."""
    if not low <= value[0] <= value[1] <= high:
        raise ValueError(f"{name}: got {value}, expected a range inside {low} to {high}, the smaller end first")


def check_pictures(pictures: Tensor) -> None:
    """Raises ValueError unless float [B, 3, S, S], S of 16 or more."""
    shape = tuple(pictures.shape)
    if pictures.ndim != 4 or shape[1] != 3 or shape[2] != shape[3] or shape[2] < 16 or not pictures.is_floating_point():
        raise ValueError(
            f"pictures: got {pictures.dtype} {shape}, expected float [B, 3, S, S] in 0..1, S of 16 or more"
        )
