"""What makes inputs for a target: atheris, guided by coverage, or the plain mutator."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fuzz.mutator import Mutator
from fuzz.target import build_target
from fuzz.watch import MAX_EXTRA_BYTES, Watch, peak_resident_bytes

Engine = Literal["atheris", "mutator"]

PACKAGES = ("adasr_core", "call", "receiver", "sender")
"""Packages whose branches guide atheris."""

FAILING_INPUT = "failing-input"
"""File in a target's folder with the input that broke the law; a run that is killed leaves none, libFuzzer may."""

_CORPUS_BYTES = 192 * 1024 * 1024
_HANG_SECONDS = 25
_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """When a run ends: runs, its executions, 1 or more; seconds, its time, above 0; whichever comes first.

    seed: of the random numbers, 1 or more.
    """

    runs: int
    seconds: float
    seed: int = 1

    def __post_init__(self) -> None:
        """Check the numbers. Raises ValueError."""
        if self.runs < 1 or not self.seconds > 0 or self.seed < 1:
            raise ValueError(
                f"budget: got {self.runs} runs, {self.seconds} s, seed {self.seed}; expected numbers above 0"
            )


def has_atheris() -> bool:
    """True where atheris is installed (its wheels are for Linux on x86-64 alone)."""
    return importlib.util.find_spec("atheris") is not None


def run_mutator(name: str, budget: Budget, folder: Path) -> Watch:
    """Run a target in this process on plainly mutated seeds.

    folder: of the target, where a failing input is written.

    Raises:
        LawBrokenError: an input took too long or too much memory.
        Exception: an input made the parser raise what its documentation does not name.
    """
    target = build_target(name)
    watch = Watch(target)
    mutator = Mutator(target.seeds, target.max_bytes, budget.seed)
    end = time.monotonic() + budget.seconds
    while watch.figures.executions < budget.runs and time.monotonic() < end:
        data = mutator.next()
        try:
            watch.run(data)
        except BaseException:
            (folder / FAILING_INPUT).write_bytes(data)
            raise
    return watch


def run_atheris(name: str, budget: Budget, folder: Path, figures: Path) -> None:
    """Run a target in this process under atheris, which ends the process.

    folder: of the target, where its corpus is kept from run to run and failing inputs are written.
    figures: JSON file for the watch's figures.
    """
    import atheris

    with atheris.instrument_imports(include=list(PACKAGES)):
        target = build_target(name)
    watch = Watch(target)
    corpus, seeds = folder / "corpus", folder / "seeds"
    for place in (corpus, seeds):
        place.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (seeds / str(number)).write_bytes(seed)
    resident = (peak_resident_bytes() or 0) + MAX_EXTRA_BYTES + _CORPUS_BYTES
    arguments = [
        sys.argv[0],
        f"-max_len={target.max_bytes}",
        f"-seed={budget.seed}",
        f"-timeout={_HANG_SECONDS}",
        f"-rss_limit_mb={resident // _MEBIBYTE}",
        f"-artifact_prefix={folder}{os.sep}",
        str(corpus),
        str(seeds),
    ]
    end = time.monotonic() + budget.seconds

    def run(data: bytes) -> None:
        # libFuzzer ends a process without Python's exit handlers, so the budget is kept and the figures written here.
        over = watch.figures.executions >= budget.runs - 1 or time.monotonic() >= end
        try:
            watch.run(data)
        except BaseException:
            (folder / FAILING_INPUT).write_bytes(data)
            figures.write_text(json.dumps(watch.figures.as_dict()))
            raise
        if over:
            figures.write_text(json.dumps(watch.figures.as_dict()))
            os._exit(0)

    atheris.Setup(arguments, run)
    atheris.Fuzz()
