"""Writing the landmarks beside a clip; `adasr_core.landmarks.load_landmarks` reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from adasr_core.landmarks import LANDMARKS


def quantize_landmarks(landmarks: npt.NDArray[np.float32], size_px: int) -> npt.NDArray[np.int16]:
    """Landmarks [T, 478, 3] in [-1, 1] to quarter pixels of a square of `size_px`, int16, differences along time.

    x and y are rounded positions from the left and top edge, so errors do not add up along time; z is on x's scale.

    Raises:
        ValueError: the shape is another one, or a position does not fit into int16 (far outside the picture).
    """
    if landmarks.ndim != 3 or landmarks.shape[0] < 1 or landmarks.shape[1:] != (LANDMARKS, 3):
        raise ValueError(f"landmarks: got shape {landmarks.shape}, expected (T, {LANDMARKS}, 3) with T of 1 or more")
    scaled = landmarks.astype(np.float64)
    scaled[..., :2] += 1.0
    positions = np.rint(scaled * (size_px / 2 * 4))
    deltas = np.diff(positions, axis=0, prepend=0.0)
    limits = np.iinfo(np.int16)
    if not np.isfinite(deltas).all() or deltas.min() < limits.min or deltas.max() > limits.max:
        raise ValueError("landmarks: a position lies too far outside the picture to be stored")
    return deltas.astype(np.int16)


def save_landmarks(path: Path, landmarks: npt.NDArray[np.float32], size_px: int) -> None:
    """Write ``landmarks_delta_q``. Raises ValueError as `quantize_landmarks` does, OSError."""
    deltas = quantize_landmarks(landmarks, size_px)
    with path.open("wb") as file:
        np.savez_compressed(file, landmarks_delta_q=deltas)
