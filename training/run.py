"""What every training stage shares: device, clock, moving average of weights, learning rate, checkpoints."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from adasr_core.networks import FaceCodecNetworks


@dataclass(frozen=True, kw_only=True, slots=True)
class RunConfig:
    """Length and pace of one stage."""

    minutes: float = 30.0
    """Wall-clock budget; the learning rate falls to nothing when it is spent."""
    steps: int | None = None
    """Most optimiser steps; the learning rate falls to nothing at whichever end comes first."""
    batch: int = 32
    """Samples a step."""
    learning_rate: float = 2e-3
    """Peak learning rate of AdamW."""
    ema: float = 0.998
    """Decay of the moving average that is evaluated and exported."""
    seed: int = 0
    """Seed of the sampler."""
    device: str = "auto"
    """"cpu", "cuda" or "auto"."""
    report_s: float = 60.0
    """Seconds between reports on the validation clips."""
    out: Path = field(default_factory=lambda: Path("runs/edge.safetensors"))
    """Where the averaged weights go at every report."""


def pick_device(name: str) -> torch.device:
    """The device of a run. Raises ValueError when "cuda" was asked for and is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device: got cuda, but torch sees no GPU; use --device cpu")
    return torch.device(name)


def autocast(device: torch.device) -> AbstractContextManager[None]:
    """Bfloat16 where it is safe; master weights stay float32."""
    return torch.autocast(device.type, torch.bfloat16)


class Stage:
    """Clock, schedule, moving average and checkpoint of one stage."""

    def __init__(self, name: str, networks: FaceCodecNetworks, trained: list[nn.Module], config: RunConfig) -> None:
        """`trained` are the parts of `networks` whose weights this stage changes."""
        self.name, self.config, self.networks = name, config, networks
        self.averaged = copy.deepcopy(networks).eval()
        parameters = [p for module in trained for p in module.parameters()]
        matrices = [p for p in parameters if p.ndim > 1]
        others = [p for p in parameters if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": 1e-2}, {"params": others, "weight_decay": 0.0}],
            lr=config.learning_rate,
            betas=(0.9, 0.99),
        )
        self.parameters = parameters
        self.started = time.monotonic()
        self.paused_s = 0.0
        self.step = 0

    def steps(self) -> Iterator[int]:
        """Count steps until time or steps are spent; sets the learning rate (short warm-up, cosine to zero).

        A gap of over 20 s between two steps (the process was stopped) does not count.
        """
        last = time.monotonic()
        while True:
            now = time.monotonic()
            if now - last > 20:
                self.paused_s += now - last
            last = now
            progress = (now - self.started - self.paused_s) / (60 * self.config.minutes)
            if self.config.steps is not None:
                progress = max(progress, self.step / self.config.steps)
            if progress >= 1:
                return
            scale = min(1.0, (self.step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * progress))
            for group in self.optimizer.param_groups:
                group["lr"] = self.config.learning_rate * max(scale, 0.01)
            yield self.step
            self.step += 1

    def update(self, loss: Tensor) -> None:
        """One optimiser step. Raises FloatingPointError when the loss is not a number."""
        if not torch.isfinite(loss):
            raise FloatingPointError(f"{self.name}: loss is {loss.item()} at step {self.step}; lower --learning-rate")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            theirs = self.networks.state_dict()
            for key, value in self.averaged.state_dict().items():
                if value.is_floating_point():
                    value.lerp_(theirs[key], 1 - decay)
                else:
                    value.copy_(theirs[key])

    def report(self, scalars: dict[str, float]) -> None:
        """Print and append one line of scalars, and save the averaged weights."""
        elapsed = time.monotonic() - self.started - self.paused_s
        line: dict[str, float | str] = {"stage": self.name, "step": self.step, "s": round(elapsed)}
        line["samples"] = self.step * self.config.batch
        line |= {k: round(v, 4) for k, v in scalars.items()}
        print(json.dumps(line), flush=True)
        self.config.out.parent.mkdir(parents=True, exist_ok=True)
        with self.config.out.with_suffix(".jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        self.averaged.save(self.config.out, {"stage": self.name, "steps": str(self.step)})
