"""Face mesh landmarks of recorded clips, and the outline of a face."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

LANDMARKS = 478
"""Points of MediaPipe's face mesh, irises included."""


def load_landmarks(path: Path, size_px: int) -> npt.NDArray[np.float32]:
    """Landmarks of a clip: float32 [T, 478, 3], x and y in [-1, 1] over a square of `size_px`, z on x's scale.

    The file is an ``.npz`` with ``landmarks_delta_q``, int16 [T, 478, 3]: quarter pixels, differences along time.

    Raises:
        ValueError: the file holds no such array.
        OSError: it cannot be read.
    """
    with np.load(path) as file:
        if "landmarks_delta_q" not in file:
            raise ValueError(f"{path}: no 'landmarks_delta_q'; expected landmarks as the data set's README describes")
        deltas = file["landmarks_delta_q"]
    if deltas.ndim != 3 or deltas.shape[1:] != (LANDMARKS, 3):
        raise ValueError(f"{path}: landmarks have shape {deltas.shape}, expected (T, {LANDMARKS}, 3)")
    scaled = np.cumsum(deltas.astype(np.int64), axis=0) / 4.0 * (2.0 / size_px)
    scaled[..., :2] -= 1.0
    return scaled.astype(np.float32)


def hull_mask(landmarks: npt.NDArray[np.float32], size_px: int) -> npt.NDArray[np.bool_]:
    """The face: convex hull of landmarks or keypoints [N, >=2] in [-1, 1], as bool [size_px, size_px]."""
    # A coordinate c is pixel position (c + 1) S / 2, pixel i covering i to i + 1; OpenCV counts from pixel centres.
    points = ((landmarks[:, :2] + 1) * size_px / 2 - 0.5).astype(np.float32)
    mask = np.zeros((size_px, size_px), np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(points).round().astype(np.int32), 1)
    return mask > 0
