"""Distance of the detector's keypoints, Jacobians, depths and confidences from the landmarks'.

Shapes: B batch, K keypoints compared (the face's 34). Coordinates are [-1, 1] over the square crop, x right, y down;
depth is on x's scale, towards the camera negative. All of this runs in float32: bfloat16 is a pixel wrong.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

INSIDE_LIMIT = 0.98
"""Keypoints beyond this coordinate count as out of the picture: nothing there shows where they are."""


def visibility(keypoints: Tensor, face: Tensor | None = None) -> Tensor:
    """Which keypoints can be learnt: 1 inside the picture, 0 outside or where there is no face.

    Args:
        keypoints: the landmarks' [B, K, 2].
        face: bool [B], whether the picture shows a face; None: all do.

    Returns:
        Weights [B, K] of 0 and 1.
    """
    inside = keypoints.abs().amax(-1) < INSIDE_LIMIT
    return (inside if face is None else inside & face[:, None]).float()


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """sum(values * weight) / max(sum(weight), 1), all of shape [B, K]: a scalar, 0 when nothing is visible."""
    return (values * weight).sum() / weight.sum().clamp(min=1)


class KeypointLoss(nn.Module):
    """Keypoints against landmarks: L2 near the truth, L1 far from it, summed over x and y, mean over visible ones.

        L = sum_bk w_bk [h(x - x*; beta) + h(y - y*; beta)] / sum_bk w_bk
        h(d; beta) = d^2 / (2 beta) for |d| < beta, else |d| - beta / 2

    Source: AdaSR (arXiv 2403.15944) section 2.4, keypoint loss, L2. The Huber form keeps L2 within `beta` and lets a
    single lost keypoint not outweigh the others.
    """

    def __init__(self, beta: float = 0.01) -> None:
        """`beta`: where L2 turns into L1, in [-1, 1] units; 0.01 is 1.3 pixels of 256. Raises ValueError below 0."""
        super().__init__()
        self.beta = _checked_beta(beta)

    def forward(self, found: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
        """found, truth [B, K, 2], weight [B, K] -> scalar."""
        error = functional.smooth_l1_loss(found, truth, beta=self.beta, reduction="none").sum(-1)
        return weighted_mean(error, weight)


class JacobianLoss(nn.Module):
    """Jacobians against the teacher's: Huber, summed over the four entries, mean over visible keypoints.

    Source: the teacher's local affine fits (`training.teacher`); first-order motion, Siarohin et al. 2019, eq. 4.
    """

    def __init__(self, beta: float = 0.05) -> None:
        """`beta`: where L2 turns into L1; Jacobians have no unit. Raises ValueError below 0."""
        super().__init__()
        self.beta = _checked_beta(beta)

    def forward(self, found: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
        """found, truth [B, K, 2, 2], weight [B, K] -> scalar."""
        error = functional.smooth_l1_loss(found, truth, beta=self.beta, reduction="none").sum((-1, -2))
        return weighted_mean(error, weight)


class DepthLoss(nn.Module):
    """Depth of each keypoint against its landmarks' z relative to the face's middle: Huber, mean over visible ones.

    Source: AdaSR section 2.4 (keypoints with depth). The bitstream has no depth; the detector reads it from the same
    pooled features as the Jacobian (`adasr_core.networks.detector`), so its error trains them to tell a turned head
    from a deformed one. That output is left out of the export.
    """

    def __init__(self, beta: float = 0.05) -> None:
        """`beta`: where L2 turns into L1, on x's scale. Raises ValueError below 0."""
        super().__init__()
        self.beta = _checked_beta(beta)

    def forward(self, found: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
        """found, truth [B, K], weight [B, K] -> scalar."""
        return weighted_mean(functional.smooth_l1_loss(found, truth, beta=self.beta, reduction="none"), weight)


class ConfidenceLoss(nn.Module):
    """How far each keypoint can be trusted: binary cross-entropy against its own present error.

        t_bk = w_bk exp(-|p - p*|^2 / reach^2), L = mean_bk BCE(sigmoid(logit_bk), t_bk)

    No gradient reaches the keypoints. A hidden keypoint, or a picture without a face, has target 0.
    """

    def __init__(self, reach: float = 0.04) -> None:
        """`reach`: error at which trust has fallen to 1/e, in [-1, 1] units. Raises ValueError at or below 0."""
        super().__init__()
        if not reach > 0:
            raise ValueError(f"reach: got {reach}, expected above 0")
        self.reach = reach

    def forward(self, logits: Tensor, found: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
        """Logits [B, K], found and truth keypoints [B, K, 2], weight [B, K] -> scalar."""
        with torch.no_grad():
            trust = torch.exp(-(((found - truth) ** 2).sum(-1)) / self.reach**2) * weight
        return functional.binary_cross_entropy_with_logits(logits, trust)


def _checked_beta(beta: float) -> float:
    if not beta >= 0:
        raise ValueError(f"beta: got {beta}, expected 0 or more")
    return beta
