"""Pairs of frames of one clip: a key frame and the frame to rebuild from it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from training.augment import Array, AugmentConfig, Image, random_affine, warp_image
from training.frame_cache import FrameCache

PAIR_AUGMENT = AugmentConfig(scale=(0.75, 1.25), rotation_deg=6.0, shift=0.12, hide=0.0, negative=0.0)


@dataclass(frozen=True, slots=True, eq=False)
class PairChange:
    """One change of geometry and colour for both pictures of a pair.

    affine: float32 [2, 3], old to new [-1, 1] coordinates; a mirror image has a negative determinant. gain: float32
    [3], factor of each colour. offset: added to all, 0 to 255.
    """

    affine: Array
    gain: Array
    offset: float

    @classmethod
    def none(cls) -> PairChange:
        """Leaves pictures as they are."""
        return cls(np.eye(2, 3, dtype=np.float32), np.ones(3, np.float32), 0.0)

    @classmethod
    def random(cls, rng: np.random.Generator, config: AugmentConfig) -> PairChange:
        """A random one."""
        affine = random_affine(rng, config)
        if rng.random() < config.flip:
            affine[:, 0] *= -1
        gain = np.exp(rng.normal(0, 0.12, 3)) * np.exp(rng.normal(0, 0.15))
        return cls(affine, gain.astype(np.float32), float(rng.normal(0, 12)))

    def apply(self, image: Image, out_px: int) -> Image:
        """Change a square picture; comes at `out_px`."""
        levels = np.clip(np.arange(256)[:, None] * self.gain + self.offset, 0, 255).astype(np.uint8)
        return cv2.LUT(warp_image(image, self.affine, out_px), levels[None])  # type: ignore[return-value]


class PairSampler:
    """Draws pairs; short and long clips are drawn alike up to the square root of their length."""

    def __init__(
        self, cache: FrameCache, size_px: int, *, augment: AugmentConfig | None = PAIR_AUGMENT, near: float = 0.0
    ) -> None:
        """Draw from `cache`; pictures come at `size_px`. `augment` None leaves the geometry as it is.

        A share `near` of the pairs takes as key frame the likeliest of four frames, as a bank of references offers it.

        Raises:
            ValueError: no clip of the cache has two frames.
        """
        self.cache, self.size_px, self.augment, self.near = cache, size_px, augment, near
        self.clips = [np.flatnonzero(cache.clip == c) for c in np.unique(cache.clip)]
        self.clips = [c for c in self.clips if len(c) > 1]
        if not self.clips:
            raise ValueError("cache: no clip has two frames, expected clips to draw pairs from; give a split of clips")
        weights = np.sqrt([len(c) for c in self.clips])
        self.cumulative = np.cumsum(weights) / weights.sum()

    def draw(self, rng: np.random.Generator) -> tuple[int, int]:
        """Two frame numbers of one clip."""
        clip = self.clips[int(np.searchsorted(self.cumulative, rng.random()))]
        second, *firsts = rng.choice(clip, 5 if len(clip) > 4 and rng.random() < self.near else 2, replace=False)
        shapes = self.cache.landmarks[firsts] - self.cache.landmarks[second]
        return int(firsts[int((shapes[..., :2] ** 2).sum((1, 2)).argmin())]), int(second)

    def change(self, rng: np.random.Generator) -> PairChange:
        """A random change for a pair."""
        return PairChange.none() if self.augment is None else PairChange.random(rng, self.augment)

    def pictures(self, first: int, second: int, rng: np.random.Generator) -> tuple[Image, Image, Array]:
        """Both pictures under one random change of geometry and colour, and that geometry ([2, 3], old to new)."""
        change = self.change(rng)
        images = [np.asarray(self.cache.frames[i]) for i in (first, second)]
        if self.augment is not None:
            images = [change.apply(image, self.size_px) for image in images]
        return images[0], images[1], change.affine
