"""Pairs of frames of one clip: a key frame and the frame to rebuild from it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.augment import AugmentConfig, Image, random_affine, warp_image
from training.frame_cache import FrameCache

PAIR_AUGMENT = AugmentConfig(scale=(0.75, 1.25), rotation_deg=6.0, shift=0.12, hide=0.0, negative=0.0)


class PairSampler:
    """Draws pairs; short and long clips are drawn alike up to the square root of their length."""

    def __init__(self, cache: FrameCache, size_px: int, *, augment: AugmentConfig | None = PAIR_AUGMENT) -> None:
        """Draw from `cache`; pictures come at `size_px`. `augment` None leaves the geometry as it is."""
        self.cache, self.size_px, self.augment = cache, size_px, augment
        self.clips = [np.flatnonzero(cache.clip == c) for c in np.unique(cache.clip)]
        self.clips = [c for c in self.clips if len(c) > 1]
        weights = np.sqrt([len(c) for c in self.clips])
        self.cumulative = np.cumsum(weights) / weights.sum()

    def draw(self, rng: np.random.Generator) -> tuple[int, int]:
        """Two frame numbers of one clip."""
        clip = self.clips[int(np.searchsorted(self.cumulative, rng.random()))]
        first, second = rng.choice(clip, 2, replace=False)
        return int(first), int(second)

    def pictures(
        self, first: int, second: int, rng: np.random.Generator
    ) -> tuple[Image, Image, npt.NDArray[np.float32]]:
        """Both pictures under one random change of geometry and colour, and that geometry ([2, 3], old to new)."""
        affine = np.eye(2, 3, dtype=np.float32)
        images = [np.asarray(self.cache.frames[i]) for i in (first, second)]
        if self.augment is not None:
            affine = random_affine(rng, self.augment)
            if rng.random() < self.augment.flip:
                affine[:, 0] *= -1
            gain = np.exp(rng.normal(0, 0.12, 3)) * np.exp(rng.normal(0, 0.15))
            levels = np.clip(np.arange(256)[:, None] * gain + rng.normal(0, 12), 0, 255).astype(np.uint8)
            images = [levels[warp_image(i, affine, self.size_px), np.arange(3)] for i in images]
        return images[0], images[1], affine

    def batch(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, list[int], list[int], Tensor]:
        """`count` pairs: uint8 [B, 3, S, S] twice, their frame numbers, and the geometry [B, 2, 3]."""
        chosen = [self.draw(rng) for _ in range(count)]
        made = [self.pictures(a, b, rng) for a, b in chosen]
        first, second = (torch.from_numpy(np.stack([m[n] for m in made])).permute(0, 3, 1, 2) for n in (0, 1))
        affine = torch.from_numpy(np.stack([m[2] for m in made]))
        return first, second, [a for a, _ in chosen], [b for _, b in chosen], affine
