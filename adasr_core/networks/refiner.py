"""BN-free refiner: two warped anchors to the frame between them.

    earlier, later [512x512] --> mix by time = x --> pixel unshuffle x4 --+
                             --> difference d --> 1/4 size ---------------+--> conv [128x128] --+---------------+
                                                                 weight --+      down [64x64] blocks, up --> +  |
                                                                                                       block <--+
    frame = x + m d + r                      <-- pixel shuffle x4: residual r, choice m [512x512] <-- conv

Both pictures were moved to the motion of the moment, but each is what a very low rate left of it, and where they
disagree a mix shows both. The network says which of the two to trust (m, pixel by pixel) and adds what the codec took
(r): a fusion network as video interpolation has it (Huang et al. 2022, RIFE, section 3.2) and an enhancement filter
behind the decoder in one. An anchor's own frame passes as both pictures. Fresh weights return the mix.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from adasr_core.networks.checkpointed import CheckpointedNetworks
from adasr_core.networks.layers import ConvAct, ResidualBlock, activate, conv, zero_conv

_GRID = 4
_SUB_PIXELS = _GRID * _GRID


@dataclass(frozen=True, kw_only=True, slots=True)
class RefinerConfig:
    """Widths and depths of the refiner."""

    frame_px: int = 512
    """Side of the pictures; a multiple of 8."""
    width: int = 24
    """Channels at 1/4 of the frame."""
    deep_width: int = 48
    """Channels at 1/8."""
    deep_blocks: int = 2
    """Residual blocks at 1/8."""

    def __post_init__(self) -> None:
        """Raise ValueError for sizes that the network cannot have."""
        if self.frame_px < 8 or self.frame_px % 8:
            raise ValueError(f"frame_px: got {self.frame_px}, expected a multiple of 8, 8 or more")
        for name, least in (("width", 1), ("deep_width", 1), ("deep_blocks", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected {least} or more")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> RefinerConfig:
        """Rebuild from `to_dict`. Raises ValueError for an unknown key."""
        unknown = set(values) - {f.name for f in fields(cls)}
        if unknown:
            raise ValueError(f"refiner: unknown keys {sorted(unknown)}; this model needs a newer adasr")
        return cls(**values)


class Refiner(CheckpointedNetworks):
    """Refiner R; no batch norm, as the generator."""

    NOTE = "refiner"
    config: RefinerConfig

    def __init__(self, config: RefinerConfig) -> None:
        """Build with the widths of `config`."""
        super().__init__()
        self.config = config
        wide, deep = config.width, config.deep_width
        # The mix in full, the difference at half the size, the weight.
        self.enter = ConvAct(3 * _SUB_PIXELS + 3 * _SUB_PIXELS // 4 + 1, wide)
        self.down = ConvAct(wide, deep, stride=2)
        self.blocks = nn.ModuleList([ResidualBlock(deep) for _ in range(config.deep_blocks)])
        self.up = conv(deep, 4 * wide)
        self.merge = ResidualBlock(wide)
        self.leave = zero_conv(wide, 4 * _SUB_PIXELS)

    def forward(self, earlier: Tensor, later: Tensor, weight: Tensor) -> Tensor:
        """The frame: [B, 3, H, W] in [0, 1] (not clipped while training).

        earlier, later [B, 3, H, W] in [0, 1], moved to the moment, sides a multiple of 8; weight [B, 1, 1, 1]: share of
        the later one, 0 to 1.
        """
        difference = later - earlier
        mixed = earlier + weight * difference
        seen = functional.pixel_unshuffle(mixed - 0.5, _GRID)
        apart = functional.pixel_unshuffle(functional.avg_pool2d(difference, 2), _GRID // 2)
        share = weight.expand(-1, -1, seen.shape[-2], seen.shape[-1])
        x = self.enter(torch.cat((seen, apart, share), dim=1))
        y = self.down(x)
        for block in self.blocks:
            y = block(y)
        x = self.merge(x + functional.pixel_shuffle(self.up(activate(y)), 2))
        out = functional.pixel_shuffle(self.leave(activate(x)), _GRID)
        return mixed + out[:, 3:] * difference + out[:, :3]

    @classmethod
    def from_plain(cls, values: dict[str, Any]) -> Self:
        """See `CheckpointedNetworks`."""
        return cls(RefinerConfig.from_dict(values))
