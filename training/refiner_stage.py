"""Stage 5: the refiner, on patches of what the receiver drew from anchors, recorded in calls."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from adasr_core.networks import Refiner
from training.drawn_frames import DrawnFrame, DrawnFrames
from training.losses import CharbonnierLoss, SharpnessLoss, StructureLoss, ssim_map
from training.rebuild_figures import psnr, sharpness
from training.trainer.launcher import Launcher, PlainLauncher
from training.trainer.stage import Image, LossTerm, Phase, PhaseLoss

RIM_PX = 8
"""The rim of a patch sees padding where the frame has pixels; it is left out of the losses."""
BLOCK_PX = 8
SHOWN_PX = 256
SHOWN_FRAMES = 4
UNSHARP_COST_DB = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class RefinerStageConfig:
    """What the refiner's stage draws, and what it weighs how much."""

    patch_px: int = 128
    """Side of a patch; a multiple of 8, 64 or more."""
    own: float = 0.15
    """Share of samples that are an anchor's own frame."""
    pixel: float = 1.0
    """Weight of the error in pixels."""
    structure: float = 0.0
    """Weight of the structural dissimilarity; it takes longer than the network itself."""
    sharpness: float = 0.006
    """Weight of local sharpness that differs."""

    def __post_init__(self) -> None:
        """Raises ValueError for a patch or a weight that cannot be."""
        if self.patch_px < 64 or self.patch_px % 8:
            raise ValueError(f"patch_px: got {self.patch_px}, expected a multiple of 8, 64 or more")
        if not 0 <= self.own <= 1:
            raise ValueError(f"own: got {self.own}, expected a probability")
        for name in ("pixel", "structure", "sharpness"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected a weight of 0 or more")


@dataclass(frozen=True, slots=True, eq=False)
class DrawnBatch:
    """B patches: earlier, later, truth uint8 [B, 3, P, P], weight float32 [B, 1, 1, 1]."""

    earlier: Tensor
    later: Tensor
    truth: Tensor
    weight: Tensor


class RefinerStage:
    """Trains the refiner. Best by PSNR, less 2 dB for a unit of missing or excess sharpness."""

    name, best_by = "refiner", "score"

    def __init__(
        self,
        networks: Refiner,
        frames: DrawnFrames,
        val: DrawnFrames,
        config: RefinerStageConfig = RefinerStageConfig(),
    ) -> None:
        """Patches from `frames`, figures on `val`."""
        self.networks, self.extra = networks, nn.ModuleDict()
        self.frames, self.val, self.config = frames, val, config
        self.launcher: Launcher = PlainLauncher("cpu")
        self.pixel, self.structure, self.sharpness = CharbonnierLoss(), StructureLoss(), SharpnessLoss()
        own = frames.weight == 0
        self._own, self._between = np.flatnonzero(own), np.flatnonzero(~own)

    def attach(self, launcher: Launcher) -> None:
        """Take the launcher."""
        self.launcher = launcher

    def phases(self) -> tuple[Phase[DrawnBatch], ...]:
        """One: the frame."""
        return (Phase(name="refiner", trained=(self.networks,), loss=self.loss),)

    def batch(self, generators: Sequence[np.random.Generator]) -> DrawnBatch:
        """One patch from each generator."""
        drawn = [self._patch(rng) for rng in generators]
        planes = {
            name: torch.from_numpy(np.stack([getattr(one, name) for one in drawn])).permute(0, 3, 1, 2)
            for name in ("earlier", "later", "truth")
        }
        weight = torch.tensor([one.weight for one in drawn], dtype=torch.float32)[:, None, None, None]
        return DrawnBatch(**planes, weight=weight)

    def train_mode(self) -> None:
        """Nothing in the refiner has modes."""
        self.networks.train()

    def compile(self, on: bool) -> None:
        """Compile the refiner, or put the plain one back."""
        if on:
            self.networks.compile()
        else:
            # What nn.Module.compile sets; torch has no call that takes it back.
            self.networks._compiled_call_impl = None

    def autocast(self) -> AbstractContextManager[None]:
        """The run's precision."""
        return self.launcher.autocast()

    def loss(self, batch: DrawnBatch, _: object) -> PhaseLoss:
        """Error of the refined patches."""
        device, config = self.launcher.device, self.config
        earlier, later, truth = (_pictures(x, device) for x in (batch.earlier, batch.later, batch.truth))
        with self.autocast():
            found = self.networks(earlier, later, batch.weight.to(device))
        inner = slice(RIM_PX, config.patch_px - RIM_PX)
        found, truth = found.float()[..., inner, inner], truth[..., inner, inner]
        terms = [LossTerm("pixel", self.pixel(found, truth), config.pixel)]
        if config.structure:
            terms.append(LossTerm("structure", self.structure(found, truth), config.structure))
        if config.sharpness:
            terms.append(LossTerm("softness", self.sharpness(found, truth), config.sharpness))
        return PhaseLoss(tuple(terms))

    @torch.no_grad()
    def validate(self, averaged: Refiner) -> dict[str, float]:
        """Means over the validation frames: PSNR, SSIM and sharpness of refined frames; `mixed_`: of what went in."""
        rows = []
        for number in range(len(self.val.weight)):
            truth, mixed, refined = self._refined(averaged, number)
            row: list[float] = []
            for made in (refined, mixed):
                error = ((made - truth) ** 2).mean(1)[0].cpu().numpy()
                row += [psnr(error), float(ssim_map(made, truth).mean()), sharpness(made) / sharpness(truth)]
            rows.append(row)
        names = ("psnr_db", "ssim", "sharpness", "mixed_psnr_db", "mixed_ssim", "mixed_sharpness")
        figures = dict(zip(names, np.mean(rows, axis=0).tolist(), strict=True))
        return figures | {"score": figures["psnr_db"] - UNSHARP_COST_DB * abs(1 - figures["sharpness"])}

    @torch.no_grad()
    def pictures(self, averaged: Refiner) -> list[list[Image]]:
        """Rows of truth, mix, refined, at full resolution around the middle, of some validation frames."""
        numbers = np.linspace(0, len(self.val.weight) - 1, SHOWN_FRAMES).astype(int)
        return [[_shown(picture) for picture in self._refined(averaged, number)] for number in numbers]

    def _patch(self, rng: np.random.Generator) -> DrawnFrame:
        own = len(self._own) and (not len(self._between) or rng.random() < self.config.own)
        number = int(rng.choice(self._own if own else self._between))
        side, frames = self.config.patch_px, self.frames
        # On the grid that the codec's blocks lie on.
        x, y = (BLOCK_PX * int(v) for v in rng.integers(0, (frames.truth.shape[1] - side) // BLOCK_PX + 1, 2))
        flip = 1 - 2 * int(rng.integers(2))
        cut = (slice(y, y + side), slice(x, x + side))
        earlier, later, truth = (
            np.ascontiguousarray(stack[number][cut][:, ::flip])
            for stack in (frames.earlier, frames.later, frames.truth)
        )
        weight = float(frames.weight[number])
        if rng.integers(2):
            # Time has no direction here.
            earlier, later, weight = later, earlier, 1 - weight
        return DrawnFrame(earlier, later, truth, weight)

    def _refined(self, averaged: Refiner, number: int) -> tuple[Tensor, Tensor, Tensor]:
        """Truth, mix and refined frame of a validation frame, [1, 3, S, S] as shown."""
        val, device = self.val, next(averaged.parameters()).device
        earlier, later, truth = (
            _pictures(torch.from_numpy(np.array(stack[number])).permute(2, 0, 1)[None], device)
            for stack in (val.earlier, val.later, val.truth)
        )
        weight = torch.full((1, 1, 1, 1), float(val.weight[number]), device=device)
        with self.autocast():
            refined = averaged(earlier, later, weight)
        return truth, _as_shown(torch.lerp(earlier, later, weight)), _as_shown(refined.float())


def _pictures(images: Tensor, device: torch.device) -> Tensor:
    """uint8 [B, 3, H, W] as float32 in [0, 1] on the device, channels last."""
    return images.to(device).to(torch.float32, memory_format=torch.channels_last) / 255


def _as_shown(picture: Tensor) -> Tensor:
    """Clipped and rounded to what 8 bits hold."""
    return (picture.clamp(0, 1) * 255).round() / 255


def _shown(picture: Tensor) -> Image:
    """The middle of [1, 3, S, S] in [0, 1] as uint8 [SHOWN_PX, SHOWN_PX, 3]."""
    image = (_as_shown(picture.float())[0] * 255).byte().permute(1, 2, 0).cpu().numpy()
    start = max(0, (image.shape[0] - SHOWN_PX) // 2)
    middle = image[start : start + SHOWN_PX, start : start + SHOWN_PX]
    return np.asarray(cv2.resize(middle, (SHOWN_PX, SHOWN_PX), interpolation=cv2.INTER_AREA), np.uint8)
