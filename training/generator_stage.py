"""Stage 3: encoder and generator on a frozen detector and motion field, on patches at full resolution.

The generator sees a patch of the frame; the encoder sees the whole key frame. `joint` trains the motion field and its
context encoder along, with the warp's own error beside the rebuild's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from adasr_core.networks import FaceCodecNetworks, MotionFieldOutput
from adasr_core.networks.generator import full_grid
from adasr_core.networks.layers import warp
from training.degradation.chain import DegradationChain, draw_chain
from training.face_stage import FaceStage
from training.frame_cache import FrameCache
from training.losses import (
    PerceptualLoss,
    PhotometricLoss,
    RebuildLoss,
    RegionWeights,
    SharpnessLoss,
    StructureLoss,
    region_weight,
)
from training.motion_estimate import estimate_field
from training.pair_source import as_pictures
from training.rebuild_figures import rebuild_pictures, validate_rebuild
from training.rebuild_source import PatchConfig, RebuildBatch, RebuildSource
from training.trainer.launcher import Launcher
from training.trainer.stage import Image, LossTerm, Phase, PhaseLoss

RIM_PX = 16
"""The rim of a patch sees padding where the frame has pixels; it is left out of the losses."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GeneratorStageConfig:
    """What the generator's stage weighs how much."""

    patches: PatchConfig = field(default_factory=PatchConfig)
    """Samples."""
    rebuild: float = 1.0
    """Weight of the rebuild's error in pixels and edges."""
    structure: float = 0.0
    """Weight of the structural dissimilarity."""
    sharpness: float = 0.0
    """Weight of local sharpness that differs."""
    perceptual: float = 0.0
    """Weight of the perceptual loss; above 0 it needs VGG-19's weights."""
    vgg_weights: Path | None = None
    """VGG-19's weights; None looks in torch's cache."""
    regions: RegionWeights = field(default_factory=lambda: RegionWeights(face=3.0, eyes=0.0, mouth=0.0))
    """How much more errors count on the face, the eyes and the mouth."""
    joint: bool = False
    """Train motion field and context encoder along."""
    warp: float = 3.0
    """Weight of the warp's photometric error, when they are."""

    def __post_init__(self) -> None:
        """Raises ValueError when a weight is negative."""
        for name in ("rebuild", "structure", "sharpness", "perceptual", "warp"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected a weight of 0 or more")


@dataclass(frozen=True, slots=True, eq=False)
class RebuiltPatches:
    """Found and true patches [B, 3, P, P] with their rims cut off, and the weight of each pixel [B, 1, P, P].

    warped and whole: the warped key frame and the truth at detector size [B, 3, 256, 256], for a joint run.
    """

    found: Tensor
    truth: Tensor
    weight: Tensor
    warped: Tensor
    whole: Tensor


class GeneratorStage(FaceStage):
    """Trains encoder and generator. Best by the mean PSNR of whole frame and face."""

    name, best_by = "generator", "score"

    def __init__(
        self,
        networks: FaceCodecNetworks,
        cache: FrameCache,
        val: FrameCache,
        config: GeneratorStageConfig = GeneratorStageConfig(),
        stills: FrameCache | None = None,
    ) -> None:
        """Patches from `cache` (and `stills`), figures on `val`, all at the frame's own size.

        Raises:
            OSError: the perceptual loss has a weight and VGG-19's weights are not found.
        """
        super().__init__(networks)
        self.config, self.val = config, val
        self.source = RebuildSource(cache, networks.config.frame_px, config.patches, stills)
        self.batch = self.source.draw
        self.rebuild, self.structure, self.sharpness = RebuildLoss(), StructureLoss(), SharpnessLoss()
        self.photometric = PhotometricLoss()
        self.chain = DegradationChain()
        self.perceptual = PerceptualLoss.from_weights(config.vgg_weights) if config.perceptual else None

    def attach(self, launcher: Launcher) -> None:
        """Take the launcher."""
        super().attach(launcher)
        if self.perceptual is not None:
            self.perceptual.to(launcher.device)

    def trained(self) -> tuple[nn.Module, ...]:
        """Encoder and generator; the context encoder belongs to the motion field."""
        encoder, networks = self.networks.encoder, self.networks
        painters = (encoder.down2, encoder.down4, encoder.to_detail, encoder.down8, encoder.blocks, networks.generator)
        return (*painters, networks.motion, encoder.context) if self.config.joint else painters

    def phases(self) -> tuple[Phase[RebuildBatch], ...]:
        """One: the rebuild."""
        return (Phase(name="generator", trained=self.trained(), loss=self.loss),)

    def train_mode(self) -> None:
        """Nothing that is trained has modes; the frozen detector keeps its batch norms' statistics."""
        self.networks.eval()

    def compiled_parts(self) -> tuple[nn.Module, ...]:
        """Detector, motion field and encoder; the generator's patch entry is no forward pass and stays plain."""
        return self.networks.detector, self.networks.motion, self.networks.encoder

    def rebuild_batch(self, batch: RebuildBatch) -> RebuiltPatches:
        """Rebuild the patches of a batch."""
        device, networks, patches = self.device, self.networks, self.config.patches
        keys = self._degraded(as_pictures(batch.keys, device), batch.chained)
        truths = as_pictures(batch.truths, device)
        count, size = len(keys), (networks.config.detector_px,) * 2
        small = functional.interpolate(torch.cat((keys, truths)), size=size, mode="area")
        with self.autocast():
            with torch.set_grad_enabled(self.config.joint):
                _, field = estimate_field(networks, small[:count], small[count:])
            found = rebuild_patches(
                networks, keys, field.flow.float(), field.occlusion.float(), batch.origins, patches.patch_px
            )
        truth = cut(truths.permute(0, 2, 3, 1), batch.origins, patches.patch_px, 1).permute(0, 3, 1, 2)
        weight = region_weight(batch.keypoints.to(device), truths.shape[-1] // 4, self.config.regions)
        local = cut(weight.permute(0, 2, 3, 1), batch.origins, patches.patch_px, 4).permute(0, 3, 1, 2)
        local = functional.interpolate(local, scale_factor=4.0, mode="nearest")
        inner = self.inner()
        found, truth, local = (x[..., inner, inner] for x in (found.float(), truth, local))
        return RebuiltPatches(found, truth, local, self._warped(small[:count], field), small[count:])

    def _degraded(self, keys: Tensor, chained: tuple[tuple[int, int], ...]) -> Tensor:
        """Key frames [B, 3, S, S], some rows through the degradation chain."""
        if not chained:
            return keys
        rows = [row for row, _ in chained]
        draws = [draw_chain(self.chain.config, keys.shape[-1], seed) for _, seed in chained]
        keys[rows] = self.chain.apply(keys[rows], draws).clamp(0, 1)
        return keys

    def _warped(self, key: Tensor, field: MotionFieldOutput) -> Tensor:
        return warp(key, full_grid(field.flow.float(), key.shape[-1])) if self.config.joint else key

    def inner(self) -> slice:
        """Rows and columns of a patch that count; a patch that is the whole frame has no rim."""
        patch_px = self.config.patches.patch_px
        return slice(None) if patch_px == self.networks.config.frame_px else slice(RIM_PX, patch_px - RIM_PX)

    def terms(self, patches: RebuiltPatches) -> list[LossTerm]:
        """The rebuild's error, and what else has a weight."""
        config = self.config
        found, truth, weight = patches.found, patches.truth, patches.weight
        terms = [LossTerm("rebuild", self.rebuild(found, truth, weight), config.rebuild)]
        if config.structure:
            terms.append(LossTerm("structure", self.structure(found, truth, weight), config.structure))
        if config.sharpness:
            terms.append(LossTerm("softness", self.sharpness(found, truth, weight), config.sharpness))
        if self.perceptual is not None:
            with self.autocast():
                terms.append(LossTerm("perceptual", self.perceptual(found, truth), config.perceptual))
        if config.joint:
            even = torch.ones_like(patches.whole[:, :1])
            terms.append(LossTerm("warp", self.photometric(patches.warped, patches.whole, even), config.warp))
        return terms

    def loss(self, batch: RebuildBatch, _: object) -> PhaseLoss:
        """Error of the rebuilt patches."""
        return PhaseLoss(tuple(self.terms(self.rebuild_batch(batch))))

    def validate(self, averaged: FaceCodecNetworks) -> dict[str, float]:
        """`validate_rebuild`, and ``score``: the mean PSNR of whole frame and face."""
        figures = validate_rebuild(averaged, self.val)
        return figures | {"score": (figures["psnr_db"] + figures["face_psnr_db"]) / 2}

    def pictures(self, averaged: FaceCodecNetworks) -> list[list[Image]]:
        """Source, target, warp, rebuild, difference of some validation clips."""
        return rebuild_pictures(averaged, self.val)


def cut(grid: Tensor, origins: tuple[tuple[int, int], ...], patch_px: int, shrink: int) -> Tensor:
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
    origins: tuple[tuple[int, int], ...],
    patch_px: int,
) -> Tensor:
    """Generator on one patch of each sample: [B, 3, patch_px, patch_px]."""
    features, detail, _ = networks.encoder(picture)
    grids = {s: cut(full_grid(flow, picture.shape[-1] // s), origins, patch_px, s) for s in (1, 4, 8)}
    seen = cut(occlusion.permute(0, 2, 3, 1), origins, patch_px, 8).permute(0, 3, 1, 2)
    moved_features, moved_detail = warp(features.float(), grids[8]), warp(detail.float(), grids[4])
    frame: Tensor = networks.generator.paint(warp(picture, grids[1]), moved_features, moved_detail, seen)
    return frame
