"""Frames of several streams at once: how long a launch takes, and how many frames a second that makes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adasr_core.engines import FaceModel, RebuildRequest
from adasr_core.geometry import MotionParameters
from benchmarks.gpu_state import gpu_state
from benchmarks.percentiles import Percentiles, measure

Picture = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchSpeed:
    """One batch size.

    Attributes:
        batch: streams in one launch, each with a key frame of its own.
        launch_ms: from the parameters of all streams to all their frames in host memory.
        gpu_memory_mib: what the GPU's memory held more than before the model was loaded; None without a GPU.
    """

    batch: int
    launch_ms: Percentiles
    gpu_memory_mib: int | None

    @property
    def frames_per_s(self) -> float:
        """Frames a second of all streams together, at the median."""
        return 1e3 * self.batch / self.launch_ms.p50

    def tflops(self, gmac_per_frame: float) -> float:
        """Achieved 1e12 floating-point operations a second: two for each multiply-accumulate of the networks."""
        return 2 * gmac_per_frame * self.frames_per_s / 1e3

    def to_json(self, gmac_per_frame: float) -> dict[str, object]:
        """The figures in JSON types."""
        return {
            "batch": self.batch,
            "launch_ms": self.launch_ms.to_json(),
            "frames_per_s": round(self.frames_per_s, 1),
            "tflops": round(self.tflops(gmac_per_frame), 4),
            "gpu_memory_mib": self.gpu_memory_mib,
        }


def measure_batch(
    model: FaceModel,
    pictures: Sequence[Picture],
    parameters: Sequence[MotionParameters],
    *,
    batch: int,
    runs: int,
    warm_up: int,
    gpu_before_mib: int | None,
) -> BatchSpeed:
    """Measure one batch size; stream i's key frame is picture i, and its motion that of the pictures after it.

    Args:
        model: a loaded model.
        pictures: key frames, uint8 [frame_px, frame_px, 3] RGB; taken in turn when there are fewer than streams.
        parameters: what the detector sees in each picture.
        batch: streams.
        runs: measured launches.
        warm_up: launches before them.
        gpu_before_mib: memory in use on the GPU before the model was loaded; None without a GPU.

    Raises:
        ValueError: a batch below 1.
        EngineError: the device's memory does not suffice.
    """
    if batch < 1:
        raise ValueError(f"batch: got {batch}, expected at least 1")
    count = len(pictures)
    features = [model.encode(pictures[stream % count]) for stream in range(batch)]

    def launch(index: int) -> object:
        return model.rebuild_batch(
            [
                RebuildRequest(one, parameters[stream % count], parameters[(stream + 1 + index) % count])
                for stream, one in enumerate(features)
            ]
        )

    launch_ms = measure(launch, runs=runs, warm_up=warm_up)
    after = None if gpu_before_mib is None else gpu_state()
    return BatchSpeed(
        batch=batch,
        launch_ms=launch_ms,
        gpu_memory_mib=None if after is None or gpu_before_mib is None else after.used_mib - gpu_before_mib,
    )
