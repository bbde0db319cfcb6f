"""Samples for the generator: a worsened key frame, the frame to rebuild, and which patch of it.

The key frame is worsened (scaled down and up, compressed) while the target stays as it is: the cross-quality training
of AdaSR, section 2.2, with the damage that our own key frames suffer. Where a super-resolved twin of a frame exists,
some samples are the paper's second pair: the key frame as it is, the target super-resolved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from training.augment import Array, AugmentConfig, Image
from training.frame_cache import FrameCache
from training.motion_estimate import moved_targets
from training.pairs import PairSampler
from training.still_pairs import StillPairs
from training.teacher import Teacher

REBUILD_AUGMENT = AugmentConfig(scale=(0.9, 1.15), rotation_deg=3.0, shift=0.06, hide=0.0, negative=0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class PatchConfig:
    """What part of a frame one sample rebuilds, and how the key frame is worsened."""

    patch_px: int = 256
    """Side of the patch; a multiple of 8."""
    on_face: float = 0.7
    """Probability that the patch is centred near a face keypoint."""
    shrunk: float = 0.25
    """Probability that the key frame was scaled down (to 35 to 80 %) and up again."""
    compressed: float = 0.6
    """Probability that it was compressed (JPEG, quality 35 to 92)."""
    chain: float = 0.1
    """Probability that it goes through Real-ESRGAN's chain instead (on the device, batched)."""
    twin: float = 0.5
    """Probability of the second pair, key frame as it is and target super-resolved, where a twin exists."""
    near: float = 0.5
    """Share of pairs whose key frame is the likeliest of four."""
    still_share: float = 0.0
    """Share of pairs made of a bent still."""

    def __post_init__(self) -> None:
        """Raises ValueError for a patch that is no multiple of 8, or a probability that is none."""
        if self.patch_px < 64 or self.patch_px % 8:
            raise ValueError(f"patch_px: got {self.patch_px}, expected a multiple of 8, 64 or more")
        for name in ("on_face", "shrunk", "compressed", "chain", "twin", "near", "still_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected a probability")


@dataclass(frozen=True, slots=True, eq=False)
class RebuildBatch:
    """B samples: key frames and truths uint8 [B, 3, S, S]; keypoints [B, K, 2] of the truths, from landmarks.

    origins: upper left corner (x, y) of each patch, multiples of 8. chained: rows whose key frame still has to go
    through the degradation chain, and the seed of each for it.
    """

    keys: Tensor
    truths: Tensor
    keypoints: Tensor
    origins: tuple[tuple[int, int], ...]
    chained: tuple[tuple[int, int], ...]


def worsen(image: Image, rng: np.random.Generator, config: PatchConfig) -> Image:
    """The key frame as a poor camera and a small key frame leave it: uint8 [H, W, 3]."""
    size = image.shape[0]
    if rng.random() < config.shrunk:
        small = int(size * rng.uniform(0.35, 0.8))
        reduced = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
        image = np.asarray(cv2.resize(reduced, (size, size), interpolation=cv2.INTER_CUBIC), np.uint8)
    if rng.random() < config.compressed:
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 93))])
        image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return image


def patch_origin(keypoints: Array, frame_px: int, rng: np.random.Generator, config: PatchConfig) -> tuple[int, int]:
    """Upper left corner (x, y) of a patch in pixels, multiples of 8, for face keypoints [K, 2]."""
    room = frame_px - config.patch_px
    if rng.random() < config.on_face:
        centre = (keypoints[rng.integers(len(keypoints))] + 1) * frame_px / 2 + rng.normal(0, 32, 2)
        corner = centre - config.patch_px / 2
    else:
        corner = rng.uniform(0, room, 2)
    x, y = (int(v) for v in np.clip(np.round(corner / 8) * 8, 0, room))
    return x, y


class RebuildSource:
    """Draws batches at the frame's own size."""

    def __init__(self, cache: FrameCache, size_px: int, config: PatchConfig, stills: FrameCache | None = None) -> None:
        """Pairs from clips of `cache`, and from `stills` at their share.

        Raises:
            ValueError: the patch is larger than the frame.
        """
        if config.patch_px > size_px:
            raise ValueError(f"patch_px: got {config.patch_px}, expected at most the frame's {size_px}")
        self.cache, self.size_px, self.config = cache, size_px, config
        self.sampler = PairSampler(cache, size_px, augment=REBUILD_AUGMENT, near=config.near)
        self.teacher = Teacher.fit(cache.landmarks[::7])
        self.stills = StillPairs(stills, size_px) if stills is not None else None

    def draw(self, generators: Sequence[np.random.Generator]) -> RebuildBatch:
        """One sample from each generator."""
        keys, truths, points, origins, chained = [], [], [], [], []
        for row, rng in enumerate(generators):
            key, truth, keypoints, twin = self._pair(rng)
            if not twin:
                # Drawn only where the chain is used: without it the samples are the cheap worsening's alone.
                if self.config.chain and rng.random() < self.config.chain:
                    chained.append((row, int(rng.integers(2**62))))
                else:
                    key = worsen(key, rng, self.config)
            keys.append(key)
            truths.append(truth)
            points.append(keypoints)
            origins.append(patch_origin(keypoints, self.size_px, rng, self.config))
        return RebuildBatch(
            keys=torch.from_numpy(np.stack(keys)).permute(0, 3, 1, 2),
            truths=torch.from_numpy(np.stack(truths)).permute(0, 3, 1, 2),
            keypoints=torch.from_numpy(np.stack(points)),
            origins=tuple(origins),
            chained=tuple(chained),
        )

    def _pair(self, rng: np.random.Generator) -> tuple[Image, Image, Array, bool]:
        """Key frame, truth, the truth's keypoints [K, 2], and whether the truth is a super-resolved twin."""
        config, cache, twin = self.config, self.cache, False
        if self.stills is not None and config.still_share and rng.random() < config.still_share:
            (key, truth), landmarks = self.stills.draw(rng)
            points, shapes = self.teacher(landmarks[1:])
        else:
            first, second = self.sampler.draw(rng)
            key, truth = np.asarray(cache.frames[first]), np.asarray(cache.frames[second])
            points, shapes = self.teacher(cache.landmarks[second : second + 1])
            if cache.twins is not None and cache.twins.row[second] >= 0 and rng.random() < config.twin:
                twin, truth = True, np.asarray(cache.twins.frames[cache.twins.row[second]])
        change = self.sampler.change(rng)
        moved, _ = moved_targets(
            torch.from_numpy(points), torch.from_numpy(shapes), torch.from_numpy(change.affine[None])
        )
        return change.apply(key, self.size_px), change.apply(truth, self.size_px), moved[0].numpy(), twin
