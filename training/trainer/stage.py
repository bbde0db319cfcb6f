"""What a stage gives the loop: networks, the parts it trains, batches, losses, figures on the validation clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from adasr_core.networks import CheckpointedNetworks
from training.trainer.launcher import Launcher

Batch = TypeVar("Batch")
Networks = TypeVar("Networks", bound=CheckpointedNetworks)
Image = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class LossTerm:
    """One part of a loss: its name in reports, its value (scalar), and its weight in the sum."""

    name: str
    value: Tensor
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class PhaseLoss:
    """Loss of one phase of a step. `made`: pictures [B, 3, H, W] that the step's later phases look at, detached."""

    terms: tuple[LossTerm, ...]
    made: Tensor | None = None

    def total(self) -> Tensor:
        """Weighted sum of the terms: a scalar. Terms of weight 0 are only reported."""
        weighted = [term.weight * term.value for term in self.terms if term.weight]
        total: Tensor = sum(weighted[1:], start=weighted[0])
        return total


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase(Generic[Batch]):
    """One optimiser's part of a step: most stages have one phase, adversarial training has two."""

    name: str
    trained: tuple[nn.Module, ...]
    """Parts whose weights this phase changes."""
    loss: Callable[[Batch, Tensor | None], PhaseLoss]
    """Loss of a batch; the second argument is what the phase before it made."""
    rate: float = 1.0
    """Learning rate as a share of the run's."""
    betas: tuple[float, float] = (0.9, 0.99)
    """AdamW's decay rates."""


class Stage(Protocol[Batch, Networks]):
    """A stage of training.

    name: in reports and checkpoints. networks: all of them, trained or not. extra: modules outside `networks` (such as
    discriminators) whose weights belong to the state. best_by: key of `validate` that is highest for the best weights.
    """

    name: str
    networks: Networks
    extra: nn.ModuleDict
    best_by: str

    def attach(self, launcher: Launcher) -> None:
        """Take the launcher; called once, after networks and extra modules are on its device."""

    def phases(self) -> tuple[Phase[Batch], ...]:
        """The phases of a step, in order."""

    def batch(self, generators: Sequence[np.random.Generator]) -> Batch:
        """Draw one sample from each generator. May run in another thread than the step."""

    def train_mode(self) -> None:
        """Set training or evaluation mode of each part."""

    def compile(self, on: bool) -> None:
        """Replace the heavy parts' forward passes by compiled ones, or put the plain ones back."""

    def validate(self, averaged: Networks) -> dict[str, float]:
        """Figures on the validation clips."""

    def pictures(self, averaged: Networks) -> list[list[Image]]:
        """Rows of pictures to look at (uint8 RGB [S, S, 3]); none where a stage makes no pictures."""
