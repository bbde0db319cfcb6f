"""Expression and deformation: how keypoints move that a head movement does not explain.

Both work on deformations delta [B, K, 3] in the head's own frame (`head_frame`), in units of the neutral face.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.losses.head_frame import LEAST_VISIBLE, fit_head_frame
from training.losses.keypoint import weighted_mean


class ExpressionLoss(nn.Module):
    """L1 between found and true deformation, summed over x, y, z, mean over visible keypoints.

        L = sum_bk w_bk |delta_bk - delta*_bk|_1 / sum_bk w_bk

    Each side is measured in its own head frame, so that turning, scaling or shifting all keypoints alike costs nothing
    here; head pose and keypoint losses see that. What remains is the opening of lids and lips.

    Source: AdaSR (arXiv 2403.15944) section 2.4, expression loss, L1.
    """

    neutral: Tensor

    def __init__(self, neutral: Tensor) -> None:
        """`neutral`: keypoints with depth of the neutral face [K, 3]; see `head_frame.neutral_keypoints`."""
        super().__init__()
        self.register_buffer("neutral", _checked_neutral(neutral), persistent=False)

    def forward(self, found: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
        """found, truth: keypoints with depth [B, K, 3]; weight [B, K] -> scalar."""
        with torch.no_grad():
            expected = fit_head_frame(truth, self.neutral, weight).deformation(truth, self.neutral)
        deformed = fit_head_frame(found, self.neutral, weight).deformation(found, self.neutral)
        return weighted_mean((deformed - expected).abs().sum(-1), _usable(weight))


class DeformationPrior(nn.Module):
    """Keeps deformations small: L = sum_bk w_bk |delta_bk|_1 / sum_bk w_bk.

    Without it a detector may explain a turn of the head by deforming the face. It also pulls every person towards the
    neutral face, so its weight is a small one.

    Source: AdaSR section 2.4, deformation loss; face-vid2vid (arXiv 2011.15126) appendix A.3, deformation prior.
    """

    neutral: Tensor

    def __init__(self, neutral: Tensor) -> None:
        """`neutral`: keypoints with depth of the neutral face [K, 3]."""
        super().__init__()
        self.register_buffer("neutral", _checked_neutral(neutral), persistent=False)

    def forward(self, found: Tensor, weight: Tensor) -> Tensor:
        """found: keypoints with depth [B, K, 3]; weight [B, K] -> scalar."""
        deformed = fit_head_frame(found, self.neutral, weight).deformation(found, self.neutral)
        return weighted_mean(deformed.abs().sum(-1), _usable(weight))


def _usable(weight: Tensor) -> Tensor:
    """Weights [B, K], all 0 in pictures that show too little of a face for a fit."""
    return weight * ((weight > 0).sum(-1, keepdim=True) >= LEAST_VISIBLE)


def _checked_neutral(neutral: Tensor) -> Tensor:
    if neutral.ndim != 2 or neutral.shape[0] < LEAST_VISIBLE or neutral.shape[1] != 3:
        raise ValueError(f"neutral: got {tuple(neutral.shape)}, expected (K, 3) with K of {LEAST_VISIBLE} or more")
    return neutral.float()
