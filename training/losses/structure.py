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
SHARPNESS_WINDOW_PX = 16
# Two of 255 grey levels: below that, what differs is noise.
SHARPNESS_FLOOR = 2 / 255


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


class SharpnessLoss(nn.Module):
    """Too soft or too crisp, window by window: L = mean w |log((a + c) / (b + c))|.

    a and b: mean absolute Laplacian [[0, 1, 0], [1, -4, 1], [0, 1, 0]] of the grey pictures, found and true, in windows
    of 16x16 pixels; c = 2/255. Whoever minimises pixel errors alone paints the mean of what may be there: soft. Here
    any detail of the right strength costs nothing, wherever in the window it lies, so this goes beside a pixel loss,
    never alone. The gradient variance loss (Abrahamyan et al. 2022) matches windows likewise; the logarithm makes skin
    count as much as hair.
    """

    def forward(self, found: Tensor, truth: Tensor, weight: Tensor | None = None) -> Tensor:
        """found, truth [B, 3, H, W], weight [B, 1, H, W] or None -> scalar.

        Sides of 18 or more; pixels at the lower and right rim that fill no window are left out.
        """
        with torch.autocast(found.device.type, enabled=False):
            ratio = torch.log(_fineness(found) + SHARPNESS_FLOOR) - torch.log(_fineness(truth) + SHARPNESS_FLOOR)
            error = ratio.abs()
            if weight is None:
                return error.mean()
            return (error * functional.avg_pool2d(weight[..., 1:-1, 1:-1].float(), SHARPNESS_WINDOW_PX)).mean()


def _fineness(picture: Tensor) -> Tensor:
    """Mean absolute Laplacian of [B, 3, H, W] in each window: [B, 1, (H - 2) // 16, (W - 2) // 16]."""
    grey = picture.float().mean(1, keepdim=True)
    around = grey[..., :-2, 1:-1] + grey[..., 2:, 1:-1] + grey[..., 1:-1, :-2] + grey[..., 1:-1, 2:]
    return functional.avg_pool2d((around - 4 * grey[..., 1:-1, 1:-1]).abs(), SHARPNESS_WINDOW_PX)
