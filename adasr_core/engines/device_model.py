"""What an engine that keeps features on its own device must do, and the types that every engine shares.

                 once per key frame                                   every frame
    picture --> [upload] encode --> features (stay on the device) --+--> one launch: motion, generator, to uint8
                                    parameters (a few hundred bytes) +                        |
                                                                                    [download] frame

`FaceModel` hands its calls to a `DeviceModel` when it was loaded with such an engine, so nobody above it sees a
difference. Shapes: K keypoints, S frame_px, D detector_px.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from adasr_core.engines.runner import Array
from adasr_core.geometry import MotionParameters

Image = npt.NDArray[np.uint8]
Part = Literal["detector", "encoder", "motion", "generator", "refiner"]
PARTS: tuple[Part, ...] = ("detector", "encoder", "motion", "generator")
"""Those that every model has; some have a refiner as well."""


@dataclass(frozen=True, slots=True)
class Detection:
    """parameters: in the crop's coordinates. confidence: float32 [K] in 0..1, near 0 without a face."""

    parameters: MotionParameters
    confidence: Array


class ReferenceFeatures:
    """Everything the decoder keeps of a key frame; made once by `FaceModel.encode`, for that model alone.

    Where it lies is the engine's affair. Its memory is free for other uses once nobody holds it, or after `close`.
    """

    def close(self) -> None:
        """Give its memory back now; it cannot be rebuilt from any more. Twice is once."""


@dataclass(frozen=True, slots=True)
class RebuildRequest:
    """One frame to rebuild; see `FaceModel.rebuild` for the three."""

    features: ReferenceFeatures
    reference: MotionParameters
    driving: MotionParameters


@dataclass(frozen=True, slots=True)
class EngineDescription:
    """engine: its name. device: device or provider. precision: of the generator. threads: None for all cores."""

    engine: str
    device: str
    precision: str
    threads: int | None


class DeviceModel(Protocol):
    """A loaded model whose features stay on its device. Not for use by two threads at once.

    Pictures and parameters were checked by `FaceModel`. Every method returns when its result is in host memory (for
    `encode`: when the device has it in its queue), in arrays that no later call changes.
    """

    def detect(self, image: Image) -> Detection:
        """Keypoints of `image`, uint8 [D, D, 3] RGB."""

    def encode(self, picture: Image) -> ReferenceFeatures:
        """Features of a key frame, uint8 [S, S, 3] RGB."""

    def rebuild(self, features: ReferenceFeatures, reference: MotionParameters, driving: MotionParameters) -> Image:
        """One frame, uint8 [S, S, 3] RGB: conversion and quantisation happen on the device, inside the graph."""

    def rebuild_batch(self, requests: Sequence[RebuildRequest]) -> list[Image]:
        """Frames of several streams in one launch (or as few as the engine can), in the order of the requests."""

    def flow(self, features: ReferenceFeatures, reference: MotionParameters, driving: MotionParameters) -> Array:
        """See `FaceModel.flow`: float32 [2, 64, 64]."""

    @property
    def refines(self) -> bool:
        """Whether a refiner was loaded."""

    def refine(self, earlier: Image, later: Image, weight: float) -> Image:
        """See `FaceModel.refine`."""

    def describe(self) -> EngineDescription:
        """What the model really runs on."""

    def close(self) -> None:
        """Free everything on the device. Twice is once."""
