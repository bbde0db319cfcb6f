"""Keypoints of a picture with less noise, for a file encoder that has the time.

A detector's answer trembles with the picture's position on its pixel grid. The mean over a few shifted copies of the
picture trembles less: four more detections gained 0.3 to 0.4 dB on rebuilt faces and saved a little motion.
"""

import numpy as np

from adasr.colour import RgbImage
from adasr_core.engines import FaceModel
from adasr_core.geometry import MotionParameters, SquareCrop, extract_crop

SHIFTS_PX = ((6, 2), (-2, 6), (-6, -2), (2, -6))
"""Shifts (x, y) of the copies, pixels of the picture; they add up to nothing."""


def detect_steadily(model: FaceModel, picture: RgbImage, first: MotionParameters) -> MotionParameters:
    """Mean of `first`, the parameters of `picture` as it is, and those of its shifted copies.

    Args:
        model: a model with its detector loaded.
        picture: uint8 [S, S, 3], the crop that is coded.
        first: what the detector said of it.
    """
    size = picture.shape[0]
    keypoints, jacobians = [first.keypoints], [first.jacobians]
    for x, y in SHIFTS_PX:
        crop = SquareCrop(size / 2 + x, size / 2 + y, size)
        found = model.detect(extract_crop(picture, crop, model.detector_px)).parameters
        keypoints.append(found.keypoints + np.array((x, y), np.float32) * np.float32(2 / size))
        jacobians.append(found.jacobians)
    return MotionParameters.create(np.mean(keypoints, axis=0), np.mean(jacobians, axis=0))
