"""Progress of a long run: bars on a terminal, a line for each video elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from training.prepare.record import VideoRecord


class PrepareProgress:
    """Counts records as they come in. Use it as a context manager.

    Args:
        total: videos and pictures to prepare.
        stream: where to write, usually standard error.
    """

    def __init__(self, total: int, stream: TextIO) -> None:
        self._console = Console(file=stream)
        self._total = total
        self._done = 0
        self.clips = 0
        self.seconds = 0.0
        self.frames_read = 0
        self.work_s = 0.0
        self.failures: list[VideoRecord] = []
        self._bars: Progress | None = None
        if self._console.is_terminal:
            self._bars = Progress(
                TextColumn("preparing"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[said]}"),
                console=self._console,
            )
            self._task = self._bars.add_task("", total=total, said="")

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def add(self, record: VideoRecord) -> None:
        """Count a video that has ended, well or not."""
        self._done += 1
        self.clips += len(record.clips)
        self.seconds += sum(clip.end_s - clip.start_s for clip in record.clips)
        self.frames_read += record.frames_read
        self.work_s += record.work_s
        if record.error is not None:
            self.failures.append(record)
        if self._bars is not None:
            said = f"{self.clips} clips, {self.seconds / 60:.1f} min, {len(self.failures)} failed"
            self._bars.update(self._task, advance=1, said=said)
        else:
            line = f"[{self._done}/{self._total}] {record.key}: {_outcome(record)}"
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def _outcome(record: VideoRecord) -> str:
    """What became of a video, in a few words."""
    if record.error is not None:
        return f"failed: {record.error}"
    kind = "still" if record.job["still"] else "clip"
    said = f"{len(record.clips)} {kind}{'' if len(record.clips) == 1 else 's'} in {record.work_s:.1f} s"
    left_out = ", ".join(
        reason + (f" {seconds:.1f} s" if seconds else "") for reason, seconds in record.left_out_s.items()
    )
    return f"{said}; left out: {left_out}" if left_out else said
