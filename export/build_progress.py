"""TensorRT's progress monitor as bars on the terminal: a build takes minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    import tensorrt

    class BuildMonitor(tensorrt.IProgressMonitor):
        """What `make_monitor` makes. cancelled: Ctrl-C was pressed, and the build told to stop."""

        cancelled: bool


def make_bars() -> Progress:
    """Bars for a build's phases; started by `with`. They show on a terminal alone."""
    console = Console()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def make_monitor(bars: Progress, engine: str) -> BuildMonitor:
    """A monitor that shows the phases of building `engine` in `bars`.

    The class is made here because its base exists only where TensorRT is installed.
    """
    import tensorrt

    class Monitor(tensorrt.IProgressMonitor):
        def __init__(self) -> None:
            super().__init__()
            self.cancelled = False
            self._tasks: dict[str, TaskID] = {}
            self._depths: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            depth = 0 if parent_phase is None else self._depths.get(parent_phase, 0) + 1
            self._depths[phase_name] = depth
            title = f"{engine}: {phase_name}" if depth == 0 else "  " * depth + phase_name
            self._tasks[phase_name] = bars.add_task(title, total=num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            # An exception cannot pass through TensorRT: it is told to stop, and the build comes back without an engine.
            try:
                if phase_name in self._tasks:
                    bars.update(self._tasks[phase_name], completed=step + 1)
            except KeyboardInterrupt:
                self.cancelled = True
            return not self.cancelled

        def phase_finish(self, phase_name: str) -> None:
            task = self._tasks.pop(phase_name, None)
            if task is not None:
                bars.remove_task(task)

    return Monitor()  # type: ignore[return-value]
