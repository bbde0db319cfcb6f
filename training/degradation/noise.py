"""Gaussian noise of a sensor's electronics, Poisson noise of its light; in colour or grey.

    Gaussian  y = x + sigma n,                          n ~ N(0, 1)
    Poisson   y = x + scale (P(256 x) / 256 - x),       P(r) ~ Poisson with mean r: variance scale^2 x / 256

Grey noise is one value for all three channels; grey Poisson noise is drawn from the luma. Source: Real-ESRGAN
(arXiv 2107.10833) section 3.1. It scales Poisson noise by the count of grey levels that occur, rounded up to a power of
two, which is 256 for all but empty pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from training.degradation.canvas import Canvas
from training.degradation.draw import SampleRandom, check_probability, check_range

LEVELS = 256
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True, kw_only=True, slots=True)
class NoiseConfig:
    """How a stage draws its noise. Defaults: Real-ESRGAN's first stage."""

    probability: float = 1.0
    """That there is any noise."""
    gaussian: float = 0.5
    """That it is Gaussian; else it is Poisson."""
    sigma: tuple[float, float] = (1.0, 30.0)
    """Deviation of Gaussian noise, grey levels of 255."""
    scale: tuple[float, float] = (0.05, 3.0)
    """Factor of Poisson noise."""
    grey: float = 0.4
    """That it is the same in all channels."""

    def __post_init__(self) -> None:
        """Raises ValueError when a probability or a range makes no sense."""
        for name in ("probability", "gaussian", "grey"):
            check_probability(name, getattr(self, name))
        check_range("sigma", self.sigma, 0.0, 255.0)
        check_range("scale", self.scale, 0.0, 100.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class NoiseDraw:
    """Noise of one sample. strength: sigma in 0..1, or Poisson's scale. seed: of its own generator."""

    gaussian: bool
    strength: float
    grey: bool
    seed: int


def draw_noise(config: NoiseConfig, rng: SampleRandom) -> NoiseDraw | None:
    """Noise as `config` draws it, or None for none."""
    if not rng.chance(config.probability):
        return None
    gaussian = rng.chance(config.gaussian)
    strength = rng.uniform(*config.sigma) / 255 if gaussian else rng.uniform(*config.scale)
    return NoiseDraw(gaussian=gaussian, strength=strength, grey=rng.chance(config.grey), seed=rng.seed())


def add_noise(canvas: Canvas, draws: Sequence[NoiseDraw | None]) -> Canvas:
    """Each picture with its noise. The same seed gives the same noise on one kind of device, not across kinds."""
    if not any(draws):
        return canvas
    pixels = canvas.pixels.clone()
    for picture, size, draw in zip(pixels, canvas.sizes, draws, strict=True):
        if draw is not None:
            inside = picture[:, :size, :size]
            inside += noise_of(inside, draw)
    return canvas.with_pixels(pixels)


def noise_of(picture: Tensor, draw: NoiseDraw) -> Tensor:
    """What is added to a picture [3, n, n] in 0..1: [3, n, n] or [1, n, n]."""
    generator = torch.Generator(picture.device).manual_seed(draw.seed)
    if draw.gaussian:
        shape = (1 if draw.grey else 3, *picture.shape[1:])
        return draw.strength * torch.randn(shape, generator=generator, device=picture.device)
    light = picture
    if draw.grey:
        light = (picture * torch.tensor(LUMA, device=picture.device)[:, None, None]).sum(0, keepdim=True)
    light = light.clamp(0, 1)
    return draw.strength * (torch.poisson(LEVELS * light, generator) / LEVELS - light)
