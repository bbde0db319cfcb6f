"""JPEG's loss, batched, at a quality of each picture's own: what libjpeg's coder and decoder leave of it.

    RGB -> YCbCr -> Cb, Cr halved (4:2:0) -> 8x8 DCT -> divide by table, round, multiply -> inverse DCT
        -> Cb, Cr doubled -> RGB, all on 0..255 with libjpeg's tables, box averages down and triangle filter up

Entropy coding loses nothing and is left out. Source: ITU-T T.81 annexes A and K; JFIF 1.02; libjpeg's jcparam.c for the
scaling of tables by quality, jcsample.c and jdsample.c for the halving and doubling of colour.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from training.degradation.canvas import GRANULE_PX, Canvas

# ITU-T T.81 tables K.1 and K.2.
_LUMA_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA_TABLE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
)
# JFIF 1.02: full-range BT.601. Rows Y, Cb, Cr.
_TO_YCC = ((0.299, 0.587, 0.114), (-0.168735892, -0.331264108, 0.5), (0.5, -0.418687589, -0.081312411))
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136286, -0.714136286), (1.0, 1.772, 0.0))


def jpeg(canvas: Canvas, qualities: Sequence[int | None]) -> Canvas:
    """Each picture as a JPEG file of its quality (1 to 100) leaves it; None leaves a picture as it is."""
    coded = [number for number, quality in enumerate(qualities) if quality is not None]
    if not coded:
        return canvas
    rows = torch.tensor(coded, device=canvas.pixels.device)
    chosen = [quality for quality in qualities if quality is not None]
    return canvas.with_pixels(canvas.pixels.index_copy(0, rows, compress(canvas.pixels[rows], chosen)))


def compress(pictures: Tensor, qualities: Sequence[int]) -> Tensor:
    """Pictures [B, 3, H, W] in [0, 1], sides multiples of 16, rounded to 8 bits before and after: the same shape.

    Raises:
        ValueError: a side is no multiple of 16, or a quality is not 1 to 100.
    """
    if pictures.shape[-2] % GRANULE_PX or pictures.shape[-1] % GRANULE_PX:
        raise ValueError(f"pictures: got {tuple(pictures.shape)}, expected sides that are multiples of {GRANULE_PX}")
    device = pictures.device
    luma_table, chroma_table = (
        torch.stack([quantisation_table(table, quality) for quality in qualities]).to(device)
        for table in (_LUMA_TABLE, _CHROMA_TABLE)
    )
    grey_levels = (pictures.clamp(0, 1) * 255).round()
    # Rounded where libjpeg keeps bytes.
    ycc = _mixed(grey_levels, _TO_YCC).round()
    chroma = functional.avg_pool2d(ycc[:, 1:], 2).round().clamp(-128, 127)
    luma = _coded(ycc[:, :1] - 128, luma_table).round().clamp(-128, 127) + 128
    chroma = _coded(chroma, chroma_table).round().clamp(-128, 127)
    wide = functional.interpolate(chroma, scale_factor=2.0, mode="bilinear", align_corners=False).round()
    return _mixed(torch.cat((luma, wide), dim=1), _TO_RGB).round().clamp(0, 255) / 255


def quantisation_table(table: Sequence[Sequence[int]], quality: int) -> Tensor:
    """Libjpeg's table at a quality 1 to 100: float32 [64], rows first. Raises ValueError outside."""
    if not 1 <= quality <= 100:
        raise ValueError(f"quality: got {quality}, expected 1..100")
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    steps = (torch.tensor(table) * scale + 50) // 100
    return steps.clamp(1, 255).float().reshape(64)


def _mixed(planes: Tensor, matrix: Sequence[Sequence[float]]) -> Tensor:
    """Colour planes [B, 3, H, W] under a 3x3 matrix, written out: autocast would run a product in bfloat16."""
    x, y, z = planes.unbind(1)
    return torch.stack([a * x + b * y + c * z for a, b, c in matrix], dim=1)


def _coded(planes: Tensor, tables: Tensor) -> Tensor:
    """Planes [B, C, H, W] around 0 after DCT, quantisation by tables [B, 64] and inverse DCT."""
    batch, channels, height, width = planes.shape
    blocks = planes.reshape(batch, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    transform = _dct().to(planes.device)
    step = tables[:, None, :]
    levels = (blocks.reshape(batch, -1, 64) @ transform.T / step).round()
    blocks = ((levels * step) @ transform).reshape(batch, channels, height // 8, width // 8, 8, 8)
    return blocks.transpose(3, 4).reshape(batch, channels, height, width)


@cache
def _dct() -> Tensor:
    """The orthonormal 8x8 DCT-II as one matrix [64, 64] on blocks written row by row."""
    n = torch.arange(8, dtype=torch.float64)
    basis = torch.cos((2 * n[None] + 1) * n[:, None] * math.pi / 16) / 2
    basis[0] /= math.sqrt(2)
    return torch.kron(basis, basis).float()
