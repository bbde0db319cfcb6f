"""Pictures for the detector: strongly augmented, a tenth without a face, with what their landmarks say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from training.augment import (
    MIRRORED,
    Array,
    AugmentConfig,
    Image,
    hide_part,
    photometric,
    random_affine,
    warp_image,
    without_face,
)
from training.frame_cache import FrameCache
from training.losses import DetectorTargets
from training.teacher import Teacher

MIRROR = np.diag([-1.0, 1.0]).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class DetectorBatch:
    """pictures: uint8 [B, 3, S, S]; targets: what the landmarks say; seed: for random transforms on the device."""

    pictures: Tensor
    targets: DetectorTargets
    seed: int

    def targets_on(self, device: torch.device) -> DetectorTargets:
        """The targets on `device`."""
        t = self.targets
        moved = (x.to(device, non_blocking=True) for x in (t.keypoints, t.jacobians, t.depth, t.head_pose, t.face))
        keypoints, jacobians, depth, head_pose, face = moved
        return DetectorTargets(keypoints=keypoints, jacobians=jacobians, depth=depth, head_pose=head_pose, face=face)


class DetectorSamples:
    """Augmented pictures with the teacher's keypoints, Jacobians and depth."""

    def __init__(self, caches: Sequence[FrameCache], teacher: Teacher, config: AugmentConfig, size_px: int) -> None:
        """Draw from all frames of `caches`; clips with many frames are not drawn more often than short ones."""
        self.caches, self.config, self.size_px = caches, config, size_px
        self.targets = [
            (*teacher(c.landmarks), depth_of(teacher, c.landmarks), teacher.head_pose(c.landmarks)) for c in caches
        ]
        weights, self.entries = [], []
        for c, cache in enumerate(caches):
            per_clip = np.bincount(cache.clip)
            for i, clip in enumerate(cache.clip):
                self.entries.append((c, i))
                # A still counts as a clip of 12 frames, a clip as the square root of its length.
                weights.append(12.0 / per_clip[clip] if per_clip[clip] == 1 else per_clip[clip] ** -0.5)
        self.weights = np.cumsum(weights) / np.sum(weights)

    def draw(self, rng: np.random.Generator) -> tuple[Image, Array, Array, Array, Array, bool]:
        """One sample: picture, keypoints [K, 2], Jacobians [K, 2, 2], depth [K], head pose [3], and is there a face?"""
        c, i = self.entries[int(np.searchsorted(self.weights, rng.random()))]
        image: Image = np.asarray(self.caches[c].frames[i])
        keypoints, jacobians, depth, pose = (target[i] for target in self.targets[c])
        if rng.random() < self.config.negative:
            return photometric(without_face(image, keypoints, rng), rng), keypoints, jacobians, depth, pose, False
        if rng.random() < self.config.flip:
            image = np.ascontiguousarray(image[:, ::-1])
            order = list(MIRRORED)
            keypoints, jacobians, depth = (
                (keypoints @ MIRROR)[order],
                (MIRROR @ jacobians @ MIRROR)[order],
                depth[order],
            )
            pose = pose * np.array([-1, 1, -1], np.float32)
        affine = random_affine(rng, self.config)
        border = cv2.BORDER_REPLICATE if rng.random() < 0.6 else cv2.BORDER_CONSTANT
        image = photometric(warp_image(image, affine, self.size_px, border), rng)
        if rng.random() < self.config.hide:
            hide_part(image, rng)
        linear = affine[:, :2]
        zoom = np.sqrt(abs(np.linalg.det(linear)))
        roll = np.arctan2(linear[1, 0] - linear[0, 1], linear[0, 0] + linear[1, 1])
        return (
            image,
            keypoints @ linear.T + affine[:, 2],
            linear @ jacobians,
            (depth * zoom).astype(np.float32),
            pose + np.array([0, 0, roll], np.float32),
            True,
        )

    def batch(self, generators: Sequence[np.random.Generator]) -> DetectorBatch:
        """One picture from each generator."""
        samples = [self.draw(rng) for rng in generators]
        keypoints, jacobians, depth, pose, face = (
            torch.from_numpy(np.stack([np.asarray(s[n]) for s in samples])) for n in range(1, 6)
        )
        return DetectorBatch(
            pictures=torch.from_numpy(np.stack([s[0] for s in samples])).permute(0, 3, 1, 2),
            targets=DetectorTargets(keypoints=keypoints, jacobians=jacobians, depth=depth, head_pose=pose, face=face),
            seed=int(generators[0].integers(2**62)),
        )


def depth_of(teacher: Teacher, landmarks: Array) -> Array:
    """Depth of each face keypoint relative to the face's middle: [F, K]."""
    z = landmarks[..., 2] - landmarks[..., 2].mean(axis=1, keepdims=True)
    return np.asarray(z @ teacher.keypoint_weights.T, dtype=np.float32)
