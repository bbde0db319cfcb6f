"""BN-free key-frame encoder: everything about the person that does not move, drawn once per key frame.

    picture [B,3,512,512] -> conv/2 -> conv/2 --> detail   [B,Cd,128,128]  (the first three: the picture)
                                      conv/2 -> residual blocks --> features [B,Cf,64,64]
    picture averaged to 128x128 -> conv/2 -> conv --> context [B,Cc,64,64]  (for the motion field)

AdaSR, section 2.2: batch norm averages away what makes one picture sharp, so there is none.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from adasr_core.networks.config import ModelConfig
from adasr_core.networks.layers import ConvAct, ResidualBlock, conv


class EncoderOutput(NamedTuple):
    """features [B, Cf, H/8, W/8]; detail [B, Cd, H/4, W/4]; context [B, Cc, 64, 64]."""

    features: Tensor
    detail: Tensor
    context: Tensor


class ContextEncoder(nn.Module):
    """The small branch that tells the motion field what is hair, shoulder or wall."""

    def __init__(self, channels: int) -> None:
        """Build with `channels` out."""
        super().__init__()
        self.down = ConvAct(3, channels, stride=2)
        self.same = conv(channels, channels)

    def forward(self, small: Tensor) -> Tensor:
        """[B, 3, 128, 128] in [0, 1] -> [B, C, 64, 64]."""
        y: Tensor = self.same(self.down(small - 0.5))
        return y


class KeyFrameEncoder(nn.Module):
    """Encoder E of AdaSR."""

    def __init__(self, config: ModelConfig) -> None:
        """Build with the widths of `config`."""
        super().__init__()
        self.shrink = config.frame_px // 128
        width = config.detail_channels * 2
        self.down2 = ConvAct(3, config.detail_channels, stride=2)
        self.down4 = nn.Sequential(ConvAct(config.detail_channels, width, stride=2), ConvAct(width, width))
        self.to_detail = nn.Conv2d(width, config.detail_channels - 3, 1)
        self.down8 = ConvAct(width, config.feature_channels, stride=2)
        self.blocks = nn.Sequential(*[ResidualBlock(config.feature_channels) for _ in range(config.encoder_blocks)])
        self.context = ContextEncoder(config.context_channels)

    def forward(self, picture: Tensor) -> EncoderOutput:
        """Encode `picture` [B, 3, frame_px, frame_px], RGB in [0, 1]."""
        quarter = functional.avg_pool2d(picture, 4)
        x4 = self.down4(self.down2(picture - 0.5))
        detail = torch.cat((quarter, self.to_detail(x4)), dim=1)
        features = self.blocks(self.down8(x4))
        return EncoderOutput(features, detail, self.context(functional.avg_pool2d(picture, self.shrink)))
