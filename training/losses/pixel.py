"""Pixel terms: how far a picture is from the truth, over several scales.

Shapes: B batch, pictures [B, 3, H, W] in [0, 1], weights [B, 1, H, W] at the finest scale. Every coarser scale halves
picture and weight by 2x2 means, so H and W must be divisible by 2 for each scale but the first.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def charbonnier(difference: Tensor, epsilon: float) -> Tensor:
    """sqrt(d^2 + epsilon), entry by entry: L1 that is smooth at 0 (Charbonnier et al. 1994)."""
    return torch.sqrt(difference**2 + epsilon)


class CharbonnierLoss(nn.Module):
    """Smooth L1 at one scale: L = mean_bhw w mean_c sqrt(d^2 + epsilon)."""

    def __init__(self, epsilon: float = 1e-5) -> None:
        """`epsilon`: squared width of the smooth part; 1e-5 is 0.8 of 255 grey levels."""
        super().__init__()
        self.epsilon = epsilon

    def forward(self, found: Tensor, truth: Tensor, weight: Tensor | None = None) -> Tensor:
        """found, truth [B, 3, H, W], weight [B, 1, H, W] or None -> scalar."""
        error = charbonnier(found - truth, self.epsilon).mean(1, keepdim=True)
        return error.mean() if weight is None else (error * weight).mean()


class PhotometricLoss(nn.Module):
    """Smooth absolute and squared error of the warped key frame, summed over scales.

        L = sum_s mean_bhw w_s [mean_c sqrt(d_s^2 + 1e-4) + 4 mean_c d_s^2],  d_s = found_s - truth_s

    Coarse scales lead the flow over distances that fine ones cannot see; the squared part punishes what PSNR does.
    """

    def __init__(self, scales: int = 4, squared: float = 4.0, epsilon: float = 1e-4) -> None:
        """`scales`: how many, each half the one before. `squared`: share of the squared error."""
        super().__init__()
        self.scales, self.squared, self.epsilon = scales, squared, epsilon

    def forward(self, found: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
        """found, truth [B, 3, H, W], weight [B, 1, H, W] -> scalar."""
        total = found.new_zeros(())
        for scale in range(self.scales):
            if scale:
                found, truth, weight = (functional.avg_pool2d(x, 2) for x in (found, truth, weight))
            difference = found - truth
            error = charbonnier(difference, self.epsilon).mean(1, keepdim=True)
            error = error + self.squared * (difference**2).mean(1, keepdim=True)
            total = total + (error * weight).mean()
        return total


class RebuildLoss(nn.Module):
    """Smooth absolute and squared error of a rebuilt frame over scales, and absolute error of its edges.

        L = sum_s mean w_s mean_c [sqrt(d_s^2 + 1e-5) + 2 d_s^2]
          + 0.5 sum_{s < S-1} (mean w_s mean_c |dx d_s| + mean w_s mean_c |dy d_s|)

    dx and dy are differences of neighbouring pixels: a blurred edge costs more than the same error spread out.
    """

    def __init__(self, scales: int = 3, squared: float = 2.0, edges: float = 0.5, epsilon: float = 1e-5) -> None:
        """`scales`: how many, each half the one before. `squared`, `edges`: shares of these terms."""
        super().__init__()
        self.scales, self.squared, self.edges, self.epsilon = scales, squared, edges, epsilon

    def forward(self, found: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
        """found, truth [B, 3, H, W], weight [B, 1, H, W] -> scalar."""
        total = found.new_zeros(())
        for scale in range(self.scales):
            if scale:
                found, truth, weight = (functional.avg_pool2d(x, 2) for x in (found, truth, weight))
            difference = found - truth
            error = charbonnier(difference, self.epsilon) + self.squared * difference**2
            total = total + (error.mean(1, keepdim=True) * weight).mean()
            if scale < self.scales - 1:
                dx = difference.diff(dim=-1).abs().mean(1, keepdim=True)
                dy = difference.diff(dim=-2).abs().mean(1, keepdim=True)
                total = total + self.edges * ((dx * weight[..., 1:]).mean() + (dy * weight[..., 1:, :]).mean())
        return total
