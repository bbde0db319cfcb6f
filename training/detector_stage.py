"""Stage 1: distil the keypoint detector from face mesh landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from adasr_core.geometry import FACE_KEYPOINTS
from adasr_core.networks import DetectorOutput, FaceCodecNetworks
from training.augment import AugmentConfig
from training.detector_samples import DetectorBatch, DetectorSamples
from training.face_stage import FaceStage
from training.frame_cache import FrameCache
from training.losses import (
    DeformationPrior,
    DetectorLoss,
    DetectorTargets,
    DetectorWeights,
    EquivarianceLoss,
    ExpressionLoss,
    JacobianEquivarianceLoss,
    ThinPlateSpline,
    neutral_keypoints,
    visibility,
    with_depth,
)
from training.pair_source import as_pictures
from training.teacher import Teacher
from training.trainer.stage import LossTerm, Phase, PhaseLoss


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectorStageConfig:
    """What the detector's stage weighs how much."""

    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Augmentation of its pictures."""
    landmarks: DetectorWeights = field(default_factory=DetectorWeights)
    """Weights of the distillation's parts."""
    equivariance: float = 0.0
    """Weight of the equivariance of all keypoints (free ones, too) and Jacobians; costs a second forward pass."""
    expression: float = 0.0
    """Weight of the expression loss."""
    deformation: float = 0.0
    """Weight of the deformation prior; small, as it draws every face towards the mean one."""

    def __post_init__(self) -> None:
        """Raises ValueError when a weight is negative."""
        for name in ("equivariance", "expression", "deformation"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected a weight of 0 or more")


class DetectorStage(FaceStage):
    """Trains the detector alone. Best by the error of motion on the validation clips."""

    name, best_by = "detector", "score"

    def __init__(
        self,
        networks: FaceCodecNetworks,
        caches: Sequence[FrameCache],
        val: FrameCache,
        config: DetectorStageConfig = DetectorStageConfig(),
    ) -> None:
        """Pictures from `caches` (clips first; the teacher is fitted to them), figures on `val`."""
        super().__init__(networks)
        self.config, self.val = config, val
        self.teacher = Teacher.fit(caches[0].landmarks[::7])
        self.samples = DetectorSamples(caches, self.teacher, config.augment, networks.config.detector_px)
        self.landmark_loss = DetectorLoss(config.landmarks)
        self.equivariance = EquivarianceLoss(), JacobianEquivarianceLoss()
        neutral = neutral_keypoints(self.teacher)
        self.expression, self.deformation = ExpressionLoss(neutral), DeformationPrior(neutral)

    def phases(self) -> tuple[Phase[DetectorBatch], ...]:
        """One: the detector."""
        return (Phase(name="detector", trained=(self.networks.detector,), loss=self.loss),)

    def train_mode(self) -> None:
        """Batch norms of the detector learn their statistics."""
        self.networks.train()

    def compiled_parts(self) -> tuple[nn.Module, ...]:
        """The detector."""
        return (self.networks.detector,)

    def batch(self, generators: Sequence[np.random.Generator]) -> DetectorBatch:
        """One picture from each generator."""
        return self.samples.batch(generators)

    def loss(self, batch: DetectorBatch, _: object) -> PhaseLoss:
        """Distillation, and what else has a weight."""
        config, device = self.config, self.device
        pictures, targets = as_pictures(batch.pictures, device), batch.targets_on(device)
        with self.autocast():
            out = self.networks.detector(pictures)
            terms = [LossTerm("landmarks", self.landmark_loss(out, targets))]
            if config.equivariance:
                terms.append(LossTerm("equivariance", self._equivariance(batch, out), config.equivariance))
        if config.expression or config.deformation:
            terms += self._shape(out, targets)
        return PhaseLoss(tuple(terms))

    def _equivariance(self, batch: DetectorBatch, out: DetectorOutput) -> torch.Tensor:
        generator = torch.Generator().manual_seed(batch.seed)
        spline = ThinPlateSpline.random(len(batch.pictures), generator, device=self.device)
        bent = self.networks.detector(spline.warp(as_pictures(batch.pictures, self.device)))
        points, shapes = self.equivariance
        return torch.stack(
            (
                points(spline, out.keypoints, bent.keypoints),
                shapes(spline, out.jacobians, bent.keypoints, bent.jacobians),
            )
        ).sum()

    def _shape(self, out: DetectorOutput, targets: DetectorTargets) -> list[LossTerm]:
        found = with_depth(out.keypoints[:, :FACE_KEYPOINTS], out.depth[:, :FACE_KEYPOINTS])
        visible = visibility(targets.keypoints, targets.face)
        expression, deformation = self.expression.to(self.device), self.deformation.to(self.device)
        return [
            LossTerm(
                "expression",
                expression(found, with_depth(targets.keypoints, targets.depth), visible),
                self.config.expression,
            ),
            LossTerm("deformation", deformation(found, visible), self.config.deformation),
        ]

    def validate(self, averaged: FaceCodecNetworks) -> dict[str, float]:
        """`validate_detector`, and ``score``: its motion error, negated."""
        figures = validate_detector(averaged, self.val, self.teacher)
        return figures | {"score": -figures["motion_error_px"]}


@torch.no_grad()
def validate_detector(
    networks: FaceCodecNetworks, cache: FrameCache, teacher: Teacher, stride: int = 8
) -> dict[str, float]:
    """Error of face keypoints on validation frames, pixels of 256, and of their motion (constant offsets taken out)."""
    device = next(networks.parameters()).device
    errors, shapes, trust = [], [], []
    indices = np.arange(0, len(cache.frames), stride)
    truth, true_jacobians = teacher(cache.landmarks[indices])
    for at in range(0, len(indices), 32):
        chosen = indices[at : at + 32]
        out = networks.detector(as_pictures(torch.from_numpy(cache.frames[chosen]).permute(0, 3, 1, 2), device))
        errors.append(out.keypoints[:, :FACE_KEYPOINTS].cpu().numpy() - truth[at : at + 32])
        shapes.append(out.jacobians[:, :FACE_KEYPOINTS].cpu().numpy() - true_jacobians[at : at + 32])
        trust.append(torch.sigmoid(out.confidence_logits[:, :FACE_KEYPOINTS]).cpu().numpy())
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
