"""Detector and motion field together, and targets that move with augmented pairs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from adasr_core.networks import DetectorOutput, FaceCodecNetworks, MotionFieldOutput
from training.augment import MIRRORED


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
