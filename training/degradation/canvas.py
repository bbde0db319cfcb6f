"""A batch of square pictures of different sizes on one canvas.

+-------------+---+     a picture of n x n pixels stands in the upper left corner; beyond it, its last row and
| n x n       | > |     column are repeated to the canvas's edge. So a filter or an 8x8 block that reaches over the
| picture     | > |     picture's edge sees what it would see if the picture stood alone, and every stage of the
+-------------+---+     chain runs on the whole batch at once.
| v  v  v  v    v |
+-----------------+
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

GRANULE_PX = 16
"""The canvas's side is a multiple of this: what JPEG codes at once with halved colour."""


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """pixels: float32 [B, 3, S, S]; sizes: n of each picture, 1..S."""

    pixels: Tensor
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, pictures: Tensor) -> Canvas:
        """Pictures [B, 3, n, n] of one size."""
        size = pictures.shape[-1]
        side = canvas_side((size,))
        spread = pictures.new_zeros(len(pictures), 3, side, side)
        spread[..., :size, :size] = pictures
        return cls(spread, (size,) * len(pictures)).extended()

    def extended(self) -> Canvas:
        """The same pictures, last rows and columns repeated over whatever stood beyond them."""
        side = self.pixels.shape[-1]
        if all(size == side for size in self.sizes):
            return self
        last = torch.tensor(self.sizes, device=self.pixels.device)[:, None] - 1
        index = torch.minimum(torch.arange(side, device=self.pixels.device)[None], last)
        rows = torch.gather(self.pixels, 2, index[:, None, :, None].expand_as(self.pixels))
        return Canvas(torch.gather(rows, 3, index[:, None, None, :].expand_as(rows)), self.sizes)

    def with_pixels(self, pixels: Tensor) -> Canvas:
        """Other pixels [B, 3, S, S], clamped to [0, 1]; whatever a stage made of the region beyond is repaired."""
        return Canvas(pixels.clamp(0, 1), self.sizes).extended()


def canvas_side(sizes: tuple[int, ...]) -> int:
    """The smallest canvas for pictures of these sizes."""
    return -(-max(sizes) // GRANULE_PX) * GRANULE_PX
