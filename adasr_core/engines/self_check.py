"""Whether an engine computes what ONNX Runtime computes on the processor, seen on a few pictures.

The pictures are the caller's; the same ones must go to every engine. A difference is the engine's own: it gets the
reference's keypoints, not its own, when it rebuilds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from adasr_core.engines.device_model import Detection, Image
from adasr_core.engines.face_model import FaceModel
from adasr_core.engines.runner import EngineError

LARGEST_KEYPOINT_DIFFERENCE = 1e-3
"""On the scale of [-1, 1]: a quarter of a pixel of 512."""
LEAST_FRAME_PSNR_DB = 38.0
"""Far above what a rebuild reaches against the camera's picture, and what a bfloat16 generator keeps."""


@dataclass(frozen=True, slots=True)
class SelfCheck:
    """An engine beside the reference.

    keypoint_difference: largest one, on the scale of [-1, 1]. frame_psnr_db: least PSNR of a rebuilt or refined frame,
    dB; 100 for equal frames.
    """

    keypoint_difference: float
    frame_psnr_db: float

    @property
    def passed(self) -> bool:
        """Whether both limits are kept."""
        return self.keypoint_difference <= LARGEST_KEYPOINT_DIFFERENCE and self.frame_psnr_db >= LEAST_FRAME_PSNR_DB

    def describe(self) -> str:
        """Both figures in words."""
        pixels = 256 * self.keypoint_difference
        return f"frames within {self.frame_psnr_db:.0f} dB and keypoints within {pixels:.2f} px of the reference"


@dataclass(frozen=True, slots=True)
class ReferenceRun:
    """What the reference made of the pictures: what it sees in each, and the frames rebuilt from the first one.

    refined: the first one and each of the others, refined to the moment between; empty where the model has no refiner.
    """

    detections: tuple[Detection, ...]
    frames: tuple[Image, ...]
    refined: tuple[Image, ...] = ()


def run_reference(model: FaceModel, pictures: Sequence[Image], small: Sequence[Image]) -> ReferenceRun:
    """Run the reference: ONNX Runtime on the processor.

    `pictures` uint8 [frame_px, frame_px, 3] RGB, the first being the key frame; `small` the same at the detector's
    size.

    Raises:
        ValueError: fewer than two pictures, or not as many small ones.
    """
    if len(pictures) < 2 or len(small) != len(pictures):
        raise ValueError(f"pictures: got {len(pictures)} and {len(small)} small ones, expected 2 or more of each")
    detections = tuple(model.detect(image) for image in small)
    key = model.encode(pictures[0])
    frames = tuple(model.rebuild(key, detections[0].parameters, one.parameters) for one in detections[1:])
    return ReferenceRun(detections, frames, _refined(model, pictures))


def check_engine(
    model: FaceModel, reference: ReferenceRun, pictures: Sequence[Image], small: Sequence[Image]
) -> SelfCheck:
    """Compare a loaded model with the reference on the same pictures.

    Raises:
        EngineError: one of the two refines and the other does not.
    """
    if model.refines != bool(reference.refined):
        ours, theirs = ("a refiner" if refines else "none" for refines in (model.refines, bool(reference.refined)))
        raise EngineError(f"self-check: the engine loaded {ours}, the reference {theirs}; load the same parts for both")
    difference = max(
        float(np.abs(model.detect(image).parameters.keypoints - expected.parameters.keypoints).max())
        for image, expected in zip(small, reference.detections, strict=True)
    )
    key = model.encode(pictures[0])
    first = reference.detections[0].parameters
    frames = [model.rebuild(key, first, seen.parameters) for seen in reference.detections[1:]]
    worst = 100.0
    for expected, frame in zip(
        (*reference.frames, *reference.refined), (*frames, *_refined(model, pictures)), strict=True
    ):
        error = float(np.mean((frame.astype(np.float32) - expected) ** 2))
        worst = min(worst, 10 * np.log10(255**2 / max(error, 255**2 * 1e-10)))
    # A comparison with NaN is false, so it fails.
    return SelfCheck(difference, float(worst))


def _refined(model: FaceModel, pictures: Sequence[Image]) -> tuple[Image, ...]:
    return tuple(model.refine(pictures[0], later, 0.5) for later in pictures[1:]) if model.refines else ()
