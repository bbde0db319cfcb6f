"""Hinge losses of discriminator and generator, and feature matching between them.

Judgements come from `discriminator.MultiScaleDiscriminator`, one for each scale.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.losses.discriminator import PatchJudgement


class DiscriminatorHingeLoss(nn.Module):
    """L_D = mean over scales of mean max(0, 1 - D(real)) + mean max(0, 1 + D(fake)).

    2 at first (D = 0), 0 when every patch is told apart by a margin. Source: Lim and Ye 2017; SPADE section 3; AdaSR
    (arXiv 2403.15944) section 2.4.
    """

    def forward(self, real: Sequence[PatchJudgement], fake: Sequence[PatchJudgement]) -> Tensor:
        """Judgements of real and of made pictures (made without gradient to the generator) -> scalar."""
        terms = [
            functional.relu(1 - r.logits.float()).mean() + functional.relu(1 + f.logits.float()).mean()
            for r, f in zip(real, fake, strict=True)
        ]
        return torch.stack(terms).mean()


class GeneratorHingeLoss(nn.Module):
    """L_G = - mean over scales of mean D(fake). Source: as for the discriminator."""

    def forward(self, fake: Sequence[PatchJudgement]) -> Tensor:
        """Judgements of made pictures -> scalar."""
        return -torch.stack([f.logits.float().mean() for f in fake]).mean()


class FeatureMatchingLoss(nn.Module):
    """L_FM = mean over scales and layers of mean |F_i(fake) - F_i(real)|; no gradient to the real side.

    Source: pix2pixHD (Wang et al. 2018) eq. 4, which adds over layers where this takes the mean, so that the weight
    does not depend on the discriminator's depth.
    """

    def forward(self, real: Sequence[PatchJudgement], fake: Sequence[PatchJudgement]) -> Tensor:
        """Judgements of real and of made pictures -> scalar."""
        terms = [
            functional.l1_loss(made.float(), true.detach().float())
            for r, f in zip(real, fake, strict=True)
            for true, made in zip(r.features, f.features, strict=True)
        ]
        return torch.stack(terms).mean()
