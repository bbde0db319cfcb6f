"""Convolve every picture with its own kernel, by Fourier transform.

A 21x21 kernel a sample as grouped convolution costs seven times as much on a CPU.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from training.degradation.canvas import Canvas
from training.degradation.kernels import LARGEST_KERNEL_PX, KernelShape, kernel

_RIM = LARGEST_KERNEL_PX // 2


def blur(canvas: Canvas, shapes: Sequence[KernelShape | None]) -> Canvas:
    """Each picture under its kernel, border pixels repeated; None leaves a picture exactly as it is."""
    blurred = [number for number, shape in enumerate(shapes) if shape is not None]
    if not blurred:
        return canvas
    device = canvas.pixels.device
    rows = torch.tensor(blurred, device=device)
    kernels = torch.stack([kernel(shapes[number]) for number in blurred]).to(device)
    return canvas.with_pixels(canvas.pixels.index_copy(0, rows, convolve(canvas.pixels[rows], kernels)))


def convolve(pictures: Tensor, kernels: Tensor) -> Tensor:
    """Pictures [B, C, H, W] with kernels [B, 21, 21], borders repeated: [B, C, H, W]."""
    height, width = pictures.shape[-2:]
    sides = tuple(_fast_length(n + 2 * _RIM) for n in (height, width))
    padded = functional.pad(pictures, (_RIM,) * 4, mode="replicate")
    spectrum = torch.fft.rfft2(padded, s=sides)
    # The product is a circular convolution: its first 2 * 10 rows and columns are wrapped and cut off.
    product = spectrum * torch.fft.rfft2(kernels, s=sides)[:, None]
    wrapped: Tensor = torch.fft.irfft2(product, s=sides)
    return wrapped[..., 2 * _RIM : 2 * _RIM + height, 2 * _RIM : 2 * _RIM + width]


def _fast_length(least: int) -> int:
    """The smallest even number from `least` on without prime factors above 5."""
    length = least + least % 2
    while True:
        rest = length
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 2
