"""Tiers of clips: A good, B usable, C low resolution or degraded.

* C: the clip is 256 px, or blurred (sharpness below 0.42), or slower than 12 pictures/s.
* A: 512 px cut without enlarging the source, a face of at least 200 px in the clip, sharpness of at least 0.48, and at
  least 20 pictures/s.
* B: everything between.

Among 38 of the recorded clips, sharpness has these quartiles in the tiers that they came with: A 0.50, 0.51, 0.52;
B 0.45, 0.48, 0.52.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from training.prepare.video_source import Picture

BLURRED_BELOW = 0.42
SHARP_FROM = 0.48
SMOOTH_RATE_HZ = 20.0
SLOW_RATE_HZ = 12.0
LARGE_FACE_PX = 200.0


def sharpness(picture: Picture, landmarks: npt.NDArray[np.float32]) -> float:
    """How much of the face's fine structure is finest structure, about 0.3 (blurred) to 0.7 (noisy).

    The ratio of two standard deviations of the luma inside the face's box: of what a Gaussian blur of 1 pixel removes,
    and of what one of 2 pixels removes. It depends neither on contrast nor, much, on how structured a face is.

    Args:
        picture: uint8 [S, S, 3] RGB.
        landmarks: float32 [478, 3] in [-1, 1].
    """
    size = picture.shape[0]
    box = ((landmarks[:, :2] + 1) * size / 2).clip(0, size)
    x0, y0 = box.min(axis=0).astype(int)
    x1, y1 = np.ceil(box.max(axis=0)).astype(int)
    face = cv2.cvtColor(picture[y0:y1, x0:x1], cv2.COLOR_RGB2GRAY).astype(np.float32)
    finest = float((face - cv2.GaussianBlur(face, (0, 0), 1.0)).std())
    fine = float((face - cv2.GaussianBlur(face, (0, 0), 2.0)).std())
    return finest / fine if fine > 0 else 0.0


def tier(*, size_px: int, crop_px: float, face_px: float, sharpness: float, frame_rate: float | None) -> str:
    """A, B or C.

    Args:
        size_px: side of the clip.
        crop_px: side of the square of the source that it shows.
        face_px: height of the face in the clip, pixels.
        sharpness: see `sharpness`, median over the clip.
        frame_rate: pictures a second; None for a still.
    """
    rate = SMOOTH_RATE_HZ if frame_rate is None else frame_rate
    if size_px < 512 or sharpness < BLURRED_BELOW or rate < SLOW_RATE_HZ:
        return "C"
    whole = crop_px >= size_px and face_px >= LARGE_FACE_PX
    return "A" if whole and sharpness >= SHARP_FROM and rate >= SMOOTH_RATE_HZ else "B"
