"""Structure terms: local contrast and edges, which blur destroys at little cost in pixels.

Shapes: pictures [B, C, H, W] in [0, 1], weights [B, 1, H, W]. Run in float32: variances of bfloat16 are noise.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

WINDOW_SIGMA = 1.5
WINDOW_PX = 11
# (0.01 L)^2 and (0.03 L)^2 for L = 1
LUMINANCE_CONSTANT = 0.01**2
CONTRAST_CONSTANT = 0.03**2


def ssim_map(found: Tensor, truth: Tensor) -> Tensor:
    """Structural similarity around each pixel whose window is inside: [B, C, H - 10, W - 10] in -1..1.

        SSIM = (2 m_x m_y + C1)(2 s_xy + C2) / ((m_x^2 + m_y^2 + C1)(s_x^2 + s_y^2 + C2))

    Means, variances and covariance under a Gaussian window of 11 pixels and deviation 1.5 (Wang et al. 2004).

    Raises:
        ValueError: a side is below 11 pixels.
    """
    if min(found.shape[-2:]) < WINDOW_PX:
        raise ValueError(f"picture: got {tuple(found.shape[-2:])}, expected sides of {WINDOW_PX} or more; fewer scales")
    with torch.autocast(found.device.type, enabled=False):
        x, y = found.float(), truth.float()
        axis = torch.arange(WINDOW_PX, device=x.device, dtype=torch.float32) - WINDOW_PX // 2
        window = torch.exp(-(axis**2) / (2 * WINDOW_SIGMA**2))
        window = window / window.sum()
        channels = x.shape[1]
        moments = torch.cat((x, y, x * x, y * y, x * y), dim=1)
        kernel = window.expand(5 * channels, 1, -1)
        moments = functional.conv2d(moments, kernel.unsqueeze(2), groups=5 * channels)
        moments = functional.conv2d(moments, kernel.unsqueeze(3), groups=5 * channels)
        mean_x, mean_y, xx, yy, xy = torch.chunk(moments, 5, dim=1)
        covariance = xy - mean_x * mean_y
        variances = xx - mean_x**2 + yy - mean_y**2
        luminance = (2 * mean_x * mean_y + LUMINANCE_CONSTANT) / (mean_x**2 + mean_y**2 + LUMINANCE_CONSTANT)
        similarity: Tensor = luminance * (2 * covariance + CONTRAST_CONSTANT) / (variances + CONTRAST_CONSTANT)
        return similarity


class StructureLoss(nn.Module):
    """Structural dissimilarity over scales: L = (1/S) sum_s mean w_s (1 - SSIM_s) / 2, 0 for equal pictures.

    The scales are added where MS-SSIM (Wang et al. 2003) multiplies powers of them: a product has no gradient where one
    scale is at 0, and cannot be weighted pixel by pixel.
    """

    def __init__(self, scales: int = 3) -> None:
        """`scales`: how many, each half the one before. Raises ValueError below 1."""
        super().__init__()
        if scales < 1:
            raise ValueError(f"scales: got {scales}, expected 1 or more")
        self.scales = scales

    def forward(self, found: Tensor, truth: Tensor, weight: Tensor | None = None) -> Tensor:
        """found, truth [B, C, H, W], weight [B, 1, H, W] or None -> scalar."""
        total = found.new_zeros((), dtype=torch.float32)
        for scale in range(self.scales):
            if scale:
                found, truth = functional.avg_pool2d(found, 2), functional.avg_pool2d(truth, 2)
                weight = None if weight is None else functional.avg_pool2d(weight, 2)
            error = (1 - ssim_map(found, truth)).mean(1, keepdim=True) / 2
            rim = WINDOW_PX // 2
            total = total + (error if weight is None else error * weight[..., rim:-rim, rim:-rim]).mean()
        return total / self.scales


class EdgeLoss(nn.Module):
    """L1 of first differences: L = mean w |dx found - dx truth| + mean w |dy found - dy truth|.

    A constant offset costs nothing; a lost edge of height h costs h wherever it ran. Source: gradient difference loss,
    Mathieu et al. 2016, with exponent 1 and signs kept.
    """

    def forward(self, found: Tensor, truth: Tensor, weight: Tensor | None = None) -> Tensor:
        """found, truth [B, C, H, W], weight [B, 1, H, W] or None -> scalar."""
        difference = found - truth
        dx = difference.diff(dim=-1).abs()
        dy = difference.diff(dim=-2).abs()
        if weight is None:
            return dx.mean() + dy.mean()
        return (dx * weight[..., 1:]).mean() + (dy * weight[..., 1:, :]).mean()
