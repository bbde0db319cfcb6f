"""The networks of the ablation: the same encoder and generator with and without batch norm.

AdaSR, section 2.2, says that batch norm in the encoder averages away what makes one picture sharp. The baseline has it
where the first-order model and SPADE have it, and nothing else differs: the same convolutions with the same weights at
the start.

    ConvAct            conv -> norm -> activation
    residual block     x + conv(act(norm(conv(act(norm(x))))))       (Siarohin et al. 2019, ResBlock2d)
    SPADE              norm(x) (1 + gamma) + beta, norm without scale and shift of its own (Park et al. 2019, eq. 1)

The context encoder belongs to the motion field, which all variants share frozen, and stays as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from adasr_core.networks import FaceCodecNetworks
from adasr_core.networks.generator import Spade
from adasr_core.networks.layers import ConvAct, ResidualBlock, activate


class NormedResidualBlock(nn.Module):
    """`ResidualBlock` with a batch norm before each activation."""

    def __init__(self, block: ResidualBlock) -> None:
        """Take over the convolutions of `block`."""
        super().__init__()
        self.first, self.second = block.first, block.second
        self.norm1 = nn.BatchNorm2d(block.first.in_channels)
        self.norm2 = nn.BatchNorm2d(block.first.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> the same shape."""
        y: Tensor = self.second(activate(self.norm2(self.first(activate(self.norm1(x))))))
        return x + y


class NormedSpade(nn.Module):
    """`Spade` with the batch norm that SPADE modulates."""

    def __init__(self, spade: Spade) -> None:
        """Take over the modulation of `spade`."""
        super().__init__()
        self.modulation = spade.modulation
        self.norm = nn.BatchNorm2d(spade.modulation.out_channels // 2, affine=False)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """X [B, C, H, W], condition [B, hidden, H, W] -> [B, C, H, W]."""
        gamma, beta = self.modulation(condition).chunk(2, dim=1)
        modulated: Tensor = self.norm(x) * (1 + gamma) + beta
        return modulated


def painter_parts(networks: FaceCodecNetworks) -> tuple[nn.Module, ...]:
    """What the generator stage trains: the encoder without its context branch, and the generator."""
    encoder = networks.encoder
    return encoder.down2, encoder.down4, encoder.to_detail, encoder.down8, encoder.blocks, networks.generator


def fresh_painter(networks: FaceCodecNetworks, seed: int) -> FaceCodecNetworks:
    """A copy of `networks` whose encoder and generator start anew, the same for every call with the same seed."""
    made = copy.deepcopy(networks)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = FaceCodecNetworks(networks.config)
    for mine, new in zip(painter_parts(made), painter_parts(fresh), strict=True):
        mine.load_state_dict(new.state_dict())
    return made


def with_batch_norm(networks: FaceCodecNetworks) -> FaceCodecNetworks:
    """A copy of `networks` with batch norm in encoder and generator; its convolutions keep their weights."""
    made = copy.deepcopy(networks)
    for root in painter_parts(made):
        _put_norms(root)
    return made


def batch_norms(networks: FaceCodecNetworks) -> Iterator[nn.BatchNorm2d]:
    """The batch norms of encoder and generator; none in the product's networks."""
    for root in painter_parts(networks):
        yield from (module for module in root.modules() if isinstance(module, nn.BatchNorm2d))


def _put_norms(module: nn.Module) -> None:
    """Put norms into a module and all below it, in place."""
    if isinstance(module, ConvAct):
        module.conv = nn.Sequential(module.conv, nn.BatchNorm2d(module.conv.out_channels))  # type: ignore[assignment]
        return
    for name, child in module.named_children():
        if isinstance(child, ResidualBlock):
            setattr(module, name, NormedResidualBlock(child))
        elif isinstance(child, Spade):
            setattr(module, name, NormedSpade(child))
        else:
            _put_norms(child)
