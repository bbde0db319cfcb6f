"""Peak signal-to-noise ratio and sharpness of pictures: one definition for codec, call and benchmarks."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

EXACT_DB = 99.0
"""What equal pictures score, and the most that any score."""


def psnr_db(
    source: npt.NDArray[np.uint8],
    rebuilt: npt.NDArray[np.uint8],
    mask: npt.NDArray[np.uint8] | npt.NDArray[np.bool_] | None = None,
    *,
    exact_db: float = EXACT_DB,
) -> float:
    """Peak signal-to-noise ratio in dB, `exact_db` at most.

    Args:
        source: uint8 [H, W, 3].
        rebuilt: the same shape.
        mask: bool or uint8 [H, W], only pixels that are not 0 count; None counts all.
        exact_db: for equal pictures, or a mask without a pixel.
    """
    counted = None if mask is None else mask.view(np.uint8)
    values = source.size if counted is None else 3 * cv2.countNonZero(counted)
    squares = cv2.norm(source, rebuilt, cv2.NORM_L2SQR, counted)
    if squares == 0.0 or values == 0:
        return exact_db
    return min(exact_db, 10.0 * math.log10(255.0**2 * values / squares))


def sharpness_of(picture: npt.NDArray[np.uint8]) -> float:
    """Mean absolute Laplacian of the grey picture, uint8 [H, W, 3] RGB."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return float(np.abs(cv2.Laplacian(grey, cv2.CV_32F)).mean())
