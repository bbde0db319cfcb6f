"""The generator that AdaSR's authors published, layer for layer, with random weights: what a frame costs there.

    picture [N,3,512,512] --> conv 64 --> conv 128, /2 --> conv 256, /2 --> 1x1 conv 512 = volume [N,32,16,128,128]
                          --> six 3-D residual blocks = f
    f --> 1x1x1 conv 4 --> warped by each keypoint, with heat maps: [N,80,16,128,128] --> 3-D hourglass [N,112,...]
          --> 7x7x7 conv, softmax: masks of 16 motions --> deformation;  7x7 conv: occlusion
    f --> warped (5-D GridSample) --> conv 256 --> 1x1 conv --> occluded = s [N,256,128,128]
    s --> conv 512 --> six SPADE blocks --> x2 --> SPADE block 256 --> x2 --> SPADE block 64 --> conv 3 = frame

Source: AdaSR's repository (Songluchuan/AdaSR-TalkingHead, config/mix-resolution.yml, modules/generator.py: the SPADE
variant of the open implementation of face-vid2vid) and arXiv 2403.15944. It is a cost model for benchmarks: the same
convolutions at the same sizes, written anew, untrained. Published code runs all of it for every frame.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from adasr_core.networks.cost import PartCost, count

PUBLISHED_GMAC = 2406.0
"""Multiply-accumulates of a 512x512 frame, in 1e9."""
PUBLISHED_PARAMETERS = 101e6
FRAME_PX = 512
KEYPOINTS = 15
_DEPTH = 16
_VOLUME = 32
_COMPRESSED = 4
_HIDDEN = 128
_HOURGLASS = (64, 128, 256, 512, 1024)


class ConvNorm(nn.Module):
    """Convolution of 2 or 3 dimensions, batch norm, ReLU."""

    def __init__(self, dimensions: int, channels_in: int, channels_out: int, size: int = 3) -> None:
        """Build with "same" padding."""
        super().__init__()
        layer: type[nn.Module] = nn.Conv2d if dimensions == 2 else nn.Conv3d
        norm: type[nn.Module] = nn.BatchNorm2d if dimensions == 2 else nn.BatchNorm3d
        self.conv = layer(channels_in, channels_out, size, padding=size // 2)
        self.norm = norm(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """The same height and width out."""
        return functional.relu(self.norm(self.conv(x)))


class VolumeBlock(nn.Module):
    """3-D residual block, norm before each convolution."""

    def __init__(self, channels: int) -> None:
        """Build for `channels` in and out."""
        super().__init__()
        self.norms = nn.ModuleList([nn.BatchNorm3d(channels) for _ in range(2)])
        self.convs = nn.ModuleList([nn.Conv3d(channels, channels, 3, padding=1) for _ in range(2)])

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, D, H, W] -> the same shape."""
        y = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            y = conv(functional.relu(norm(y)))
        return x + y


class DenseMotion(nn.Module):
    """From the volume and two sets of 3-D keypoints to a deformation and an occlusion map."""

    def __init__(self) -> None:
        """Build the 3-D hourglass: five halvings of height and width, the depth stays."""
        super().__init__()
        entry = (KEYPOINTS + 1) * (_COMPRESSED + 1)
        self.compress = ConvNorm(3, _VOLUME, _COMPRESSED, 1)
        self.down = nn.ModuleList([ConvNorm(3, a, b) for a, b in pairwise((entry, *_HOURGLASS))])
        narrow = (*reversed(_HOURGLASS[:-1]), 32)
        # All but the innermost also get what skipped over.
        wide = (_HOURGLASS[-1], *(2 * width for width in reversed(_HOURGLASS[:-1])))
        self.up = nn.ModuleList([ConvNorm(3, a, b) for a, b in zip(wide, narrow, strict=True)])
        self.last = ConvNorm(3, narrow[-1] + entry, narrow[-1] + entry)
        self.mask = nn.Conv3d(narrow[-1] + entry, KEYPOINTS + 1, 7, padding=3)
        self.occlusion = nn.Conv2d((narrow[-1] + entry) * _DEPTH, 1, 7, padding=3)

    def forward(self, volume: Tensor, source: Tensor, driving: Tensor) -> tuple[Tensor, Tensor]:
        """Volume [N, 32, D, H, W], keypoints [N, 15, 3] -> deformation [N, D, H, W, 3], occlusion [N, 1, H, W]."""
        x = self.compress(volume)
        batch, _, depth, height, width = x.shape
        grid = volume_grid(depth, height, width).to(volume)
        moved = grid - driving[:, :, None, None, None] + source[:, :, None, None, None]
        motions = torch.cat((grid.expand(batch, 1, -1, -1, -1, -1), moved), dim=1)
        repeated = x.repeat_interleave(KEYPOINTS + 1, dim=0)
        warped = functional.grid_sample(repeated, motions.flatten(0, 1), align_corners=False)
        heat = gaussians(grid, driving) - gaussians(grid, source)
        heat = functional.pad(heat, (0, 0, 0, 0, 0, 0, 1, 0))
        entry = torch.cat((heat.unsqueeze(2), warped.reshape(batch, KEYPOINTS + 1, -1, depth, height, width)), dim=2)
        y = self.hourglass(entry.flatten(1, 2))
        masks = torch.softmax(self.mask(y), dim=1)
        deformation = (masks.unsqueeze(-1) * motions).sum(dim=1)
        return deformation, torch.sigmoid(self.occlusion(y.flatten(1, 2)))

    def hourglass(self, x: Tensor) -> Tensor:
        """[N, 80, D, H, W] -> [N, 112, D, H, W]."""
        skipped = []
        for block in self.down:
            skipped.append(x)
            x = functional.avg_pool3d(block(x), (1, 2, 2))
        for block in self.up:
            x = block(functional.interpolate(x, scale_factor=(1, 2, 2)))
            x = torch.cat((x, skipped.pop()), dim=1)
        y: Tensor = self.last(x)
        return y


