"""Stage 2: motion field, its context encoder and the free keypoints, by the error of the warped key frame.

The detector learns on: face keypoints stay tied to the landmarks, free ones follow whatever makes the warp fit.
"""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from adasr_core.geometry import FACE_KEYPOINTS
from adasr_core.landmarks import hull_mask
from adasr_core.networks import DetectorOutput, FaceCodecNetworks, MotionFieldOutput
from adasr_core.networks.generator import full_grid
from adasr_core.networks.layers import warp
from training.augment import MIRRORED, AugmentConfig
from training.detector_stage import DetectorSamples, detector_loss, validate
from training.frame_cache import FrameCache
from training.pairs import PairSampler
from training.run import RunConfig, Stage, autocast, pick_device
from training.teacher import Teacher

PHOTO_PX = 128


def moved_targets(keypoints: Tensor, jacobians: Tensor, affine: Tensor) -> tuple[Tensor, Tensor]:
    """Teacher values after the pairs' geometry [B, 2, 3]; a mirrored pair swaps right and left."""
    linear, shift = affine[:, None, :, :2], affine[:, None, :, 2]
    points = torch.matmul(linear, keypoints.unsqueeze(-1)).squeeze(-1) + shift
    shapes = torch.matmul(linear, jacobians)
    mirrored = torch.linalg.det(affine[:, :, :2]) < 0
    order = torch.tensor(MIRRORED)
    flip = torch.diag(torch.tensor([-1.0, 1.0]))
    points = torch.where(mirrored[:, None, None], points[:, order], points)
    shapes = torch.where(mirrored[:, None, None, None], torch.matmul(shapes[:, order], flip), shapes)
    return points, shapes


def distillation(out: DetectorOutput, keypoints: Tensor, jacobians: Tensor) -> Tensor:
    """Distance of the face keypoints and Jacobians from the teacher's, where they are inside the picture."""
    inside = (keypoints.abs().amax(-1) < 0.98).float()
    found = out.keypoints[:, :FACE_KEYPOINTS]
    error = functional.smooth_l1_loss(found, keypoints, beta=0.01, reduction="none").sum(-1)
    shape = functional.smooth_l1_loss(out.jacobians[:, :FACE_KEYPOINTS], jacobians, beta=0.05, reduction="none")
    return ((10 * error + shape.sum((-1, -2))) * inside).sum() / inside.sum().clamp(min=1)


def face_weight(keypoints: Tensor, size: int) -> Tensor:
    """1 on the face and 0 away from it, softly: [B, 1, size, size] from face keypoints [B, K, 2]."""
    axis = (torch.arange(size, device=keypoints.device) * 2 + 1) / size - 1
    dx = axis[None, None, :] - keypoints[..., 0, None]
    dy = axis[None, None, :] - keypoints[..., 1, None]
    nearest = (dx[:, :, None, :] ** 2 + dy[:, :, :, None] ** 2).amin(dim=1, keepdim=True)
    return torch.exp(-nearest / 0.02)


