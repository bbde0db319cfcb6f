"""Losses of every step, read from the device every few steps; stops a run whose loss or gradient is not a number."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from training.trainer.stage import PhaseLoss

SMOOTHING = 0.02
"""Share of the newest step in the running mean."""


class Ledger:
    """Running means of loss terms. Reading a value waits for the GPU, so it is done every `read_steps` steps."""

    def __init__(self, stage: str, read_steps: int) -> None:
        """For the terms of `stage`."""
        self.stage, self.read_steps = stage, read_steps
        self.running: dict[str, float] = {}
        self._pending: list[tuple[int, tuple[str, ...], Tensor]] = []

    def enter(self, step: int, phase: str, loss: PhaseLoss, gradient_norm: Tensor) -> None:
        """Note one phase's loss terms and the norm of its gradient (before clipping)."""
        names = (*(term.name for term in loss.terms), f"gradient of {phase}")
        values = torch.stack([*(term.value.detach().float() for term in loss.terms), gradient_norm.detach().float()])
        self._pending.append((step, names, values))
        if len({s for s, _, _ in self._pending}) >= self.read_steps:
            self.read()

    def read(self) -> None:
        """Take in what is pending.

        Raises:
            FloatingPointError: a term is not a number or infinite; names the first such term and its step.
        """
        pending, self._pending = self._pending, []
        if not pending:
            return
        table = torch.cat([values for _, _, values in pending]).tolist()
        at = 0
        for step, names, values in pending:
            for name, value in zip(names, table[at : at + len(values)], strict=True):
                if not math.isfinite(value):
                    raise FloatingPointError(
                        f"{self.stage}: {name} is {value} at step {step}; lower --learning-rate, or go on "
                        "from the last checkpoint with another --seed"
                    )
                old = self.running.get(name)
                self.running[name] = value if old is None else old + SMOOTHING * (value - old)
            at += len(values)
