"""How a frame looks, as cheaply as it can be said: its keypoints and a thumbnail.

What a rebuild loses by using a reference of another moment was measured on eight talking heads (some 150 rebuilds, in
the quality of `closed_loop.picture_quality_db`): 0.7 dB for each doubling of 1 + keypoint distance / 0.01, and 0.27 dB
for each decibel by which the thumbnails differ more than two frames of the same moment do. Either alone predicts it
less well: keypoints know nothing of hands and light, thumbnails little of a mouth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from adasr_core.geometry import MotionParameters

_THUMBNAIL_PX = 32
_SAME_DB = 44.0
_POSE_LOSS_DB = 0.7
_NEAR_DISTANCE = 0.01
_THUMBNAIL_LOSS = 0.27


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """parameters: as detected. thumbnail: float32 [32 * 32 * 3], 0..255."""

    parameters: MotionParameters
    thumbnail: npt.NDArray[np.float32]

    @classmethod
    def of(cls, picture: npt.NDArray[np.uint8], parameters: MotionParameters) -> Look:
        """The look of a picture, uint8 [S, S, 3]."""
        small = cv2.resize(picture, (_THUMBNAIL_PX, _THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
        return cls(parameters, np.asarray(small, np.float32).reshape(-1))

    def loss_db(self, other: Look) -> float:
        """What a rebuild of this look loses with a reference of the other, against one of its own; dB, 0 or more."""
        return float(loss_matrix_db([self], [other])[0, 0])


def loss_matrix_db(looks: Sequence[Look], references: Sequence[Look]) -> npt.NDArray[np.float64]:
    """`Look.loss_db` of every look with every reference's look: float64 [L, R]."""
    points, reference_points = (np.stack([one.parameters.keypoints for one in some]) for some in (looks, references))
    distances = np.sqrt(np.square(points[:, None] - reference_points[None]).sum(axis=3, dtype=np.float64).mean(axis=2))
    pictures, reference_pictures = (np.stack([one.thumbnail for one in some]) for some in (looks, references))
    squared = np.stack([np.square(picture - reference_pictures).mean(axis=1, dtype=np.float64) for picture in pictures])
    alike_db = 10 * np.log10(255.0**2 / np.maximum(squared, 1e-3))
    pose_db = _POSE_LOSS_DB * np.log2(1 + distances / _NEAR_DISTANCE)
    losses: npt.NDArray[np.float64] = pose_db + _THUMBNAIL_LOSS * np.maximum(_SAME_DB - alike_db, 0.0)
    return losses
