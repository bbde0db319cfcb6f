"""Stage 3: encoder and generator on a frozen detector and motion field, on patches at full resolution.

The key frame is worsened (scaled down and up, compressed) while the target stays as it is: the cross-quality training
of AdaSR, section 2.2, with the damage that our own key frames suffer. The generator sees a patch of the frame; the
encoder sees the whole key frame.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from adasr_core.geometry import FACE_KEYPOINTS
from adasr_core.landmarks import hull_mask
from adasr_core.networks import FaceCodecNetworks
from adasr_core.networks.generator import full_grid
from adasr_core.networks.layers import warp
from training.augment import AugmentConfig, Image
from training.frame_cache import FrameCache
from training.motion_stage import estimate_field, face_weight, psnr
from training.pairs import PairSampler
from training.run import RunConfig, Stage, autocast, pick_device

GENERATOR_AUGMENT = AugmentConfig(scale=(0.9, 1.15), rotation_deg=3.0, shift=0.06, hide=0.0, negative=0.0)


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


def patch_origins(
    keypoints: Tensor, frame_px: int, rng: np.random.Generator, config: PatchConfig
) -> list[tuple[int, int]]:
    """Upper left corners (x, y) in pixels, multiples of 8, for a batch of face keypoints [B, K, 2]."""
    room = frame_px - config.patch_px
    origins = []
    for points in keypoints.cpu().numpy():
        if rng.random() < config.on_face:
            centre = (points[rng.integers(len(points))] + 1) * frame_px / 2 + rng.normal(0, 32, 2)
            corner = centre - config.patch_px / 2
        else:
            corner = rng.uniform(0, room, 2)
        x, y = (int(v) for v in np.clip(np.round(corner / 8) * 8, 0, room))
        origins.append((x, y))
    return origins


def cut(grid: Tensor, origins: list[tuple[int, int]], patch_px: int, shrink: int) -> Tensor:
    """Cut each sample's patch from [B, H, W, C] at 1/`shrink` of the frame."""
    n = patch_px // shrink
    return torch.stack(
        [
            g[y // shrink : y // shrink + n, x // shrink : x // shrink + n]
            for g, (x, y) in zip(grid, origins, strict=True)
        ]
    )


def rebuild_patches(
    networks: FaceCodecNetworks,
    picture: Tensor,
    flow: Tensor,
    occlusion: Tensor,
    origins: list[tuple[int, int]],
    patch_px: int,
) -> Tensor:
    """Generator on one patch of each sample: [B, 3, patch_px, patch_px]."""
    features, detail, _ = networks.encoder(picture)
    grids = {s: cut(full_grid(flow, picture.shape[-1] // s), origins, patch_px, s) for s in (1, 4, 8)}
    seen = cut(occlusion.permute(0, 2, 3, 1), origins, patch_px, 8).permute(0, 3, 1, 2)
    moved_features, moved_detail = warp(features.float(), grids[8]), warp(detail.float(), grids[4])
    frame: Tensor = networks.generator.paint(warp(picture, grids[1]), moved_features, moved_detail, seen)
    return frame


def rebuild_loss(found: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Absolute error over three scales, squared error, and absolute error of the first differences (edges)."""
    total = found.new_zeros(())
    for scale in range(3):
        difference = found - truth
        error = torch.sqrt(difference**2 + 1e-5) + 2 * difference**2
        total = total + (error.mean(1, keepdim=True) * weight).mean()
        if scale < 2:
            dx = (difference[..., 1:] - difference[..., :-1]).abs().mean(1, keepdim=True)
            dy = (difference[..., 1:, :] - difference[..., :-1, :]).abs().mean(1, keepdim=True)
            total = total + 0.5 * ((dx * weight[..., 1:]).mean() + (dy * weight[..., 1:, :]).mean())
        found, truth, weight = (functional.avg_pool2d(x, 2) for x in (found, truth, weight))
    return total


def sharpness(image: Tensor) -> float:
    """Mean absolute Laplacian of the grey picture [1, 3, H, W]."""
    grey = image.mean(1, keepdim=True)
    kernel = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]], device=image.device)[None, None]
    return float(functional.conv2d(grey, kernel).abs().mean())


@torch.no_grad()
def validate_rebuild(networks: FaceCodecNetworks, cache: FrameCache, stride: int = 3) -> dict[str, float]:
    """Mean over validation clips at full resolution, first frame as key frame: PSNR of rebuild and warp, sharpness."""
    networks.eval()
    device = next(networks.parameters()).device
    size = networks.config.detector_px
    rows = []
    for clip in np.unique(cache.clip):
        numbers = np.flatnonzero(cache.clip == clip)
        first, rest = numbers[0], numbers[1::stride]
        key = torch.from_numpy(cache.frames[first][None].copy()).permute(0, 3, 1, 2).to(device).float() / 255
        small_key = functional.interpolate(key, size=(size, size), mode="area")
        features, detail, _ = networks.encoder(key)
        for i in rest:
            truth = torch.from_numpy(cache.frames[i][None].copy()).permute(0, 3, 1, 2).to(device).float() / 255
            _, field = estimate_field(
                networks, small_key, functional.interpolate(truth, size=(size, size), mode="area")
            )
            made = networks.generator(key, features, detail, field.flow, field.occlusion).clamp(0, 1)
            warped = warp(key, full_grid(field.flow, key.shape[-1]))
            mask = hull_mask(cache.landmarks[i], key.shape[-1])
            errors = [((x - truth) ** 2).mean(1)[0].cpu().numpy() for x in (made, warped, key)]
            row = [value for e in errors for value in (psnr(e), psnr(e[mask]))]
            rows.append([*row, sharpness(made) / sharpness(truth), sharpness(warped) / sharpness(truth), clip])
    table = np.array(rows)
    mean = np.mean([table[table[:, -1] == c].mean(axis=0) for c in np.unique(table[:, -1])], axis=0)
    names = ("psnr_db", "face_psnr_db", "warp_psnr_db", "warp_face_psnr_db", "held_psnr_db", "held_face_psnr_db")
    return {n: float(v) for n, v in zip((*names, "sharpness", "warp_sharpness"), mean, strict=False)}


def train_generator(
    networks: FaceCodecNetworks,
    cache: FrameCache,
    val: FrameCache,
    config: RunConfig,
    patches: PatchConfig = PatchConfig(),
) -> FaceCodecNetworks:
    """Run the stage on a cache at the frame's own size; returns the networks with averaged weights."""
    device = pick_device(config.device)
    networks = networks.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    size = networks.config.frame_px
    sampler = PairSampler(cache, size, augment=GENERATOR_AUGMENT)
    rng = np.random.default_rng(config.seed)
    encoder = networks.encoder
    trained = [encoder.down2, encoder.down4, encoder.to_detail, encoder.down8, encoder.blocks, networks.generator]
    stage = Stage("generator", networks, trained, config)
    networks.eval()
    stage.report(validate_rebuild(stage.averaged, val))
    running, next_report = 0.0, time.monotonic() + config.report_s
    for step in stage.steps():
        chosen = [sampler.draw(rng) for _ in range(config.batch)]
        made = [sampler.pictures(a, b, rng) for a, b in chosen]
        worse = [worsen(first, rng, patches) for first, _, _ in made]
        stacked = np.stack([*worse, *(second for _, second, _ in made)])
        images = torch.from_numpy(stacked).permute(0, 3, 1, 2).to(device).float().div_(255)
        images = images.contiguous(memory_format=torch.channels_last)
        count, detector_px = len(chosen), networks.config.detector_px
        with autocast(device):
            with torch.no_grad():
                small = functional.interpolate(images, size=(detector_px, detector_px), mode="area")
                out, field = estimate_field(networks, small[:count], small[count:])
            face = out.keypoints[count:, :FACE_KEYPOINTS]
            origins = patch_origins(face, size, rng, patches)
            found = rebuild_patches(
                networks, images[:count], field.flow.float(), field.occlusion.float(), origins, patches.patch_px
            )
        truth = cut(images[count:].permute(0, 2, 3, 1), origins, patches.patch_px, 1).permute(0, 3, 1, 2)
        weight = 1 + 3 * face_weight(face, size // 4).permute(0, 2, 3, 1)
        local = cut(weight, origins, patches.patch_px, 4).permute(0, 3, 1, 2)
        local = functional.interpolate(local, scale_factor=4.0, mode="nearest")
        # The rim of a patch sees padding where the frame has pixels.
        inner = slice(16, patches.patch_px - 16)
        loss = rebuild_loss(*(x[..., inner, inner] for x in (found.float(), truth, local)))
        stage.update(loss)
        running += (loss.item() - running) * (1.0 if step == 0 else 0.02)
        if time.monotonic() > next_report:
            stage.report({"loss": running, **validate_rebuild(stage.averaged, val)})
            next_report = time.monotonic() + config.report_s
    stage.report({"loss": running, **validate_rebuild(stage.averaged, val)})
    return stage.averaged
