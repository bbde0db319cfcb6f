"""What a training run is told: length, pace, device, where its result goes."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import torch

PRECISIONS = ("bf16-mixed", "32-true")


@dataclass(frozen=True, kw_only=True, slots=True)
class RunConfig:
    """Length and pace of one stage."""

    minutes: float | None = 30.0
    """Wall-clock budget; the learning rate falls to nothing when it is spent. Pauses of over 20 s do not count. None:
    the steps alone count, and a run repeats bit by bit."""
    steps: int | None = None
    """Most optimiser steps; the learning rate falls to nothing at whichever end comes first."""
    sitting_minutes: float | None = None
    """Stop after this much wall-clock time with a state to go on from, the learning rate where it then is."""
    sitting_steps: int | None = None
    """The same, counted in steps."""
    batch: int = 32
    """Samples a step, over all processes."""
    learning_rate: float = 2e-3
    """Peak learning rate of AdamW."""
    warmup_steps: int = 100
    """Steps over which the learning rate rises linearly to its peak."""
    ema: float = 0.998
    """Decay of the moving average that is evaluated and exported."""
    clip_norm: float = 1.0
    """Largest norm of a step's gradient; longer ones are scaled down."""
    seed: int = 0
    """Seed of the samples: sample i of step s is drawn from (seed, s, i) alone."""
    device: str = "auto"
    """"cpu", "cuda" or "auto"."""
    precision: str = "bf16-mixed"
    """"bf16-mixed" (bfloat16 where it is safe; master weights stay float32) or "32-true"."""
    compile: bool = False
    """Compile the networks by torch.compile; pays after some thousand steps on a GPU."""
    workers: int = 0
    """Threads that prepare batches ahead of the step; 0 prepares each one when it is wanted."""
    read_steps: int = 20
    """On a GPU the losses are read every so many steps (reading waits for the GPU); on a CPU at every step."""
    report_s: float = 60.0
    """Seconds between reports on the validation clips."""
    tensorboard: bool = False
    """Write TensorBoard events beside `out`; scalars go to a .jsonl in any case."""
    out: Path = field(default_factory=lambda: Path("runs/edge.safetensors"))
    """Where the averaged weights go at every report."""

    def __post_init__(self) -> None:
        """Raises ValueError for a value out of its range."""
        for name in ("batch", "learning_rate", "clip_norm", "read_steps", "report_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected above 0")
        for name in ("minutes", "steps", "sitting_minutes", "sitting_steps"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name}: got {value}, expected above 0, or None for no such limit")
        if self.minutes is None and self.steps is None:
            raise ValueError("minutes: got None, expected a budget in minutes, in steps, or both")
        for name in ("warmup_steps", "workers", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected 0 or more")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema: got {self.ema}, expected 0 up to 1")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision: got {self.precision!r}, expected one of {PRECISIONS}")


def pick_device(name: str) -> torch.device:
    """The device of a run. Raises ValueError when "cuda" was asked for and is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name not in ("cpu", "cuda"):
        raise ValueError(f"device: got {name!r}, expected auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device: got cuda, but torch sees no GPU; use --device cpu")
    return torch.device(name)


def autocast(device: torch.device, precision: str = "bf16-mixed") -> AbstractContextManager[None]:
    """Bfloat16 where it is safe; master weights stay float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16-mixed")
