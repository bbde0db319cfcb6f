"""Made-up poses: a grid of 40 keypoints, moved and scaled."""

from __future__ import annotations

import numpy as np

from adasr_core.geometry import FACE_KEYPOINTS, MotionParameters, SquareCrop
from sender.look import Look

KEYPOINTS = 40


def pose(x: float = 0.0, y: float = 0.0, scale: float = 1.0) -> MotionParameters:
    """A face centred at (x, y) of the crop, [-1, 1]; the RMS radius of its face keypoints is 0.35 times `scale`."""
    angles = np.linspace(0, 2 * np.pi, FACE_KEYPOINTS, endpoint=False)
    face = 0.35 * np.stack((np.cos(angles), np.sin(angles)), axis=1)
    others = np.full((KEYPOINTS - FACE_KEYPOINTS, 2), 0.9)
    points = np.concatenate((face * scale + (x, y), others))
    return MotionParameters.create(points, np.tile(np.eye(2), (KEYPOINTS, 1, 1)))


def crop(x: float = 320.0, y: float = 240.0, size: float = 300.0) -> SquareCrop:
    """A crop in a 640x480 image."""
    return SquareCrop(centre_x_px=x, centre_y_px=y, size_px=size)


def look(x: float = 0.0, y: float = 0.0, scale: float = 1.0, grey: float = 100.0) -> Look:
    """A frame with the face of `pose`, its picture of one grey, 0..255."""
    return Look(pose(x, y, scale), np.full(32 * 32 * 3, grey, np.float32))
