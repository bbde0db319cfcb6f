"""Where a run leaves its weights and its state."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from adasr_core.networks import CheckpointedNetworks
from training.trainer.state import TrainingState


class Keeper(Protocol):
    """Takes what a run leaves at every report."""

    def checkpoint(self, averaged: CheckpointedNetworks, notes: dict[str, str], *, best: bool) -> None:
        """Take the averaged weights; `best`: they are the best so far on the validation clips."""

    def state(self, state: TrainingState) -> None:
        """Take all that an exact resume needs."""


class FileKeeper:
    """Safetensors beside each other: ``X.safetensors``, ``X.best.safetensors``, ``X.state.safetensors``."""

    def __init__(self, out: Path) -> None:
        """`out`: X.safetensors."""
        self.out = out
        out.parent.mkdir(parents=True, exist_ok=True)

    def checkpoint(self, averaged: CheckpointedNetworks, notes: dict[str, str], *, best: bool) -> None:
        """Write the newest averaged weights, and the best ones."""
        # Written beside and moved: who reads the file while training goes on finds a whole one.
        unfinished = self.out.with_suffix(".unfinished")
        for path in (self.out, self.out.with_suffix(".best.safetensors"))[: 1 + best]:
            averaged.save(unfinished, notes)
            unfinished.replace(path)

    def state(self, state: TrainingState) -> None:
        """Write the state."""
        state.save(self.out.with_suffix(".state.safetensors"))
