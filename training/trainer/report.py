"""What a run says: one line a report on the screen, JSON lines, TensorBoard, picture grids."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from training.trainer.stage import Image


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """One report.

    step, samples: done so far, over all processes. seconds: spent. eta_s: until the run's end, seconds.
    samples_per_s: since the last report, validation left out. shares: where the steps' time went, 0 to 1 by part.
    losses: running means. figures: on the validation clips, which took validation_s.
    """

    stage: str
    step: int
    samples: int
    seconds: float
    eta_s: float
    samples_per_s: float
    learning_rate: float
    losses: dict[str, float]
    figures: dict[str, float]
    shares: dict[str, float]
    validation_s: float

    def to_json(self) -> str:
        """One line of JSON."""
        line: dict[str, object] = {
            "stage": self.stage,
            "step": self.step,
            "s": round(self.seconds),
            "samples": self.samples,
            "samples_per_s": round(self.samples_per_s, 2),
            "eta_s": round(self.eta_s),
            "learning_rate": float(f"{self.learning_rate:.3g}"),
        }
        line |= {k: round(v, 4) for k, v in (self.losses | self.figures).items()}
        line["time"] = {k: round(v, 3) for k, v in self.shares.items()}
        line["validation_s"] = round(self.validation_s, 1)
        return json.dumps(line)

    def to_line(self) -> str:
        """For people: progress, pace, losses, figures, where the time went."""
        values = "  ".join(f"{k} {v:.4g}" for k, v in (self.losses | self.figures).items())
        shares = ", ".join(f"{name} {share:.0%}" for name, share in self.shares.items())
        minutes, left = self.seconds / 60, self.eta_s / 60
        return (
            f"{self.stage}: step {self.step}, {minutes:.1f} min, {left:.1f} min left, {self.samples_per_s:.1f} "
            f"samples/s | {values} | time: {shares or 'no step timed yet'}; "
            f"validation {self.validation_s:.0f} s"
        )


class Reporter:
    """Writes reports beside a checkpoint ``X.safetensors``: ``X.jsonl``, ``X.grid.jpg``, ``X.tensorboard/``."""

    def __init__(self, out: Path, *, tensorboard: bool) -> None:
        """Raises ImportError when TensorBoard was asked for and is not installed."""
        self._scalars, self._grid = out.with_suffix(".jsonl"), out.with_suffix(".grid.jpg")
        out.parent.mkdir(parents=True, exist_ok=True)
        self._writer = None
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(out.with_suffix(".tensorboard")))

    def write(self, report: Report, rows: list[list[Image]]) -> None:
        """Append the scalars and replace the grid."""
        with self._scalars.open("a") as file:
            file.write(report.to_json() + "\n")
        grid = picture_grid(rows)
        if grid is not None:
            cv2.imwrite(str(self._grid), cv2.cvtColor(grid, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])
        if self._writer is None:
            return
        groups = {"loss": report.losses, "validation": report.figures, "time": report.shares}
        pace = {"samples_per_s": report.samples_per_s, "learning_rate": report.learning_rate}
        for group, values in (groups | {"pace": pace}).items():
            for name, value in values.items():
                self._writer.add_scalar(f"{group}/{name}", value, report.step)
        if grid is not None:
            self._writer.add_image("pictures", grid, report.step, dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        """Close the TensorBoard file."""
        if self._writer is not None:
            self._writer.close()


def picture_grid(rows: list[list[Image]]) -> Image | None:
    """Rows of equally large pictures as one picture, or None when there are none."""
    if not rows:
        return None
    return np.concatenate([np.concatenate(row, axis=1) for row in rows], axis=0)
