"""torch.compile with an answer when it cannot: one line that says why, and training goes on uncompiled."""

from __future__ import annotations

import time
from typing import TypeVar

import torch

from adasr_core.networks import CheckpointedNetworks
from training.trainer.launcher import Launcher
from training.trainer.stage import Phase, Stage

Batch = TypeVar("Batch")
Networks = TypeVar("Networks", bound=CheckpointedNetworks)


def compile_or_say_why_not(
    stage: Stage[Batch, Networks], phases: tuple[Phase[Batch], ...], batch: Batch, launcher: Launcher
) -> str:
    """Compile a stage and try it on `batch`; weights, gradients and batch norm statistics stay as they were.

    Returns:
        One line for the reader: the seconds it took, or why the stage runs uncompiled.
    """
    started = time.perf_counter()
    buffers = [(b, b.clone()) for b in stage.networks.buffers()]
    stage.compile(True)
    try:
        made = None
        for phase in phases:
            loss = phase.loss(batch, made)
            launcher.backward(loss.total())
            made = loss.made
        line = f"compiled in {time.perf_counter() - started:.0f} s"
    # Compilers fail in many ways (no C++ compiler, no Triton, an operator they do not know): RuntimeError covers
    # dynamo's and inductor's, OSError and ImportError a missing tool.
    except (RuntimeError, OSError, ImportError) as error:
        stage.compile(False)
        torch.compiler.reset()
        first = str(error).strip().partition("\n")[0]
        line = f"torch.compile failed ({type(error).__name__}: {first[:200]}); training goes on uncompiled"
    for module in (stage.networks, stage.extra):
        module.zero_grad(set_to_none=True)
    with torch.no_grad():
        for buffer, before in buffers:
            buffer.copy_(before)
    return line
