"""BN-free SPADE generator: warped features of the key frame to a 512x512 frame.

    flow, occlusion [64x64]
    features -> warp, occlude = s --> conv --> SPADE blocks (modulated by s) --> conv, pixel shuffle x2 --+
    detail   -> warp -------------------------------------------------------------------------------------+
                                                                           128x128: conv --> SPADE blocks |
                                                                           conv, pixel shuffle x4     <---+
    picture  -> warp (512x512) = w                                         rgb r [512x512], mask m [512x512]
    frame = m w + (1 - m) r

The sharp detail comes from w, the warped key frame; r fills what the key frame does not show. m starts near 1.
Convolutions stay
at 64x64 and 128x128. SPADE: Park et al. 2019, eq. 1, without its normalisation (AdaSR, section 2.2: no batch norm).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from adasr_core.networks.config import ModelConfig
from adasr_core.networks.layers import ConvAct, activate, conv, warp, zero_conv


class Spade(nn.Module):
    """Spatially adaptive modulation x (1 + gamma(s)) + beta(s), which starts as the identity."""

    def __init__(self, channels: int, hidden: int) -> None:
        """Modulate `channels` by a map of `hidden` channels."""
        super().__init__()
        self.modulation = zero_conv(hidden, 2 * channels, size=1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """X [B, C, H, W], condition [B, hidden, H, W] -> [B, C, H, W]."""
        gamma, beta = self.modulation(condition).chunk(2, dim=1)
        modulated: Tensor = x * (1 + gamma) + beta
        return modulated


class SpadeBlock(nn.Module):
    """Residual block with two modulated convolutions."""

    def __init__(self, channels: int, hidden: int) -> None:
        """Build for `channels`, modulated by `hidden` channels."""
        super().__init__()
        self.spade1 = Spade(channels, hidden)
        self.conv1 = conv(channels, channels)
        self.spade2 = Spade(channels, hidden)
        self.conv2 = zero_conv(channels, channels)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """X [B, C, H, W], condition [B, hidden, H, W] -> [B, C, H, W]."""
        y = self.conv1(activate(self.spade1(x, condition)))
        y = self.conv2(activate(self.spade2(y, condition)))
        total: Tensor = x + y
        return total


class Generator(nn.Module):
    """SPADE generator G."""

    def __init__(self, config: ModelConfig) -> None:
        """Build with the widths of `config`."""
        super().__init__()
        c64, c128 = config.feature_channels, config.generator_detail_width
        hidden64, hidden128 = c64 // 2, c128 // 2
        self.condition64 = ConvAct(c64, hidden64)
        self.enter = conv(c64, c64)
        self.blocks64 = nn.ModuleList([SpadeBlock(c64, hidden64) for _ in range(config.generator_blocks)])
        self.grow = conv(c64, 4 * c128)
        self.merge = ConvAct(c128 + config.detail_channels, c128)
        self.same128 = ConvAct(c128, c128)
        self.condition128 = ConvAct(config.detail_channels, hidden128)
        self.blocks128 = nn.ModuleList([SpadeBlock(c128, hidden128) for _ in range(config.generator_detail_blocks)])
        # 16 sub-pixels of (r, g, b, mask logit).
        self.leave = conv(c128, 64)
        with torch.no_grad():
            self.leave.weight.mul_(0.1)
            assert self.leave.bias is not None
            self.leave.bias[48:] = 4.0

    def forward(self, picture: Tensor, features: Tensor, detail: Tensor, flow: Tensor, occlusion: Tensor) -> Tensor:
        """Rebuild a frame: [B, 3, H, W] in [0, 1] (not clipped while training).

        picture [B, 3, H, W] of the key frame; features and detail of the encoder; flow [B, 2, h, w] and occlusion
        [B, 1, h, w] of the motion field, all over the same square.
        """
        grid8 = full_grid(flow, features.shape[-1])
        grid4 = full_grid(flow, detail.shape[-1])
        warped_picture = warp(picture, full_grid(flow, picture.shape[-1]))
        return self.paint(warped_picture, warp(features, grid8), warp(detail, grid4), occlusion)

    def paint(self, warped_picture: Tensor, features: Tensor, detail: Tensor, occlusion: Tensor) -> Tensor:
        """The generator after the warp; training on patches enters here."""
        seen = features * occlusion
        condition = self.condition64(seen)
        x = self.enter(seen)
        for block in self.blocks64:
            x = block(x, condition)
        x = functional.pixel_shuffle(self.grow(activate(x)), 2)
        x = self.same128(self.merge(torch.cat((x, detail), dim=1)))
        if len(self.blocks128):
            condition = self.condition128(detail)
            for block in self.blocks128:
                x = block(x, condition)
        out = functional.pixel_shuffle(self.leave(x), 4)
        mask = torch.sigmoid(out[:, 3:])
        painted = out[:, :3] + 0.5
        return painted + mask * (warped_picture - painted)


def full_grid(flow: Tensor, size: int) -> Tensor:
    """Sampling grid [B, size, size, 2] from a flow [B, 2, h, w] over the same square."""
    if flow.shape[-1] != size:
        flow = functional.interpolate(flow, size=(size, size), mode="bilinear", align_corners=False)
    # Added axis by axis: a constant of 2 * size numbers in the exported graph instead of 2 * size^2.
    axis = ((torch.arange(size, dtype=torch.float32) * 2 + 1) / size - 1).to(flow)
    return torch.stack((flow[:, 0] + axis, flow[:, 1] + axis[:, None]), dim=-1)
