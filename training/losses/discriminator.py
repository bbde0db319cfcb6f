"""Patch discriminators at several resolutions, without batch norm.

    picture [B, C, H, W] -> area mean by 1, 2, 4 ... -> one PatchDiscriminator each
    PatchDiscriminator: conv 4x4 stride 2, leaky ReLU (x layers) -> conv 4x4, leaky ReLU -> conv 4x4 -> logits
                        every activation is a feature; each logit judges one patch

Every convolution is spectrally normalised (Miyato et al. 2018): batch statistics would tell the discriminator how a
batch was made, and the networks that are trained have no batch norm either. Source: pix2pixHD (Wang et al. 2018) for
scales and patches, SPADE (Park et al. 2019) and AdaSR (arXiv 2403.15944, section 2.4) for the hinge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

SLOPE = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class DiscriminatorConfig:
    """Size of the discriminators."""

    channels: int = 3
    """Channels of the picture; more when it is judged together with its key frame."""
    scales: int = 2
    """How many discriminators; each sees half the resolution of the one before."""
    width: int = 48
    """Channels of the first layer; doubled with every layer."""
    widest: int = 384
    """The most channels of a layer."""
    layers: int = 3
    """Layers of stride 2: 3 give patches of 70 pixels."""

    def __post_init__(self) -> None:
        """Raises ValueError when a size is below 1."""
        for name in self.__slots__:
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected 1 or more")


class PatchJudgement(NamedTuple):
    """What one discriminator makes of a picture.

    logits [B, 1, h, w], above 0 for real; features: activation of every layer [B, C_i, h_i, w_i].
    """

    logits: Tensor
    features: tuple[Tensor, ...]


class PatchDiscriminator(nn.Module):
    """One resolution."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        """Build with the sizes of `config`."""
        super().__init__()
        widths = [min(config.width * 2**i, config.widest) for i in range(config.layers + 1)]
        before = config.channels
        self.hidden = nn.ModuleList()
        for i, width in enumerate(widths):
            stride = 2 if i < config.layers else 1
            self.hidden.append(spectral_norm(nn.Conv2d(before, width, 4, stride, padding=1)))
            before = width
        self.judge = spectral_norm(nn.Conv2d(before, 1, 4, padding=1))

    def forward(self, pictures: Tensor) -> PatchJudgement:
        """Judge pictures [B, C, H, W] in [0, 1]."""
        x, features = 2 * pictures - 1, []
        for layer in self.hidden:
            x = functional.leaky_relu(layer(x), SLOPE)
            features.append(x)
        return PatchJudgement(self.judge(x), tuple(features))


class MultiScaleDiscriminator(nn.Module):
    """Discriminators at full, half, quarter ... resolution."""

    def __init__(self, config: DiscriminatorConfig = DiscriminatorConfig()) -> None:
        """Build with the sizes of `config`."""
        super().__init__()
        self.config = config
        self.discriminators = nn.ModuleList(PatchDiscriminator(config) for _ in range(config.scales))

    def forward(self, pictures: Tensor) -> list[PatchJudgement]:
        """Judge pictures [B, C, H, W] in [0, 1] at every scale, finest first.

        Raises:
            ValueError: a picture is too small to give the coarsest scale one patch.
        """
        least = 3 * 2 ** (self.config.layers + self.config.scales - 1)
        if min(pictures.shape[-2:]) < least:
            size = tuple(pictures.shape[-2:])
            raise ValueError(f"picture: got {size}, expected sides of {least} or more; use fewer scales or layers")
        judgements = []
        for scale, discriminator in enumerate(self.discriminators):
            if scale:
                pictures = functional.avg_pool2d(pictures, 2)
            judgements.append(discriminator(pictures))
        return judgements
