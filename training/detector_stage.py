"""Stage 1: distil the keypoint detector from face mesh landmarks."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from adasr_core.geometry import FACE_KEYPOINTS
from adasr_core.networks import FaceCodecNetworks
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
from training.run import RunConfig, Stage, autocast, pick_device
from training.teacher import Teacher

MIRROR = np.diag([-1.0, 1.0]).astype(np.float32)
CONFIDENCE_REACH = 0.04


class DetectorSamples:
    """Augmented pictures with the teacher's keypoints, Jacobians and depth."""

    def __init__(self, caches: list[FrameCache], teacher: Teacher, config: AugmentConfig, size_px: int) -> None:
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

    def batch(self, count: int, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """`count` samples as `draw` gives them, stacked; pictures uint8 [B, 3, H, W]."""
        samples = [self.draw(rng) for _ in range(count)]
        pictures = torch.from_numpy(np.stack([s[0] for s in samples])).permute(0, 3, 1, 2)
        targets = (torch.from_numpy(np.stack([np.asarray(s[n]) for s in samples])) for n in range(1, 6))
        return pictures, *targets


def depth_of(teacher: Teacher, landmarks: Array) -> Array:
    """Depth of each face keypoint relative to the face's middle: [F, K]."""
    z = landmarks[..., 2] - landmarks[..., 2].mean(axis=1, keepdims=True)
    return np.asarray(z @ teacher.keypoint_weights.T, dtype=np.float32)


def detector_loss(
    networks: FaceCodecNetworks,
    pictures: Tensor,
    keypoints: Tensor,
    jacobians: Tensor,
    depth: Tensor,
    pose: Tensor,
    face: Tensor,
) -> Tensor:
    """Distillation loss: keypoints (with depth), Jacobians, head pose (L1), and how far to trust each keypoint."""
    out = networks.detector(pictures)
    found = out.keypoints[:, :FACE_KEYPOINTS]
    inside = (keypoints.abs().amax(-1) < 0.98) & face[:, None]
    weight = inside.float()
    total = weight.sum().clamp(min=1)
    error = functional.smooth_l1_loss(found, keypoints, beta=0.01, reduction="none").sum(-1)
    shape = functional.smooth_l1_loss(out.jacobians[:, :FACE_KEYPOINTS], jacobians, beta=0.05, reduction="none")
    deep = functional.smooth_l1_loss(out.depth[:, :FACE_KEYPOINTS], depth, beta=0.05, reduction="none")
    with torch.no_grad():
        trust = torch.exp(-(((found - keypoints) ** 2).sum(-1)) / CONFIDENCE_REACH**2) * weight
    confidence = functional.binary_cross_entropy_with_logits(out.confidence_logits[:, :FACE_KEYPOINTS], trust)
    terms = 10 * error + shape.sum((-1, -2)) + 0.5 * deep
    turned = (out.head_pose - pose).abs().sum(-1) * face
    loss: Tensor = (terms * weight).sum() / total + 0.3 * confidence + 0.5 * turned.mean()
    return loss


@torch.no_grad()
def validate(networks: FaceCodecNetworks, cache: FrameCache, teacher: Teacher, stride: int = 8) -> dict[str, float]:
    """Error of face keypoints on validation frames, pixels of 256, and of their motion (constant offsets taken out)."""
    device = next(networks.parameters()).device
    networks.eval()
    errors, shapes, trust = [], [], []
    indices = np.arange(0, len(cache.frames), stride)
    truth, true_jacobians = teacher(cache.landmarks[indices])
    for at in range(0, len(indices), 32):
        chosen = indices[at : at + 32]
        pictures = torch.from_numpy(cache.frames[chosen]).permute(0, 3, 1, 2).to(device).float() / 255
        out = networks.detector(pictures)
        errors.append(out.keypoints[:, :FACE_KEYPOINTS].cpu().numpy() - truth[at : at + 32])
        shapes.append(out.jacobians[:, :FACE_KEYPOINTS].cpu().numpy() - true_jacobians[at : at + 32])
        trust.append(torch.sigmoid(out.confidence_logits[:, :FACE_KEYPOINTS]).cpu().numpy())
    networks.train()
    error = np.concatenate(errors) * 128
    motion = error.copy()
    for clip in np.unique(cache.clip[indices]):
        rows = cache.clip[indices] == clip
        motion[rows] -= motion[rows].mean(axis=0)
    return {
        "error_px": float(np.linalg.norm(error, axis=-1).mean()),
        "motion_error_px": float(np.linalg.norm(motion, axis=-1).mean()),
        "jacobian_error": float(np.abs(np.concatenate(shapes)).mean()),
        "confidence": float(np.concatenate(trust).mean()),
    }


def train_detector(
    networks: FaceCodecNetworks, caches: list[FrameCache], val: FrameCache, config: RunConfig, augment: AugmentConfig
) -> FaceCodecNetworks:
    """Run the stage; returns the networks with averaged weights."""
    device = pick_device(config.device)
    networks = networks.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    teacher = Teacher.fit(caches[0].landmarks[::7])
    samples = DetectorSamples(caches, teacher, augment, networks.config.detector_px)
    rng = np.random.default_rng(config.seed)
    stage = Stage("detector", networks, [networks.detector], config)
    networks.train()
    next_report = time.monotonic() + config.report_s
    running = 0.0
    for step in stage.steps():
        pictures, *targets = samples.batch(config.batch, rng)
        inputs = pictures.to(device).float().div_(255).contiguous(memory_format=torch.channels_last)
        with autocast(device):
            loss = detector_loss(networks, inputs, *(t.to(device) for t in targets))
        stage.update(loss)
        running += (loss.item() - running) * (1.0 if step == 0 else 0.02)
        if time.monotonic() > next_report:
            stage.report({"loss": running, **validate(stage.averaged, val, teacher)})
            next_report = time.monotonic() + config.report_s
    stage.report({"loss": running, **validate(stage.averaged, val, teacher)})
    return stage.averaged


def open_caches(folder: Path) -> tuple[list[FrameCache], FrameCache]:
    """Training caches (clips, stills) and validation cache, as `frame_cache` wrote them side by side."""
    return [FrameCache.open(folder / n) for n in ("train-256", "stills-256")], FrameCache.open(folder / "val-256")
