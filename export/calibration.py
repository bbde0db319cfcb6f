"""What the graphs of a model see on real clips: the inputs that an int8 calibration needs.

clip --> key frame --> detector, encoder --+
     --> later frames --> detector --------+--> inputs of motion --> motion --> inputs of generator
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from adasr_core.bundle import ModelBundle
from adasr_core.engines.onnxruntime_runner import OnnxRuntimeRunner
from adasr_core.engines.runner import Array

Image = npt.NDArray[np.uint8]
GraphInputs = Mapping[str, Array]


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationConfig:
    """What is taken from the clips."""

    clips: int = 40
    """Clips at most, spread evenly over those that are given."""
    frames_per_clip: int = 3
    """Frames rebuilt from a clip's first one, 1 or more, spread evenly."""
    within_frames: int = 150
    """Only this many frames from a clip's beginning are decoded, above `frames_per_clip`."""

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        for name in ("clips", "frames_per_clip"):
            if getattr(self, name) < 1:
                raise ValueError(f"calibration {name}: got {getattr(self, name)}, expected at least 1")
        if self.within_frames <= self.frames_per_clip:
            raise ValueError(
                f"calibration within_frames: got {self.within_frames}, expected more than the "
                f"{self.frames_per_clip} frames taken from a clip"
            )

    def choose(self, clips: Sequence[Path]) -> list[Path]:
        """The clips that are used, in their order.

        Raises:
            ValueError: there are none.
        """
        if not clips:
            raise ValueError("clips: got none, expected clips of the training split to calibrate on")
        chosen = np.linspace(0, len(clips) - 1, min(self.clips, len(clips))).round().astype(int)
        return [clips[index] for index in chosen]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Recorded inputs, one mapping of tensor name to array for each rebuilt frame.

    motion, generator: of the two graphs, in the same order. clips: how many clips they came from.
    """

    motion: list[GraphInputs]
    generator: list[GraphInputs]
    clips: int


def record_inputs(bundle: ModelBundle, clips: Sequence[Path], config: CalibrationConfig, threads: int) -> Calibration:
    """Run the float32 graphs on clips and keep what motion field and generator were given.

    Frames of other sizes are resized to the model's, so clips should be square.

    Raises:
        ValueError: no clips, or a clip has no second frame.
        OSError: a clip cannot be read.
    """
    runners = {
        part: OnnxRuntimeRunner(bundle.path(part), threads=threads) for part in ("detector", "encoder", "motion")
    }
    motion: list[GraphInputs] = []
    generator: list[GraphInputs] = []
    chosen = config.choose(clips)
    for clip in chosen:
        frames = _spread(clip, config)
        picture = _planes(frames[0], bundle.manifest.frame_px)
        encoded = runners["encoder"].run({"picture": picture})
        detected = [runners["detector"].run({"image": _planes(f, bundle.manifest.detector_px)}) for f in frames]
        for driving in detected[1:]:
            given = {
                "context": encoded["context"],
                "keypoints_reference": detected[0]["keypoints"],
                "jacobians_reference": detected[0]["jacobians"],
                "keypoints_driving": driving["keypoints"],
                "jacobians_driving": driving["jacobians"],
            }
            motion.append(given)
            still = {"picture": picture, "features": encoded["features"], "detail": encoded["detail"]}
            generator.append(still | runners["motion"].run(given))
    return Calibration(motion, generator, len(chosen))


def _spread(clip: Path, config: CalibrationConfig) -> list[Image]:
    """The first frame of a clip and `frames_per_clip` later ones."""
    try:
        with av.open(str(clip)) as container:
            frames = [
                frame.to_ndarray(format="rgb24")
                for frame, _ in zip(container.decode(video=0), range(config.within_frames), strict=False)
            ]
    except (av.error.InvalidDataError, IndexError) as error:
        raise ValueError(f"{clip}: no video that can be read ({error}); give another clip") from error
    if len(frames) < 2:
        raise ValueError(f"{clip}: got {len(frames)} frames, expected at least 2; give another clip")
    places = np.linspace(0, len(frames) - 1, min(config.frames_per_clip, len(frames) - 1) + 1).round().astype(int)
    return [np.asarray(frames[place], np.uint8) for place in places]


def _planes(image: Image, size: int) -> Array:
    """uint8 [H, W, 3] to float32 [1, 3, size, size] in [0, 1]."""
    square = image if image.shape[:2] == (size, size) else cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    planes: Array = np.ascontiguousarray(square.transpose(2, 0, 1)[None], np.float32) / np.float32(255)
    return planes
