"""Motion parameters and square crops: the coordinates that every other module shares.

Coordinate frames
-----------------
* Source image: pixels, x right, y down; pixel ``i`` covers ``[i, i + 1)``, its centre is ``i + 0.5``.
* Crop: x and y in ``[-1, 1]`` over the square crop, -1 and 1 being the outer edges of the first and last pixel
  (``align_corners=False``): the centre of pixel ``i`` of ``S`` is ``(2 i + 1) / S - 1``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

FACE_KEYPOINTS = 34
"""Keypoints 0 to 33 sit on the face; those above follow hair, neck and shoulders."""

MAX_KEYPOINTS = 128
"""The most keypoints that a model may have; every buffer of the bitstream is bounded by it."""

KEYPOINT_LIMIT = 4.0
"""Keypoint coordinates lie in [-4, 4]: far outside the crop, but never absurd."""

JACOBIAN_LIMIT = 16.0
"""Entries of a Jacobian lie in [-16, 16]."""

_MAX_CROP_TO_IMAGE = 4.0
_MAX_OUT_PX = 4096


@dataclass(frozen=True, slots=True, eq=False)
class MotionParameters:
    """Keypoints and Jacobians of one frame, in crop coordinates.

    keypoints: float32 [K, 2], x and y in [-1, 1] over the square crop (a little outside is possible).
    jacobians: float32 [K, 2, 2], dimensionless: how a neighbourhood of the keypoint is stretched and turned.

    The constructor takes what it is given; `create` converts and checks.
    """

    keypoints: npt.NDArray[np.float32]
    jacobians: npt.NDArray[np.float32]

    @classmethod
    def create(cls, keypoints: npt.ArrayLike, jacobians: npt.ArrayLike) -> MotionParameters:
        """Copy and check arrays of any float type.

        Raises:
            ValueError: a shape is not [K, 2] and [K, 2, 2] with 1 <= K <= 128, or a value is not finite.
        """
        points = np.array(keypoints, dtype=np.float32)
        matrices = np.array(jacobians, dtype=np.float32)
        if points.ndim != 2 or points.shape[1] != 2 or not 1 <= points.shape[0] <= MAX_KEYPOINTS:
            raise ValueError(f"keypoints: got shape {points.shape}, expected [K, 2] with K in 1..{MAX_KEYPOINTS}")
        if matrices.shape != (points.shape[0], 2, 2):
            raise ValueError(f"jacobians: got shape {matrices.shape}, expected {(points.shape[0], 2, 2)}")
        for name, values in (("keypoints", points), ("jacobians", matrices)):
            if not np.isfinite(values).all():
                raise ValueError(f"{name}: got values that are not finite; drop this frame")
        return cls(points, matrices)

    @property
    def count(self) -> int:
        """K, the number of keypoints."""
        return int(self.keypoints.shape[0])

    def distance(self, other: MotionParameters) -> float:
        """Root mean square distance between the keypoints of two frames, in crop coordinates (2.0 is a crop's width).

        Raises:
            ValueError: the two have different numbers of keypoints.
        """
        if other.count != self.count:
            raise ValueError(f"keypoints: got {other.count}, expected {self.count}; use one model for both")
        difference = self.keypoints.astype(np.float64) - other.keypoints
        return float(np.sqrt((difference * difference).sum(axis=1).mean()))

    def clamped(self) -> MotionParameters:
        """The same parameters with every value inside `KEYPOINT_LIMIT` and `JACOBIAN_LIMIT`."""
        return MotionParameters(
            np.clip(self.keypoints, -KEYPOINT_LIMIT, KEYPOINT_LIMIT),
            np.clip(self.jacobians, -JACOBIAN_LIMIT, JACOBIAN_LIMIT),
        )

    def vector(self) -> npt.NDArray[np.float64]:
        """All parameters as float64 [6K]: the keypoints (x, y of each) first, then the Jacobians row by row."""
        return np.concatenate((self.keypoints.reshape(-1), self.jacobians.reshape(-1))).astype(np.float64)

    @classmethod
    def from_vector(cls, vector: npt.NDArray[np.floating[Any]]) -> MotionParameters:
        """Inverse of `vector`.

        Raises:
            ValueError: the length is not a multiple of six, or a value is not finite.
        """
        if vector.ndim != 1 or vector.shape[0] % 6:
            raise ValueError(f"parameter vector: got shape {vector.shape}, expected [6 K]")
        keypoints = vector.shape[0] // 6
        return cls.create(
            vector[: 2 * keypoints].reshape(keypoints, 2), vector[2 * keypoints :].reshape(keypoints, 2, 2)
        )


def interpolate(a: MotionParameters, b: MotionParameters, t: float) -> MotionParameters:
    """Parameters between a (t = 0) and b (t = 1), linear in keypoints and Jacobians; a little outside extrapolates.

    Raises:
        ValueError: the two have different numbers of keypoints, or t is outside [-1, 2].
    """
    if a.count != b.count:
        raise ValueError(f"keypoints: got {b.count}, expected {a.count}; use one model for both")
    if not -1.0 <= t <= 2.0:
        raise ValueError(f"t: got {t}, expected -1 to 2")
    before, after = np.float32(1.0 - t), np.float32(t)
    return MotionParameters(
        before * a.keypoints + after * b.keypoints,
        before * a.jacobians + after * b.jacobians,
    )


@dataclass(frozen=True, slots=True)
class SquareCrop:
    """A square of the source image.

    centre_x_px, centre_y_px: centre in source pixels; size_px: side in source pixels. The square covers x in
    [centre_x_px - size_px / 2, centre_x_px + size_px / 2], pixel edges counted, and may reach over the border.
    """

    centre_x_px: float
    centre_y_px: float
    size_px: float

    def __post_init__(self) -> None:
        """Check the values. Raises ValueError when one is not finite or the side is below one pixel."""
        values = (self.centre_x_px, self.centre_y_px, self.size_px)
        if not all(math.isfinite(value) for value in values) or self.size_px < 1.0:
            raise ValueError(f"crop: got centre and side {values}, expected finite values and a side of 1 or more")

    @property
    def left_px(self) -> float:
        """Left edge in source pixels."""
        return self.centre_x_px - self.size_px / 2

    @property
    def top_px(self) -> float:
        """Top edge in source pixels."""
        return self.centre_y_px - self.size_px / 2

    @classmethod
    def whole(cls, image: npt.NDArray[np.uint8]) -> SquareCrop:
        """The largest square in the middle of an image [H, W, 3]."""
        height, width = image.shape[:2]
        return cls(width / 2, height / 2, float(min(height, width)))


def extract_crop(image: npt.NDArray[np.uint8], crop: SquareCrop, out_px: int) -> npt.NDArray[np.uint8]:
    """Resample a square of an image to ``out_px`` x ``out_px``.

    image: uint8 [H, W, 3]. Returns uint8 [out_px, out_px, 3], contiguous, always a copy. Border pixels are repeated
    outside the image. Shrinking averages over areas, enlarging is bilinear; a crop that is the whole square image of
    ``out_px`` returns exactly its pixels.

    Raises:
        ValueError: the image is not uint8 [H, W, 3], out_px is not 1..4096, or the crop is over four times the image.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"image: got {image.dtype} {image.shape}, expected uint8 [H, W, 3]")
    if not 1 <= out_px <= _MAX_OUT_PX:
        raise ValueError(f"out_px: got {out_px}, expected 1..{_MAX_OUT_PX}")
    height, width = image.shape[:2]
    largest = max(height, width)
    if crop.size_px > _MAX_CROP_TO_IMAGE * largest:
        raise ValueError(f"crop: got a side of {crop.size_px} px, expected at most {_MAX_CROP_TO_IMAGE} x {largest} px")
    # First a grid about as fine as the source, then an area average down to out_px: shrinking never aliases.
    sampled_px = max(out_px, math.ceil(crop.size_px))
    sampled = _sample(image, crop, sampled_px)
    if sampled_px == out_px:
        return sampled
    shrunk = cv2.resize(sampled, (out_px, out_px), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(shrunk, dtype=np.uint8)


def _sample(image: npt.NDArray[np.uint8], crop: SquareCrop, out_px: int) -> npt.NDArray[np.uint8]:
    """Bilinear samples of a crop on an out_px grid; a plain copy when the grid meets the source's pixels."""
    height, width = image.shape[:2]
    left, top = crop.left_px, crop.top_px
    aligned = crop.size_px == out_px and left.is_integer() and top.is_integer()
    if aligned and left >= 0 and top >= 0 and left + out_px <= width and top + out_px <= height:
        return image[int(top) : int(top) + out_px, int(left) : int(left) + out_px].copy()
    scale = crop.size_px / out_px
    # Output pixel i looks at source position left + (i + 0.5) * scale - 0.5 (OpenCV counts from pixel centres).
    shift = 0.5 * scale - 0.5
    output_to_source = np.array([[scale, 0.0, left + shift], [0.0, scale, top + shift]], dtype=np.float64)
    sampled = cv2.warpAffine(
        image,
        output_to_source,
        (out_px, out_px),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.ascontiguousarray(sampled, dtype=np.uint8)
