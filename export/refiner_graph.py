"""The exported face of the refiner: the same network, laid out so that engines shuffle bytes instead of floats.

    earlier, later [1,3,S,S] --> cells [1,S/4,S/4,48]: the 4x4 pixels of a cell side by side, channels last
    mix, difference of cells --> conv ... conv --> residual and choice of cells --> frame of cells, clipped --> frame

Pixel unshuffle, average pooling, pixel shuffle and the last sum at full size took a processor longer than all
convolutions. In cells they are one reordering at each end, which the engine does on bytes, and sums beside them: the
weights of the first and the last convolution are put in the cells' order, and the pooling goes into the first. The
parity gate compares with the network itself.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from adasr_core.networks import Refiner
from adasr_core.networks.layers import activate
from export.onnx_graphs import Graph

_SIDE = 4
_PIXELS = _SIDE * _SIDE
_COLOURS = 3


class RefinerGraph(nn.Module):
    """A refiner over cells; its frame is clipped to [0, 1]."""

    shift: Tensor

    def __init__(self, refiner: Refiner) -> None:
        """Take the weights of `refiner`, the first and the last in the order of cells: row, column, colour."""
        super().__init__()
        self.refiner = refiner
        first, last = refiner.enter.conv, refiner.leave
        assert first.bias is not None
        assert last.bias is not None
        weights = first.weight.detach()
        # Pixel unshuffle puts colours first: channel = colour, row, column. So it does at half size for the difference.
        places = [
            (row, column, colour) for row in range(_SIDE) for column in range(_SIDE) for colour in range(_COLOURS)
        ]
        mixed = [colour * _PIXELS + row * _SIDE + column for row, column, colour in places]
        half = [colour * 4 + row // 2 * 2 + column // 2 for row, column, colour in places]
        apart = [_COLOURS * _PIXELS + channel for channel in half]
        # Each of the four pixels of a pooled one counts a quarter.
        self.first = nn.Parameter(torch.cat((weights[:, mixed], weights[:, apart] / 4), dim=1))
        self.first_bias = nn.Parameter(first.bias.detach().clone())
        # The share is the same everywhere, so its convolution is the share times that of ones.
        cells = refiner.config.frame_px // _SIDE
        share = functional.conv2d(torch.ones(1, 1, cells, cells), weights[:, -1:], padding=1)
        self.register_buffer("shift", share)
        choice = [_COLOURS * _PIXELS + row * _SIDE + column for row, column, _ in places]
        self.residual = nn.Parameter(last.weight.detach()[mixed])
        self.residual_bias = nn.Parameter(last.bias.detach()[mixed])
        self.choice = nn.Parameter(last.weight.detach()[choice])
        self.choice_bias = nn.Parameter(last.bias.detach()[choice])

    def forward(self, earlier: Tensor, later: Tensor, weight: Tensor) -> Tensor:
        """See `Refiner.forward`; batch 1."""
        refiner = self.refiner
        start = _to_cells(earlier)
        difference = _to_cells(later) - start
        mixed = start + weight * difference
        seen = torch.cat((mixed - 0.5, difference), dim=3).permute(0, 3, 1, 2)
        x = activate(functional.conv2d(seen, self.first, self.first_bias, padding=1) + weight * self.shift)
        y = refiner.down(x)
        for block in refiner.blocks:
            y = block(y)
        x = activate(refiner.merge(x + functional.pixel_shuffle(refiner.up(activate(y)), 2)))
        choice = functional.conv2d(x, self.choice, self.choice_bias, padding=1).permute(0, 2, 3, 1)
        residual = functional.conv2d(x, self.residual, self.residual_bias, padding=1).permute(0, 2, 3, 1)
        return _to_picture(torch.clamp(mixed + choice * difference + residual, 0.0, 1.0))


def graph_of(refiner: Refiner) -> Graph:
    """The graph ``refiner`` with random example inputs."""
    size = refiner.config.frame_px
    pictures = torch.rand(2, 1, _COLOURS, size, size)
    inputs = {"earlier": pictures[0], "later": pictures[1], "weight": torch.full((1, 1, 1, 1), 0.3)}
    return Graph(RefinerGraph(refiner.eval().float().cpu()), inputs, ("frame",))


def _to_cells(picture: Tensor) -> Tensor:
    """[1, 3, S, S] -> [1, S/4, S/4, 48]."""
    cells = picture.shape[-1] // _SIDE
    rows = picture.permute(0, 2, 3, 1).reshape(cells, _SIDE, cells, _SIDE * _COLOURS)
    return rows.permute(0, 2, 1, 3).reshape(1, cells, cells, _PIXELS * _COLOURS)


def _to_picture(cells: Tensor) -> Tensor:
    """The other way."""
    count = cells.shape[1]
    rows = cells.reshape(count, count, _SIDE, _SIDE * _COLOURS).permute(0, 2, 1, 3)
    return rows.reshape(1, count * _SIDE, count * _SIDE, _COLOURS).permute(0, 3, 1, 2)
