"""Progress bars on standard error, where a person watches it; silence everywhere else."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


class ProgressReport(Protocol):
    """Told how far a long computation is."""

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """Take note: `done` of `total` steps (None when not known) of a stage are finished."""


def no_progress(stage: str, done: int, total: int | None) -> None:
    """Take no note."""


class ClipReport(Protocol):
    """Told how far the work on one of several clips is."""

    def __call__(self, clip: str, stage: str, done: int, total: int | None) -> None:
        """As `ProgressReport`, for the clip of that name."""


@contextmanager
def progress_bars() -> Iterator[ProgressReport]:
    """Show one bar for each stage while the block runs, if standard error is a terminal."""
    if not sys.stderr.isatty():
        yield no_progress
        return
    tasks: dict[str, TaskID] = {}
    with _bars() as bars:

        def report(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield report


@contextmanager
def clip_bars() -> Iterator[ClipReport | None]:
    """Show one bar for each clip that is worked on, with its stage; None where nobody watches."""
    if not sys.stderr.isatty():
        yield None
        return
    tasks: dict[str, TaskID] = {}
    with _bars() as bars:

        def report(clip: str, stage: str, done: int, total: int | None) -> None:
            if clip not in tasks:
                tasks[clip] = bars.add_task(clip, total=total)
            bars.update(tasks[clip], description=f"{clip}: {stage}", completed=done, total=total)

        yield report


def _bars() -> Progress:
    columns = (TextColumn("{task.description:<20}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)
