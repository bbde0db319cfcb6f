"""Figures and pictures on validation clips, the first frame as the only key frame."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from adasr_core.landmarks import hull_mask
from adasr_core.networks import FaceCodecNetworks
from adasr_core.networks.generator import full_grid
from adasr_core.networks.layers import warp
from training.frame_cache import FrameCache
from training.motion_estimate import estimate_field
from training.trainer.stage import Image

SHOWN_CLIPS = 4
SHOWN_PX = 256


def psnr(squared_error: npt.NDArray[np.float32]) -> float:
    """PSNR in dB of squared errors on a scale of [0, 1]."""
    return float(-10 * np.log10(max(float(squared_error.mean()), 1e-10)))


def sharpness(image: Tensor) -> float:
    """Mean absolute Laplacian of the grey picture [1, 3, H, W]."""
    grey = image.mean(1, keepdim=True)
    kernel = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]], device=image.device)[None, None]
    return float(functional.conv2d(grey, kernel).abs().mean())


def pictures_of(cache: FrameCache, numbers: npt.ArrayLike, device: torch.device) -> Tensor:
    """Frames by number: [B, 3, S, S] in [0, 1] on `device`."""
    chosen = np.asarray(cache.frames[np.atleast_1d(numbers)])
    return torch.from_numpy(chosen).permute(0, 3, 1, 2).to(device).float() / 255


@torch.no_grad()
def validate_warp(networks: FaceCodecNetworks, cache: FrameCache, stride: int = 6) -> dict[str, float]:
    """PSNR of the warped first frame on validation clips, 256x256, and its gain over holding that frame."""
    device = next(networks.parameters()).device
    rows = []
    for clip in np.unique(cache.clip):
        numbers = np.flatnonzero(cache.clip == clip)
        first, rest = numbers[0], numbers[1::stride]
        key, truth = pictures_of(cache, first, device), pictures_of(cache, rest, device)
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


@torch.no_grad()
def validate_rebuild(networks: FaceCodecNetworks, cache: FrameCache, stride: int = 3) -> dict[str, float]:
    """Mean over validation clips at full resolution, first frame as key frame: PSNR of rebuild and warp, sharpness."""
    device = next(networks.parameters()).device
    size = networks.config.detector_px
    rows = []
    for clip in np.unique(cache.clip):
        numbers = np.flatnonzero(cache.clip == clip)
        first, rest = numbers[0], numbers[1::stride]
        key = pictures_of(cache, first, device)
        small_key = functional.interpolate(key, size=(size, size), mode="area")
        features, detail, _ = networks.encoder(key)
        for i in rest:
            truth = pictures_of(cache, i, device)
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


def _shown_pairs(cache: FrameCache, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """First frame and the frame that lies furthest from it, by landmarks, of some clips."""
    for clip in np.unique(cache.clip)[:SHOWN_CLIPS]:
        numbers = np.flatnonzero(cache.clip == clip)
        away = ((cache.landmarks[numbers] - cache.landmarks[numbers[0]])[..., :2] ** 2).sum((1, 2))
        yield pictures_of(cache, numbers[0], device), pictures_of(cache, numbers[int(away.argmax())], device)


@torch.no_grad()
def warp_pictures(networks: FaceCodecNetworks, cache: FrameCache) -> list[list[Image]]:
    """Rows of source, target, warp, difference (grey: none), one for each of some validation clips."""
    rows = []
    for key, truth in _shown_pairs(cache, next(networks.parameters()).device):
        _, field = estimate_field(networks, key, truth)
        made = warp(key, full_grid(field.flow, key.shape[-1]))
        rows.append([_shown(x) for x in (key, truth, made, 0.5 + made - truth)])
    return rows


@torch.no_grad()
def rebuild_pictures(networks: FaceCodecNetworks, cache: FrameCache) -> list[list[Image]]:
    """Rows of source, target, warp, rebuild, difference (grey: none), one for each of some validation clips."""
    size, rows = networks.config.detector_px, []
    for key, truth in _shown_pairs(cache, next(networks.parameters()).device):
        small = [functional.interpolate(x, size=(size, size), mode="area") for x in (key, truth)]
        _, field = estimate_field(networks, *small)
        warped = warp(key, full_grid(field.flow, key.shape[-1]))
        features, detail, _ = networks.encoder(key)
        made = networks.generator(key, features, detail, field.flow, field.occlusion)
        rows.append([_shown(x) for x in (key, truth, warped, made, 0.5 + made - truth)])
    return rows


def _shown(picture: Tensor) -> Image:
    """[1, 3, S, S] in [0, 1] as uint8 [SHOWN_PX, SHOWN_PX, 3]."""
    image = (picture[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return np.asarray(cv2.resize(image, (SHOWN_PX, SHOWN_PX), interpolation=cv2.INTER_AREA), np.uint8)
