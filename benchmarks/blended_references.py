"""A model that rebuilds every frame twice, with two references, and shows the mean: what would that be worth?"""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np
import numpy.typing as npt

from adasr_core.bundle import ModelBundle
from adasr_core.engines import DeviceModel, FaceModel, ReferenceFeatures
from adasr_core.geometry import MotionParameters

_REMEMBERED = 16


class BlendingModel(FaceModel):
    """As `FaceModel`, but a rebuild is the mean of two: with the reference asked for and with the nearest other one."""

    def __init__(self, bundle: ModelBundle, model: DeviceModel, streams: int = 1) -> None:
        """As `FaceModel`; use `load`."""
        super().__init__(bundle, model, streams)
        self._seen: deque[tuple[ReferenceFeatures, MotionParameters]] = deque(maxlen=_REMEMBERED)

    def forget(self) -> None:
        """Begin another clip."""
        self._seen.clear()

    def rebuild(
        self, features: ReferenceFeatures, reference: MotionParameters, driving: MotionParameters
    ) -> npt.NDArray[np.uint8]:
        """The frame that `driving` describes: uint8 [frame_px, frame_px, 3] RGB."""
        if all(seen is not features for seen, _ in self._seen):
            self._seen.append((features, reference))
        others = [pair for pair in self._seen if pair[1].distance(reference) > 0]
        frame = super().rebuild(features, reference, driving)
        if not others:
            return frame
        first = frame.copy()  # the engine may use the memory again
        other_features, other = min(others, key=lambda pair: pair[1].distance(driving))
        second = super().rebuild(other_features, other, driving)
        return np.asarray(cv2.addWeighted(first, 0.5, second, 0.5, 0.0), np.uint8)
