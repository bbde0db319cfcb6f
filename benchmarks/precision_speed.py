"""How fast a frame is in every precision, measured in one run, in turn, so that a busy machine is busy for all."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.percentiles import Percentiles, percentiles_of
from benchmarks.precision_variant import Variant

Picture = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeedRun:
    """How long is measured."""

    threads: tuple[int, ...] = (2, 1)
    """Processor threads, one row of the table each."""
    rounds: int = 8
    """Every variant has its turn once a round."""
    runs: int = 15
    """Measured frames of a turn."""
    warm_up: int = 4
    """Frames before them that are not measured: the caches and threads of the variant before must go."""

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        if not self.threads or min(self.threads) < 1:
            raise ValueError(f"threads: got {self.threads}, expected one or more counts of at least 1")
        if self.rounds < 1 or self.runs < 1 or self.warm_up < 0:
            raise ValueError(
                f"rounds, runs, warm_up: got {self.rounds}, {self.runs}, {self.warm_up}, expected at least 1, 1 and 0"
            )


@dataclass(frozen=True, slots=True)
class SpeedRow:
    """Time of a frame: motion field, generator and conversion to uint8.

    frame_ms: over all rounds. quiet_ms: the median of the round that other work on the machine disturbed least; what
    precisions are compared by.
    """

    engine: str
    precision: str
    threads: int
    frame_ms: Percentiles
    quiet_ms: float

    def to_json(self) -> dict[str, object]:
        """Figures by name."""
        return {
            "engine": self.engine,
            "precision": self.precision,
            "threads": self.threads,
            "frame_ms": self.frame_ms.to_json(),
            "quiet_ms": round(self.quiet_ms, 3),
        }


def measure_frames(variants: Sequence[Variant], pictures: Sequence[Picture], run: SpeedRun) -> list[SpeedRow]:
    """Time rebuilds on real pictures.

    `pictures`: at least two frames of a talking person, uint8 [frame_px, frame_px, 3] RGB; the first is the key frame.

    Raises:
        ValueError: no variants, or too few pictures.
        EngineError: an engine cannot load a graph.
    """
    if not variants or len(pictures) < 2:
        raise ValueError(f"variants, pictures: got {len(variants)} and {len(pictures)}, expected at least 1 and 2")
    detector = variants[0].load(1, ("detector",))
    size = (detector.detector_px, detector.detector_px)
    parameters = [
        detector.detect(np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)).parameters
        for picture in pictures
    ]
    rows = []
    for threads in run.threads:
        models = [variant.load(threads, ("encoder", "motion", "generator")) for variant in variants]
        features = [model.encode(pictures[0]) for model in models]
        durations_ms = np.zeros((len(models), run.rounds, run.runs))
        for turn in range(run.rounds):
            for model, kept, taken in zip(models, features, durations_ms[:, turn], strict=True):
                for index in range(-run.warm_up, run.runs):
                    began = time.perf_counter()
                    model.rebuild(kept, parameters[0], parameters[1 + index % (len(parameters) - 1)])
                    if index >= 0:
                        taken[index] = 1e3 * (time.perf_counter() - began)
        rows += [
            SpeedRow(
                variant.engine,
                variant.precision,
                threads,
                percentiles_of(taken.reshape(-1).tolist()),
                float(np.median(taken, axis=1).min()),
            )
            for variant, taken in zip(variants, durations_ms, strict=True)
        ]
    return rows
