"""How close a rebuilt picture is to the source: the number that the file encoder maximises."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from adasr_core.geometry import FACE_KEYPOINTS, MotionParameters
from adasr_core.landmarks import hull_mask
from adasr_core.picture_quality import psnr_db

FACE_SHARE = 0.8
"""How much of the score is the face's."""


class PictureScore(NamedTuple):
    """score_db: what is maximised. whole_db: PSNR of the whole picture."""

    score_db: float
    whole_db: float


def face_mask(parameters: MotionParameters, size_px: int) -> npt.NDArray[np.bool_]:
    """Convex hull of the face keypoints: bool [size_px, size_px]."""
    return hull_mask(parameters.keypoints[:FACE_KEYPOINTS], size_px)


def score_picture(
    source: npt.NDArray[np.uint8], rebuilt: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_]
) -> PictureScore:
    """Weighted mean of the PSNR of the whole picture and of the face alone; a call is about the face."""
    whole_db = psnr_db(source, rebuilt)
    return PictureScore((1 - FACE_SHARE) * whole_db + FACE_SHARE * psnr_db(source, rebuilt, mask), whole_db)
