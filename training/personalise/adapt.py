"""The training loop: weights of the decoder on patches of one person's frames, until the clock or the gain runs out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from adasr_core.geometry import FACE_KEYPOINTS
from adasr_core.landmarks import hull_mask
from training.losses import RebuildLoss, region_weight
from training.personalise.adapted import Adapted
from training.personalise.footage import Footage
from training.personalise.rebuild import cut, rebuild_frames, rebuild_patches
from training.personalise.samples import SampleMaker, patch_origins

CHOICE_QUALITY = 40
"""AVIF quality of the key frame by which training decides when to stop."""
_LOSS = RebuildLoss()


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaptConfig:
    """Length and pace."""

    minutes: float = 4.0
    """Wall-clock budget of the loop; the learning rate falls to nothing when it is spent."""
    steps: int | None = None
    """Most optimiser steps."""
    batch: int = 6
    """Frames rebuilt from one key frame in a step."""
    patch_px: int = 192
    """Side of the patch of each; a multiple of 8."""
    learning_rate: float = 6e-4
    """Peak learning rate of Adam."""
    average: float = 0.98
    """Decay of the moving average of weights that is judged and kept."""
    check_s: float = 25.0
    """Seconds between looks at the frames that say when to stop."""
    patience: int = 5
    """Looks without a gain after which training ends."""
    seed: int = 0
    """Seed of the sampler."""

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        if not 0 < self.minutes <= 600:
            raise ValueError(f"minutes: got {self.minutes:g}, expected more than 0 and at most 600")
        if self.patch_px % 8 or self.patch_px < 64:
            raise ValueError(f"patch_px: got {self.patch_px}, expected a multiple of 8 of 64 or more")
        if self.batch < 1 or (self.steps is not None and self.steps < 1):
            raise ValueError(f"batch, steps: got {self.batch}, {self.steps}, expected 1 or more")


@dataclass(frozen=True, slots=True)
class AdaptResult:
    """How training went.

    steps: done; best_step: whose weights were kept (0: none was better). seconds: of training and of looking.
    losses: mean of each tenth of the steps.
    """

    steps: int
    best_step: int
    train_s: float
    check_s: float
    losses: tuple[float, ...]


def adapt(
    adapted: Adapted,
    footage: Footage,
    maker: SampleMaker,
    config: AdaptConfig,
    on_check: Callable[[int, float, float], None],
) -> AdaptResult:
    """Train in place; leaves the weights that did best on `footage.choose`.

    on_check: told step, loss and score (dB) at every look.

    Raises:
        FloatingPointError: the loss is not a number.
    """
    rng = np.random.default_rng(config.seed)
    torch.manual_seed(config.seed)
    trained = adapted.trained()
    optimizer = torch.optim.Adam(trained, lr=config.learning_rate, betas=(0.9, 0.99))
    averaged = [p.detach().clone() for p in trained]
    best, best_step, best_db = [p.clone() for p in averaged], 0, choice_score(adapted, footage, maker)
    on_check(0, math.nan, best_db)
    started = time.monotonic()
    checked_s, next_check, waited, step = 0.0, started + config.check_s, 0, 0
    losses: list[float] = []

    def check() -> None:
        nonlocal best, best_step, best_db, checked_s, waited, next_check
        begun = time.monotonic()
        live = _exchange(trained, averaged)
        score = choice_score(adapted, footage, maker)
        waited += 1
        if score > best_db:
            best, best_step, best_db, waited = [p.clone() for p in averaged], step, score, 0
        _exchange(trained, live)
        on_check(step, float(np.mean(losses[-50:])), score)
        checked_s += time.monotonic() - begun
        next_check = time.monotonic() + config.check_s

    while True:
        progress = (time.monotonic() - started) / (60 * config.minutes)
        if config.steps is not None:
            progress = max(progress, step / config.steps)
        if progress >= 1 or waited >= config.patience:
            break
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * min(1.0, (step + 1) / 20) * 0.5 * (1 + math.cos(math.pi * progress))
        loss = patch_loss(adapted, maker, rng, config)
        if not torch.isfinite(loss):
            raise FloatingPointError(f"personalise: loss is {loss.item()} at step {step}; lower the learning rate")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        step += 1
        decay = min(config.average, step / (step + 9))
        with torch.no_grad():
            for mean, value in zip(averaged, trained, strict=True):
                mean.lerp_(value, 1 - decay)
        losses.append(loss.item())
        if time.monotonic() > next_check:
            check()
    check()
    _exchange(trained, best)
    tenths = tuple(float(part.mean()) for part in np.array_split(np.array(losses), min(10, len(losses))))
    return AdaptResult(step, best_step, time.monotonic() - started - checked_s, checked_s, tenths)


def patch_loss(adapted: Adapted, maker: SampleMaker, rng: np.random.Generator, config: AdaptConfig) -> Tensor:
    """Loss of one random sample."""
    sample = maker.draw(rng, config.batch)
    frame_px, patch_px = sample.picture.shape[-1], config.patch_px
    origins = patch_origins(sample.driving, frame_px, patch_px, rng)
    with torch.autocast("cpu", torch.bfloat16):
        found = rebuild_patches(adapted.networks, sample, origins, patch_px)
    truth = cut(sample.truth.permute(0, 2, 3, 1), origins, patch_px, 1).permute(0, 3, 1, 2)
    weight = region_weight(sample.driving.keypoints[:, :FACE_KEYPOINTS], frame_px // 4)
    local = cut(weight.permute(0, 2, 3, 1), origins, patch_px, 4).permute(0, 3, 1, 2)
    local = functional.interpolate(local, scale_factor=4.0, mode="nearest")
    # The rim of a patch sees padding where the frame has pixels.
    inner = slice(16, patch_px - 16)
    loss: Tensor = _LOSS(*(x[..., inner, inner] for x in (found.float(), truth, local)))
    return loss


@torch.no_grad()
def choice_score(adapted: Adapted, footage: Footage, maker: SampleMaker, most: int = 12) -> float:
    """Mean of whole and face PSNR (dB) on `footage.choose`, from the clip's first frame and from the middle one."""
    indices = np.unique(np.linspace(footage.choose.start, footage.choose.stop - 1, most).round().astype(int)).tolist()
    scores = []
    for n, key in enumerate((maker.keys[0], maker.keys[len(maker.keys) // 2])):
        sample = maker.sample(key, indices[n::2] or indices, CHOICE_QUALITY)
        with torch.autocast("cpu", torch.bfloat16):
            frames = rebuild_frames(adapted.networks, sample)
        errors = ((frames - sample.truth) ** 2).mean(dim=1).numpy()
        for error, points in zip(errors, sample.driving.keypoints.numpy(), strict=True):
            face = error[hull_mask(points[:FACE_KEYPOINTS], error.shape[-1])]
            scores.append(-5 * math.log10(max(error.mean(), 1e-9)) - 5 * math.log10(max(face.mean(), 1e-9)))
    return float(np.mean(scores))


@torch.no_grad()
def _exchange(parameters: list[nn.Parameter], values: list[Tensor]) -> list[Tensor]:
    """Put `values` into the parameters; returns what they held."""
    held = [p.detach().clone() for p in parameters]
    for parameter, value in zip(parameters, values, strict=True):
        parameter.copy_(value)
    return held
