"""Motion of one face put onto another: relative transfer as in the first-order motion model.

With p for keypoints and J for Jacobians, ref for the portrait, 0 for the driver's start frame and t for its frame now
(Siarohin et al. 2019, section 3.4)::

    p = p_ref + s (p_t - p_0)        s = sqrt(area of the hull of p_ref / area of the hull of p_0)
    J = J_t J_0^-1 J_ref

so that the portrait keeps its own shape and takes over the driver's motion alone. It holds as far as portrait and
start frame show the same pose and expression; `nearest_pose` finds such a frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from adasr_core.geometry import FACE_KEYPOINTS, MotionParameters

_LEAST_AREA = 1e-4
_LEAST_DETERMINANT = 1e-3


@dataclass(frozen=True, slots=True)
class RelativeTransfer:
    """Takes a driver's frames to the portrait's. Build it with `between`.

    portrait: parameters of the portrait. start: of the driver's start frame. scale: size of the portrait's face over
    the driver's. jacobians: J_0^-1 J_ref, float32 [K, 2, 2].
    """

    portrait: MotionParameters
    start: MotionParameters
    scale: float
    jacobians: npt.NDArray[np.float32]

    @classmethod
    def between(cls, portrait: MotionParameters, start: MotionParameters) -> RelativeTransfer:
        """Transfer from a driver that starts with `start` to `portrait`.

        Raises:
            ValueError: different numbers of keypoints, or one of the faces has no extent.
        """
        if portrait.count != start.count:
            raise ValueError(f"keypoints: got {start.count}, expected {portrait.count}; use one model for both")
        determinants = np.abs(np.linalg.det(start.jacobians))
        if determinants.min() < _LEAST_DETERMINANT:
            raise ValueError(
                f"start frame: Jacobian of keypoint {int(determinants.argmin())} cannot be inverted; name another "
                "frame with --best-frame"
            )
        scale = float(np.sqrt(face_area(portrait) / face_area(start)))
        relative = np.linalg.inv(start.jacobians) @ portrait.jacobians
        return cls(portrait, start, scale, relative.astype(np.float32))

    def __call__(self, driving: MotionParameters) -> MotionParameters:
        """The portrait's parameters for a frame of the driver."""
        moved = self.portrait.keypoints + np.float32(self.scale) * (driving.keypoints - self.start.keypoints)
        return MotionParameters.create(moved, driving.jacobians @ self.jacobians).clamped()


def face_area(parameters: MotionParameters) -> float:
    """Area of the convex hull of the face keypoints, crop coordinates; the whole crop is 4.

    Raises:
        ValueError: the keypoints lie on a line or a point.
    """
    area = float(cv2.contourArea(cv2.convexHull(parameters.keypoints[:FACE_KEYPOINTS].astype(np.float32))))
    if area < _LEAST_AREA:
        raise ValueError(f"face keypoints: their hull has an area of {area:.1e}, expected at least {_LEAST_AREA}")
    return area


def normalised_face(parameters: MotionParameters) -> npt.NDArray[np.float64]:
    """Face keypoints about their mean, at unit area of their hull: float64 [34, 2]. Place and size are gone."""
    points = parameters.keypoints[:FACE_KEYPOINTS].astype(np.float64)
    normalised: npt.NDArray[np.float64] = (points - points.mean(axis=0)) / np.sqrt(face_area(parameters))
    return normalised


def nearest_pose(portrait: MotionParameters, frames: Sequence[MotionParameters]) -> int:
    """Index of the frame whose normalised face is nearest to the portrait's; the first one among equals.

    Raises:
        ValueError: there is no frame.
    """
    if not frames:
        raise ValueError("frames: got none, expected at least one to start from")
    wanted = normalised_face(portrait)
    return int(np.argmin([((normalised_face(frame) - wanted) ** 2).sum() for frame in frames]))
