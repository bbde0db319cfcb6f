"""What an adapter gains on frames that it never saw, through the exported graphs, as a receiver runs them."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import cv2
import numpy as np
import numpy.typing as npt

from adasr_core.engines import FaceModel
from adasr_core.geometry import FACE_KEYPOINTS
from adasr_core.landmarks import hull_mask
from adasr_core.picture_quality import psnr_db
from training.personalise.footage import Footage, Image
from training.personalise.samples import SampleMaker

MEASURED_QUALITY = 40
"""AVIF quality of the key frames in the measurement: a call's."""
MOST_FRAMES = 60


@dataclass(frozen=True, slots=True)
class RebuildQuality:
    """Means over frames.

    psnr_db: whole frame. face_psnr_db: hull of the face keypoints. sharpness: of the face, mean absolute Laplacian of
    the rebuilt over that of the source.
    """

    psnr_db: float
    face_psnr_db: float
    sharpness: float

    def to_json(self) -> dict[str, float]:
        """Figures by name."""
        return {name: round(value, 4) for name, value in asdict(self).items()}


def measure_rebuild(model: FaceModel, footage: Footage, maker: SampleMaker, references: int) -> RebuildQuality:
    """Rebuild the held-out frames from `references` key frames of the trained part, the nearest one for each frame.

    The first key frame is the clip's first frame, the others are evenly spread.
    """
    spread = np.linspace(0, len(maker.keys) - 1, references + 1)[:references].round().astype(int)
    keys = {maker.keys[i]: model.encode(maker.picture(maker.keys[i], MEASURED_QUALITY)) for i in spread}
    count = min(MOST_FRAMES, len(footage.held_out))
    rows = []
    for index in np.linspace(footage.held_out.start, footage.held_out.stop - 1, count).round().astype(int).tolist():
        own = footage.parameters[index]
        key = min(keys, key=lambda k: own.distance(footage.parameters[k]))
        made = model.rebuild(keys[key], maker.reference(key), maker.driving(index, key))
        truth = footage.frames[index]
        mask = hull_mask(own.keypoints[:FACE_KEYPOINTS], len(truth))
        sharpness = _sharpness(made, mask) / max(_sharpness(truth, mask), 1e-6)
        rows.append((psnr_db(truth, made), psnr_db(truth, made, mask), sharpness))
    whole, face, sharp = (float(v) for v in np.mean(rows, axis=0))
    return RebuildQuality(whole, face, sharp)


def _sharpness(picture: Image, mask: npt.NDArray[np.bool_]) -> float:
    """Mean absolute Laplacian of the grey picture inside the mask."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return float(np.abs(cv2.Laplacian(grey, cv2.CV_32F))[mask].mean())
