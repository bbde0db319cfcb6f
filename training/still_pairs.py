"""Stills as pairs: one portrait bent twice, so that a face that nobody filmed moves too.

The bend is a thin-plate spline that fades out away from the face, since a wall does not follow a head:

    I'(z) = I(z + w(z) (T(z) - z)),  w = 1 within `near` of a landmark, falling like a Gaussian of `fade`
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from training.augment import Array, Image
from training.frame_cache import FrameCache
from training.losses.thin_plate_spline import ThinPlateSpline, TransformConfig

FIELD_PX = 33
"""The bend is computed on so many points a side, corners at -1 and 1, and interpolated."""
INVERSE_STEPS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class StillConfig:
    """How far a still is bent."""

    transform: TransformConfig = field(default_factory=lambda: TransformConfig(affine=0.06, displacement=0.02))
    """The spline."""
    near: float = 0.12
    """Distance from the nearest landmark up to which the whole bend acts, [-1, 1] units."""
    fade: float = 0.2
    """Standard deviation of its fall beyond that."""


class StillPairs:
    """Draws pairs from stills."""

    def __init__(self, cache: FrameCache, size_px: int, config: StillConfig = StillConfig()) -> None:
        """Draw from `cache`; pictures come at `size_px`."""
        self.cache, self.size_px, self.config = cache, size_px, config
        axis = np.linspace(-1, 1, FIELD_PX, dtype=np.float32)
        self.grid = np.stack(np.meshgrid(axis, axis), axis=-1)

    def draw(self, rng: np.random.Generator) -> tuple[tuple[Image, Image], Array]:
        """Two bent copies of one still, and their landmarks: float32 [2, N, 3] in [-1, 1]."""
        number = int(rng.integers(len(self.cache.frames)))
        picture, landmarks = np.asarray(self.cache.frames[number]), self.cache.landmarks[number]
        bends = [self.bend(landmarks, rng) for _ in range(2)]
        first, second = (bent_picture(picture, bend, self.size_px) for bend in bends)
        return (first, second), np.stack([bent_landmarks(landmarks, bend) for bend in bends])

    def bend(self, landmarks: Array, rng: np.random.Generator) -> Array:
        """A random bend: displacement float32 [FIELD_PX, FIELD_PX, 2], where a pixel comes from minus where it is."""
        config = self.config
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        spline = ThinPlateSpline.random(1, generator, config.transform)
        moved = spline(torch.from_numpy(self.grid.reshape(1, -1, 2)))[0].numpy().reshape(self.grid.shape)
        away = self.grid.reshape(-1, 1, 2) - landmarks[None, ::4, :2]
        distance = np.sqrt((away**2).sum(-1).min(axis=1)).reshape(FIELD_PX, FIELD_PX, 1)
        weight = np.exp(-(np.maximum(distance - config.near, 0) ** 2) / (2 * config.fade**2))
        return np.asarray(weight * (moved - self.grid), np.float32)


def bent_picture(picture: Image, bend: Array, size_px: int) -> Image:
    """I(z + bend(z)) of a square picture, at `size_px`."""
    axis = ((np.arange(size_px, dtype=np.float32) * 2 + 1) / size_px - 1).astype(np.float32)
    x, y = np.meshgrid(axis, axis)
    at = np.stack((x, y), axis=-1)
    where = at + _read(bend, at)
    # pixel = (coordinate + 1) * S / 2 - 0.5
    pixels = ((where + 1) * (picture.shape[0] / 2) - 0.5).astype(np.float32)
    return np.asarray(_remap(picture, pixels), np.uint8)


def bent_landmarks(landmarks: Array, bend: Array) -> Array:
    """Where landmarks [N, 3] are seen in the bent picture: z + bend(z) = landmark, solved by iteration."""
    target = landmarks[None, :, :2].astype(np.float32)
    found = target
    for _ in range(INVERSE_STEPS):
        found = target - _read(bend, found)
    return np.concatenate((found[0], landmarks[:, 2:]), axis=1).astype(np.float32)


def _read(bend: Array, at: Array) -> Array:
    """The bend at positions [H, W, 2], bilinear, held at the rim."""
    position = ((at + 1) * ((FIELD_PX - 1) / 2)).astype(np.float32)
    return np.asarray(_remap(bend, position), np.float32)


def _remap(array: npt.NDArray[Any], position: Array) -> npt.NDArray[Any]:
    """Read [S, S, C] at pixel positions float32 [H, W, 2], bilinear, border repeated."""
    x, y = cv2.split(position)
    return np.asarray(cv2.remap(array, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
