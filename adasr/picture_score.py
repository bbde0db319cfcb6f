"""How close a rebuilt picture is to the source: the number that the file encoder maximises."""

import math

import cv2
import numpy as np
import numpy.typing as npt

from adasr_core.geometry import FACE_KEYPOINTS, MotionParameters

_EXACT_DB = 99.0
_FACE_SHARE = 0.75


def psnr_db(
    source: npt.NDArray[np.uint8], rebuilt: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8] | None = None
) -> float:
    """Peak signal-to-noise ratio in dB, 99 at most.

    Args:
        source: uint8 [H, W, 3].
        rebuilt: the same shape.
        mask: uint8 [H, W], only pixels that are not 0 count; None counts all.
    """
    values = 3 * (int(cv2.countNonZero(mask)) if mask is not None else source.shape[0] * source.shape[1])
    squares = float(cv2.norm(source, rebuilt, cv2.NORM_L2SQR, mask))
    if squares == 0.0 or values == 0:
        return _EXACT_DB
    return min(_EXACT_DB, 10.0 * math.log10(255.0**2 * values / squares))


def face_mask(parameters: MotionParameters, size_px: int) -> npt.NDArray[np.uint8]:
    """Convex hull of the face keypoints as uint8 [size_px, size_px], 255 inside."""
    centres = (parameters.keypoints[:FACE_KEYPOINTS] + 1.0) * (size_px / 2) - 0.5
    corners = np.clip(np.rint(centres), -size_px, 2 * size_px).astype(np.int32)
    mask = np.zeros((size_px, size_px), np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(corners), 255)
    return mask


def picture_score_db(
    source: npt.NDArray[np.uint8], rebuilt: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8]
) -> float:
    """Weighted mean of the PSNR of the whole picture and of the face alone; a call is about the face."""
    return (1 - _FACE_SHARE) * psnr_db(source, rebuilt) + _FACE_SHARE * psnr_db(source, rebuilt, mask)
