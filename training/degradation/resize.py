"""Resize every picture to its own size, by area, bilinear or bicubic, as two products with resampling matrices.

    out = W X W^T,  W [n_out, n_in] one row for each output pixel

Pixel i of the output lies at (i + 0.5) n_in / n_out - 0.5 of the input (align_corners=False). Bilinear and bicubic
(a = -0.75) read the 2 or 4 nearest pixels however far the picture shrinks, so they alias; area weighs every pixel by
how much of it an output pixel covers. That is what ``torch.nn.functional.interpolate`` does without antialiasing, as in
Real-ESRGAN (arXiv 2107.10833) section 3.2: pictures have often been resized that way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from training.degradation.canvas import Canvas, canvas_side
from training.degradation.draw import SampleRandom, check_range

BICUBIC_A = -0.75


class ResizeMethod(StrEnum):
    """How pixels are weighed."""

    AREA = "area"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"


METHODS = tuple(ResizeMethod)


@dataclass(frozen=True, kw_only=True, slots=True)
class ResizeConfig:
    """How a stage draws its size. Defaults: Real-ESRGAN's first stage."""

    weights: tuple[float, ...] = (0.2, 0.7, 0.1)
    """Of enlarging, shrinking and keeping the size."""
    factor: tuple[float, float] = (0.15, 1.5)
    """Smallest and largest factor; shrinking draws from the first to 1, enlarging from 1 to the second."""

    def __post_init__(self) -> None:
        """Raises ValueError when weights or factors make no sense."""
        check_range("factor", self.factor, 0.02, 4.0)
        if len(self.weights) != 3 or min(self.weights) < 0 or not sum(self.weights) > 0:
            raise ValueError(f"weights: got {self.weights}, expected three numbers of 0 or more, not all 0")


def draw_size(config: ResizeConfig, base_px: int, rng: SampleRandom) -> tuple[int, ResizeMethod]:
    """Side in pixels, `base_px` times the drawn factor and 16 at least, and how to get there."""
    low, high = config.factor
    direction = rng.choose(("up", "down", "keep"), config.weights)
    factor = 1.0
    if direction == "up":
        factor = rng.uniform(max(1.0, low), max(1.0, high))
    elif direction == "down":
        factor = rng.uniform(min(1.0, low), min(1.0, high))
    return max(16, round(base_px * factor)), rng.choose(METHODS)


def resize(canvas: Canvas, sizes: Sequence[int], methods: Sequence[ResizeMethod]) -> Canvas:
    """Each picture at its new size; pictures that keep theirs are copied exactly."""
    if tuple(sizes) == canvas.sizes:
        return canvas
    side, pixels = canvas_side(tuple(sizes)), canvas.pixels
    matrices = resampling_matrices(canvas.sizes, sizes, methods, pixels.shape[-1], side, pixels.device)
    resized = torch.matmul(torch.matmul(matrices[:, None], pixels), matrices[:, None].transpose(2, 3))
    # Rows of W beyond a picture repeat its last one, so the canvas is already extended.
    return Canvas(resized.clamp(0, 1), tuple(sizes))


def resampling_matrices(
    sizes_in: Sequence[int],
    sizes_out: Sequence[int],
    methods: Sequence[ResizeMethod],
    side_in: int,
    side_out: int,
    device: torch.device | None = None,
) -> Tensor:
    """W of every sample: float32 [B, side_out, side_in]; rows from n_out on repeat row n_out - 1."""

    def column(values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=device)[:, None]

    n_in, n_out = column(sizes_in), column(sizes_out)
    row = torch.minimum(torch.arange(side_out, device=device).float()[None], n_out - 1)
    ratio = n_in / n_out
    cubic = column([float(method is ResizeMethod.BICUBIC) for method in methods])
    matrices = _interpolating(row, ratio, n_in, cubic, side_in)
    areas = [number for number, method in enumerate(methods) if method is ResizeMethod.AREA]
    if areas:
        chosen = torch.tensor(areas, device=device)
        matrices[chosen] = _covering(row[chosen], ratio[chosen], side_in)
    return matrices


def _interpolating(row: Tensor, ratio: Tensor, n_in: Tensor, cubic: Tensor, side_in: int) -> Tensor:
    """Bilinear or bicubic (`cubic` 1) weights; taps beyond the border fall on the border's pixel."""
    centre = (row + 0.5) * ratio - 0.5
    # As torch: bilinear holds the centre inside the picture, bicubic lets single taps fall on the border.
    centre = torch.where(cubic > 0, centre, centre.clamp(min=0))
    floor = centre.floor()
    matrices = row.new_zeros(*row.shape, side_in)
    for tap in (-1, 0, 1, 2):
        distance = (centre - (floor + tap)).abs()
        weight = torch.where(cubic > 0, _cubic(distance), (1 - distance).clamp(min=0))
        index = torch.minimum((floor + tap).clamp(min=0), n_in - 1).long()
        matrices.scatter_add_(2, index.unsqueeze(-1), weight.unsqueeze(-1))
    return matrices


def _cubic(distance: Tensor) -> Tensor:
    """Keys's cubic convolution kernel (1981), distances 0 to 2."""
    near = ((BICUBIC_A + 2) * distance - (BICUBIC_A + 3)) * distance**2 + 1
    far = ((distance - 5) * distance + 8) * distance * BICUBIC_A - 4 * BICUBIC_A
    return torch.where(distance <= 1, near, far)


def _covering(row: Tensor, ratio: Tensor, side_in: int) -> Tensor:
    """Share of output pixel i that input pixel j covers."""
    start, end = (row * ratio).unsqueeze(-1), ((row + 1) * ratio).unsqueeze(-1)
    pixel = torch.arange(side_in, device=row.device, dtype=row.dtype)
    overlap = (torch.minimum(pixel + 1, end) - torch.maximum(pixel, start)).clamp(min=0)
    return overlap / overlap.sum(-1, keepdim=True)
