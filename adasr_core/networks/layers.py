"""Building blocks of the networks.

Legend for shapes: B batch, C channels, H and W height and width, K keypoints. Coordinates are (x, y) in [-1, 1], -1
and 1 being the outer edges of the first and last pixel (``align_corners=False``).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SLOPE = 0.1


def activate(x: Tensor) -> Tensor:
    """Leaky ReLU, the one activation of all networks (cheap on every engine)."""
    return functional.leaky_relu(x, SLOPE)


def conv(channels_in: int, channels_out: int, size: int = 3, stride: int = 1) -> nn.Conv2d:
    """Convolution with "same" padding and He initialisation for `activate`."""
    layer = nn.Conv2d(channels_in, channels_out, size, stride, padding=size // 2)
    nn.init.kaiming_normal_(layer.weight, a=SLOPE, mode="fan_in", nonlinearity="leaky_relu")
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def zero_conv(channels_in: int, channels_out: int, size: int = 3) -> nn.Conv2d:
    """Convolution that starts at zero, so that what it adds starts at nothing."""
    layer = conv(channels_in, channels_out, size)
    nn.init.zeros_(layer.weight)
    return layer


class ConvNormAct(nn.Module):
    """Convolution, batch norm, activation. Only in the detector; the norm folds into the convolution on export."""

    def __init__(self, channels_in: int, channels_out: int, size: int = 3, stride: int = 1) -> None:
        """Build with the given channels, kernel size and stride."""
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, size, stride, padding=size // 2, bias=False)
        self.norm = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C_in, H, W] -> [B, C_out, H/stride, W/stride]."""
        return activate(self.norm(self.conv(x)))


class ConvAct(nn.Module):
    """Convolution and activation, no norm."""

    def __init__(self, channels_in: int, channels_out: int, size: int = 3, stride: int = 1) -> None:
        """Build with the given channels, kernel size and stride."""
        super().__init__()
        self.conv = conv(channels_in, channels_out, size, stride)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C_in, H, W] -> [B, C_out, H/stride, W/stride]."""
        return activate(self.conv(x))


class ResidualBlock(nn.Module):
    """x + conv(act(conv(act(x)))), without norm; the second convolution starts at zero."""

    def __init__(self, channels: int) -> None:
        """Build for `channels` in and out."""
        super().__init__()
        self.first = conv(channels, channels)
        self.second = zero_conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> the same shape."""
        y: Tensor = self.second(activate(self.first(activate(x))))
        return x + y


def upsample2(x: Tensor) -> Tensor:
    """Nearest-neighbour doubling: [B, C, H, W] -> [B, C, 2H, 2W]."""
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def coordinate_grid(size: int) -> Tensor:
    """Pixel centres of a square: [size, size, 2], (x, y) in [-1, 1]."""
    axis = (torch.arange(size, dtype=torch.float32) * 2 + 1) / size - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack((x, y), dim=-1)


def warp(image: Tensor, grid: Tensor) -> Tensor:
    """Sample `image` [B, C, H, W] at `grid` [B, H', W', 2]: 4-D bilinear GridSample, border replicated."""
    return functional.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)
