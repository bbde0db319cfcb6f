"""Stage 2: motion field, its context encoder and the free keypoints, by the error of the warped key frame.

The detector learns on: face keypoints stay tied to the landmarks, free ones follow whatever makes the warp fit. With a
frozen detector (a later decoder for the same bitstream) only motion field and context encoder learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from adasr_core.geometry import FACE_KEYPOINTS
from adasr_core.networks import FaceCodecNetworks
from adasr_core.networks.generator import full_grid
from adasr_core.networks.layers import warp
from training.augment import AugmentConfig
from training.detector_samples import DetectorBatch, DetectorSamples
from training.detector_stage import validate_detector
from training.face_stage import FaceStage
from training.frame_cache import FrameCache
from training.held_background import HeldBackgroundLoss
from training.losses import DetectorLoss, DistillationLoss, PhotometricLoss, RegionWeights, region_weight
from training.motion_estimate import estimate_field, moved_targets
from training.pair_source import PairBatch, PairSource, as_pictures, place_frames
from training.pairs import PairSampler
from training.rebuild_figures import validate_warp, warp_pictures
from training.still_pairs import StillPairs
from training.teacher import Teacher
from training.trainer.launcher import Launcher
from training.trainer.stage import Image, LossTerm, Phase, PhaseLoss


@dataclass(frozen=True, kw_only=True, slots=True)
class MotionStageConfig:
    """What the motion stage draws, and what it weighs how much."""

    photo: float = 10.0
    """Weight of the photometric error of the warped key frame."""
    tied: float = 1.0
    """Weight of the face keypoints' distance from the landmarks."""
    hard: float = 0.5
    """Weight of the detector's loss on hard pictures (turned, hidden, without a face), lest it forget them."""
    held: float = 10.0
    """Weight of what the warp makes worse where nothing moved."""
    regions: RegionWeights = field(default_factory=lambda: RegionWeights(face=4.0, eyes=0.0, mouth=0.0))
    """How much more errors count on the face, the eyes and the mouth."""
    photo_px: int = 256
    """Side at which warped and true pictures are compared."""
    hard_share: float = 2 / 3
    """Hard pictures a pair."""
    near: float = 0.5
    """Share of pairs whose key frame is the likeliest of four."""
    still_share: float = 0.05
    """Share of pairs made of a bent still."""
    train_detector: bool = True
    """False: the detector is frozen, and the bitstream stays what it is."""

    def __post_init__(self) -> None:
        """Raises ValueError when a weight is negative or a share is not one."""
        for name in ("photo", "tied", "hard", "held"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected a weight of 0 or more")
        for name in ("hard_share", "near", "still_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected 0 to 1")
        if self.photo_px % 32:
            raise ValueError(f"photo_px: got {self.photo_px}, expected a multiple of 32")


@dataclass(frozen=True, slots=True, eq=False)
class MotionBatch:
    """Pairs, the teacher's keypoints [2B, K, 2] and Jacobians [2B, K, 2, 2] in them, and hard single pictures."""

    pairs: PairBatch
    keypoints: Tensor
    jacobians: Tensor
    hard: DetectorBatch | None


class MotionStage(FaceStage):
    """Trains the motion field. Best by the mean gain over holding the key frame, whole frame and face, in dB."""

    name, best_by = "motion", "score"

    def __init__(
        self,
        networks: FaceCodecNetworks,
        caches: Sequence[FrameCache],
        val: FrameCache,
        config: MotionStageConfig = MotionStageConfig(),
    ) -> None:
        """Pairs from caches[0]; hard pictures and bent stills from the others, too; figures on `val`."""
        super().__init__(networks)
        self.config, self.caches, self.val = config, caches, val
        size = networks.config.detector_px
        self.teacher = Teacher.fit(caches[0].landmarks[::7])
        self.singles = DetectorSamples(caches, self.teacher, AugmentConfig(), size)
        stills = StillPairs(caches[1], size) if len(caches) > 1 else None
        self.source = PairSource(
            PairSampler(caches[0], size, near=config.near), self.teacher, stills=stills, still_share=config.still_share
        )
        self.photometric, self.distillation = PhotometricLoss(), DistillationLoss()
        self.hard_loss, self.held = DetectorLoss(), HeldBackgroundLoss()

    def attach(self, launcher: Launcher) -> None:
        """Take the launcher; frames go to its GPU if they fit."""
        super().attach(launcher)
        self.source.resident = place_frames(self.caches[0].frames, launcher.device)
        if launcher.device.type == "cuda":
            where = "on the GPU" if self.source.resident is not None else "on the host: too large for the GPU"
            launcher.print(f"{self.name}: {self.caches[0].frames.nbytes / 1e9:.1f} GB of frames {where}")

    def phases(self) -> tuple[Phase[MotionBatch], ...]:
        """One: motion field and context encoder, and the detector unless it is frozen."""
        networks = self.networks
        detector = (networks.detector,) if self.config.train_detector else ()
        trained = (networks.motion, networks.encoder.context, *detector)
        return (Phase(name="motion", trained=trained, loss=self.loss),)

    def train_mode(self) -> None:
        """A frozen detector keeps its batch norms' statistics."""
        self.networks.train()
        self.networks.detector.train(self.config.train_detector)

    def batch(self, generators: Sequence[np.random.Generator]) -> MotionBatch:
        """One pair from each generator, and hard pictures from some."""
        pairs = self.source.draw(generators)
        points, shapes = moved_targets(pairs.keypoints, pairs.jacobians, torch.cat((pairs.affine, pairs.affine)))
        share = self.config.hard_share if self.config.train_detector and self.config.hard else 0.0
        # Spread evenly: processes that split a batch draw the same pictures as one that does not.
        chosen = [g for i, g in enumerate(generators) if int((i + 1) * share + 1e-9) > int(i * share + 1e-9)]
        return MotionBatch(pairs, points, shapes, self.singles.batch(chosen) if chosen else None)

    def loss(self, batch: MotionBatch, _: object) -> PhaseLoss:
        """Photometric error of the warp, what it made worse, and what ties the detector down."""
        config, device, n = self.config, self.device, len(batch.pairs)
        images = self.source.pictures(batch.pairs, device)
        with self.autocast():
            out, field = estimate_field(self.networks, images[:n], images[n:])
        size = config.photo_px
        small = images if images.shape[-1] == size else functional.interpolate(images, size=(size, size), mode="area")
        made = warp(small[:n], full_grid(field.flow.float(), size))
        points = out.keypoints[n:, :FACE_KEYPOINTS].detach()
        weight = functional.interpolate(
            region_weight(points, size // 4, config.regions), scale_factor=4.0, mode="bilinear"
        )
        terms = [
            LossTerm("photo", self.photometric(made, small[n:], weight), config.photo),
            LossTerm("held", self.held(made, small[:n], small[n:]), config.held),
        ]
        if config.train_detector:
            tied = self.distillation(out, batch.keypoints.to(device), batch.jacobians.to(device))
            terms.append(LossTerm("tied", tied, config.tied))
        if batch.hard is not None:
            with self.autocast():
                found = self.networks.detector(as_pictures(batch.hard.pictures, device))
                hard = self.hard_loss(found, batch.hard.targets_on(device))
            terms.append(LossTerm("hard", hard, config.hard))
        return PhaseLoss(tuple(terms))

    def validate(self, averaged: FaceCodecNetworks) -> dict[str, float]:
        """`validate_warp`, `validate_detector`, and ``score``: the mean of both gains."""
        figures = validate_warp(averaged, self.val)
        score = (figures["gain_db"] + figures["face_gain_db"]) / 2
        return figures | validate_detector(averaged, self.val, self.teacher) | {"score": score}

    def pictures(self, averaged: FaceCodecNetworks) -> list[list[Image]]:
        """Source, target, warp, difference of some validation clips."""
        return warp_pictures(averaged, self.val)