def photometric_loss(found: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Absolute and squared error over three scales; `weight` [B, 1, H, W] at the finest."""
    total = found.new_zeros(())
    for _ in range(3):
        difference = found - truth
        error = torch.sqrt(difference**2 + 1e-4).mean(1, keepdim=True) + 4 * (difference**2).mean(1, keepdim=True)
        total = total + (error * weight).mean()
        found, truth, weight = (functional.avg_pool2d(x, 2) for x in (found, truth, weight))
    return total


def estimate_field(
    networks: FaceCodecNetworks, first: Tensor, second: Tensor
) -> tuple[DetectorOutput, MotionFieldOutput]:
    """Detector on both pictures [B, 3, 256, 256] (as one batch) and the motion field between them."""
    out = networks.detector(torch.cat((first, second)))
    n = len(first)
    context = networks.encoder.context(functional.interpolate(first, size=(128, 128), mode="area"))
    field = networks.motion(
        context.float(), out.keypoints[:n], out.jacobians[:n].float(), out.keypoints[n:], out.jacobians[n:].float()
    )
    return out, field


def psnr(squared_error: npt.NDArray[np.float32]) -> float:
    """PSNR in dB of squared errors on a scale of [0, 1]."""
    return float(-10 * np.log10(max(float(squared_error.mean()), 1e-10)))


@torch.no_grad()
def validate_warp(networks: FaceCodecNetworks, cache: FrameCache, stride: int = 6) -> dict[str, float]:
    """PSNR of the warped first frame on validation clips, 256x256, and its gain over holding that frame."""
    networks.eval()
    device = next(networks.parameters()).device
    rows = []
    for clip in np.unique(cache.clip):
        numbers = np.flatnonzero(cache.clip == clip)
        first, rest = numbers[0], numbers[1::stride]
        key = torch.from_numpy(cache.frames[first][None].copy()).permute(0, 3, 1, 2).to(device).float() / 255
        truth = torch.from_numpy(cache.frames[rest]).permute(0, 3, 1, 2).to(device).float() / 255
        _, field = estimate_field(networks, key.expand(len(rest), -1, -1, -1), truth)
        made = warp(key.expand(len(rest), -1, -1, -1), full_grid(field.flow, key.shape[-1]))
        error = ((made - truth) ** 2).mean(1).cpu().numpy()
        held = ((key - truth) ** 2).mean(1).cpu().numpy()
        hulls = [hull_mask(cache.landmarks[i], key.shape[-1]) for i in rest]
        rows.append(
            np.mean(
                [(psnr(e), psnr(e[m]), psnr(h), psnr(h[m])) for e, h, m in zip(error, held, hulls, strict=True)], axis=0
            )
        )
    networks.train()
    table = np.array(rows)
    mean = table.mean(axis=0)
    return {
        "psnr_db": float(mean[0]),
        "face_psnr_db": float(mean[1]),
        "gain_db": float(mean[0] - mean[2]),
        "face_gain_db": float(mean[1] - mean[3]),
        "worst_gain_db": float((table[:, 0] - table[:, 2]).min()),
        "worst_face_gain_db": float((table[:, 1] - table[:, 3]).min()),
    }


def train_motion(
    networks: FaceCodecNetworks, caches: list[FrameCache], val: FrameCache, config: RunConfig, single: int = 8
) -> FaceCodecNetworks:
    """Run the stage on pairs of caches[0]; returns the networks with averaged weights.

    Each step also holds `single` hard pictures of the detector stage (turned, hidden, without a face), lest the
    detector forget them.
    """
    cache = caches[0]
    device = pick_device(config.device)
    networks = networks.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    teacher = Teacher.fit(cache.landmarks[::7])
    keypoints, jacobians = (torch.from_numpy(t) for t in teacher(cache.landmarks))
    singles = DetectorSamples(caches, teacher, AugmentConfig(), networks.config.detector_px)
    sampler = PairSampler(cache, networks.config.detector_px)
    rng = np.random.default_rng(config.seed)
    stage = Stage("motion", networks, [networks.motion, networks.encoder.context, networks.detector], config)
    networks.train()
    running = np.zeros(2)
    next_report = time.monotonic() + config.report_s

    def measure(averaged: FaceCodecNetworks) -> dict[str, float]:
        return {**validate_warp(averaged, val), **validate(averaged, val, teacher)}

    stage.report(measure(stage.averaged))
    for step in stage.steps():
        first, second, a, b, affine = sampler.batch(config.batch, rng)
        points, shapes = moved_targets(keypoints[a + b], jacobians[a + b], torch.cat((affine, affine)))
        images = torch.cat((first, second)).to(device).float().div_(255).contiguous(memory_format=torch.channels_last)
        with autocast(device):
            out, field = estimate_field(networks, images[: len(a)], images[len(a) :])
        small = functional.interpolate(images, size=(PHOTO_PX, PHOTO_PX), mode="area")
        made = warp(small[: len(a)], full_grid(field.flow.float(), PHOTO_PX))
        weight = 1 + 2 * face_weight(out.keypoints[len(a) :, :FACE_KEYPOINTS].detach(), PHOTO_PX)
        photo = photometric_loss(made, small[len(a) :], weight)
        tied = distillation(out, points.to(device), shapes.to(device))
        pictures, *targets = singles.batch(single, rng)
        inputs = pictures.to(device).float().div_(255).contiguous(memory_format=torch.channels_last)
        with autocast(device):
            hard = detector_loss(networks, inputs, *(t.to(device) for t in targets))
        stage.update(10 * photo + tied + 0.5 * hard)
        running += (np.array([photo.item(), tied.item()]) - running) * (1.0 if step == 0 else 0.02)
        if time.monotonic() > next_report:
            stage.report({"photo": running[0], "tied": running[1], **measure(stage.averaged)})
            next_report = time.monotonic() + config.report_s
    stage.report({"photo": running[0], "tied": running[1], **measure(stage.averaged)})
    return stage.averaged