class Modulation(nn.Module):
    """SPADE: instance norm, then a scale and a shift that 3x3 convolutions draw from the condition."""

    def __init__(self, channels: int) -> None:
        """Modulate `channels` by a condition of 256."""
        super().__init__()
        self.norm = nn.InstanceNorm2d(channels)
        self.shared = nn.Conv2d(256, _HIDDEN, 3, padding=1)
        self.gamma = nn.Conv2d(_HIDDEN, channels, 3, padding=1)
        self.beta = nn.Conv2d(_HIDDEN, channels, 3, padding=1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """The condition is brought to the size of `x` first: that is where the cost lies."""
        hidden = functional.relu(self.shared(functional.interpolate(condition, size=x.shape[2:])))
        modulated: Tensor = self.norm(x) * (1 + self.gamma(hidden)) + self.beta(hidden)
        return modulated


class ModulatedBlock(nn.Module):
    """SPADE residual block; with another number of channels out, the way past it is modulated and convolved too."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        """Build; the width between is the smaller of the two."""
        super().__init__()
        between = min(channels_in, channels_out)
        self.modulation1, self.modulation2 = Modulation(channels_in), Modulation(between)
        self.conv1 = nn.Conv2d(channels_in, between, 3, padding=1)
        self.conv2 = nn.Conv2d(between, channels_out, 3, padding=1)
        learned = channels_in != channels_out
        self.modulation_past = Modulation(channels_in) if learned else None
        self.conv_past = nn.Conv2d(channels_in, channels_out, 1, bias=False) if learned else None

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """[N, C_in, H, W] -> [N, C_out, H, W]."""
        past = x
        if self.modulation_past is not None and self.conv_past is not None:
            past = self.conv_past(self.modulation_past(x, condition))
        y = self.conv1(functional.leaky_relu(self.modulation1(x, condition), 0.2))
        y = self.conv2(functional.leaky_relu(self.modulation2(y, condition), 0.2))
        total: Tensor = past + y
        return total


class PublishedGenerator(nn.Module):
    """See the module's diagram."""

    def __init__(self) -> None:
        """Build with random weights."""
        super().__init__()
        self.first = ConvNorm(2, 3, 64)
        self.down = nn.ModuleList([ConvNorm(2, 64, 128), ConvNorm(2, 128, 256)])
        self.lift = nn.Conv2d(256, _VOLUME * _DEPTH, 1)
        self.volume_blocks = nn.Sequential(*[VolumeBlock(_VOLUME) for _ in range(6)])
        self.motion = DenseMotion()
        self.third = ConvNorm(2, _VOLUME * _DEPTH, 256)
        self.fourth = nn.Conv2d(256, 256, 1)
        self.enter = nn.Conv2d(256, 512, 3, padding=1)
        self.middle = nn.ModuleList([ModulatedBlock(512, 512) for _ in range(6)])
        self.grow = nn.ModuleList([ModulatedBlock(512, 256), ModulatedBlock(256, 64)])
        self.leave = nn.Conv2d(64, 3, 3, padding=1)

    def forward(self, picture: Tensor, source: Tensor, driving: Tensor) -> Tensor:
        """Picture [N, 3, H, W] in [0, 1], H and W multiples of 128; keypoints [N, 15, 3] -> [N, 3, H, W]."""
        x = self.first(picture)
        for block in self.down:
            x = functional.avg_pool2d(block(x), 2)
        volume = self.volume_blocks(self.lift(x).unflatten(1, (_VOLUME, _DEPTH)))
        deformation, occlusion = self.motion(volume, source, driving)
        warped = functional.grid_sample(volume, deformation, align_corners=False).flatten(1, 2)
        seen = self.fourth(self.third(warped)) * occlusion
        y = self.enter(seen)
        for block in self.middle:
            y = block(y, seen)
        for block in self.grow:
            y = block(functional.interpolate(y, scale_factor=2.0), seen)
        return torch.sigmoid(self.leave(functional.leaky_relu(y, 0.2)))


def volume_grid(depth: int, height: int, width: int) -> Tensor:
    """Points of a volume: [D, H, W, 3], (x, y, z) in [-1, 1]."""
    axes = [torch.linspace(-1, 1, size) for size in (depth, height, width)]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    return torch.stack((x, y, z), dim=-1)


def gaussians(grid: Tensor, points: Tensor) -> Tensor:
    """A spot of variance 0.01 around each point: grid [D, H, W, 3], points [N, K, 3] -> [N, K, D, H, W]."""
    distance = ((grid - points[:, :, None, None, None]) ** 2).sum(dim=-1)
    return torch.exp(-distance / (2 * 0.01))


def published_inputs(batch: int, frame_px: int = FRAME_PX) -> tuple[Tensor, Tensor, Tensor]:
    """Example inputs: a picture and two sets of keypoints."""
    source = torch.rand(batch, KEYPOINTS, 3) * 1.6 - 0.8
    return torch.rand(batch, 3, frame_px, frame_px), source, source + 0.05 * torch.randn_like(source)


def published_cost() -> PartCost:
    """Parameters and multiply-accumulates of one 512x512 frame, counted on the module without allocating it."""
    with torch.device("meta"):
        return count(PublishedGenerator().eval(), *published_inputs(1))
