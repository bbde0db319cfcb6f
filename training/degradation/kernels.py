"""Blur kernels: Gaussian, generalised Gaussian, plateau, and the sinc filter that rings.

For an offset z and the covariance C = R(angle) diag(sigma_x^2, sigma_y^2) R(angle)^T, q = z^T C^-1 z:

    Gaussian              exp(-q / 2)
    generalised Gaussian  exp(-q^beta / 2)        beta < 1: pointed, long tails; > 1: flat top
    plateau               1 / (1 + q^beta)
    sinc                  w J1(w r) / (2 pi r)    r = |z|, w the cutoff in radians a pixel, J1 the Bessel function

all divided by their sum. Source: Real-ESRGAN (arXiv 2107.10833) sections 3.1 to 3.3; AdaSR (arXiv 2403.15944) 2.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from training.degradation.draw import SampleRandom, check_probability, check_range

LARGEST_KERNEL_PX = 21


class KernelKind(StrEnum):
    """The families of kernels."""

    GAUSSIAN = "gaussian"
    GENERALISED = "generalised"
    PLATEAU = "plateau"
    SINC = "sinc"


@dataclass(frozen=True, kw_only=True, slots=True)
class KernelShape:
    """One kernel."""

    kind: KernelKind
    size_px: int
    """Side, odd, 3 to 21."""
    sigma_x_px: float = 1.0
    """Deviation along the first axis."""
    sigma_y_px: float = 1.0
    """Deviation along the second; equal to the first is isotropic."""
    angle: float = 0.0
    """Of the first axis, radians from x towards y."""
    beta: float = 1.0
    """Exponent of the generalised Gaussian and the plateau."""
    cutoff: float = math.pi
    """Of the sinc filter, radians a pixel, up to pi."""

    def __post_init__(self) -> None:
        """Raises ValueError when the side is even or out of range, or a number is not above 0."""
        if not 3 <= self.size_px <= LARGEST_KERNEL_PX or self.size_px % 2 == 0:
            raise ValueError(f"size_px: got {self.size_px}, expected an odd number, 3 to {LARGEST_KERNEL_PX}")
        for name in ("sigma_x_px", "sigma_y_px", "beta", "cutoff"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected above 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class BlurConfig:
    """How a stage draws its kernel. Defaults: Real-ESRGAN's first stage."""

    probability: float = 1.0
    """That there is any blur."""
    sinc: float = 0.1
    """That it is a sinc filter."""
    weights: tuple[float, ...] = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)
    """Of isotropic and anisotropic Gaussian, isotropic and anisotropic generalised Gaussian, both plateaus."""
    size_px: tuple[int, int] = (7, 21)
    """Side of the kernel; odd ones between are drawn alike."""
    sigma_px: tuple[float, float] = (0.2, 3.0)
    """Deviation along each axis."""
    beta_generalised: tuple[float, float] = (0.5, 4.0)
    """Exponents; half of the draws lie below 1."""
    beta_plateau: tuple[float, float] = (1.0, 2.0)
    """Exponents, as above."""

    def __post_init__(self) -> None:
        """Raises ValueError when a probability or a range makes no sense."""
        check_probability("probability", self.probability)
        check_probability("sinc", self.sinc)
        check_range("size_px", self.size_px, 3, LARGEST_KERNEL_PX)
        check_range("sigma_px", self.sigma_px, 0.01)
        check_range("beta_generalised", self.beta_generalised, 0.01)
        check_range("beta_plateau", self.beta_plateau, 0.01)
        if len(self.weights) != 6 or min(self.weights) < 0 or not sum(self.weights) > 0:
            raise ValueError(f"weights: got {self.weights}, expected six numbers of 0 or more, not all 0")


_FAMILIES = [
    (kind, isotropic)
    for kind in (KernelKind.GAUSSIAN, KernelKind.GENERALISED, KernelKind.PLATEAU)
    for isotropic in (True, False)
]


def draw_kernel(config: BlurConfig, rng: SampleRandom) -> KernelShape | None:
    """A kernel as `config` draws it, or None for no blur."""
    if not rng.chance(config.probability):
        return None
    low, high = config.size_px
    size = rng.choose([n for n in range(low, high + 1) if n % 2])
    if rng.chance(config.sinc):
        return draw_sinc(size, rng)
    kind, isotropic = rng.choose(_FAMILIES, config.weights)
    sigma_x = rng.uniform(*config.sigma_px)
    sigma_y = sigma_x if isotropic else rng.uniform(*config.sigma_px)
    angle = 0.0 if isotropic else rng.uniform(-math.pi, math.pi)
    beta = 1.0
    if kind is not KernelKind.GAUSSIAN:
        low_beta, high_beta = config.beta_generalised if kind is KernelKind.GENERALISED else config.beta_plateau
        below_one = low_beta < 1 and rng.chance(0.5)
        beta = rng.uniform(low_beta, min(1.0, high_beta)) if below_one else rng.uniform(max(1.0, low_beta), high_beta)
    return KernelShape(kind=kind, size_px=size, sigma_x_px=sigma_x, sigma_y_px=sigma_y, angle=angle, beta=beta)


def draw_sinc(size_px: int, rng: SampleRandom) -> KernelShape:
    """A sinc filter; small ones keep to high cutoffs, where they still are what they should be."""
    cutoff = rng.uniform(math.pi / 3 if size_px < 13 else math.pi / 5, math.pi)
    return KernelShape(kind=KernelKind.SINC, size_px=size_px, cutoff=cutoff)


def kernel(shape: KernelShape | None) -> Tensor:
    """The kernel in the middle of 21 x 21, zero around it: float32 [21, 21], adding to 1. None: a single 1."""
    full = torch.zeros(LARGEST_KERNEL_PX, LARGEST_KERNEL_PX, dtype=torch.float64)
    rim = LARGEST_KERNEL_PX // 2
    if shape is None:
        full[rim, rim] = 1
        return full.float()
    half = shape.size_px // 2
    axis = torch.arange(-half, half + 1, dtype=torch.float64)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    if shape.kind is KernelKind.SINC:
        values = _sinc(torch.hypot(x, y), shape.cutoff)
    else:
        along = x * math.cos(shape.angle) + y * math.sin(shape.angle)
        across = y * math.cos(shape.angle) - x * math.sin(shape.angle)
        q = (along / shape.sigma_x_px) ** 2 + (across / shape.sigma_y_px) ** 2
        if shape.kind is KernelKind.PLATEAU:
            values = 1 / (1 + q**shape.beta)
        else:
            values = torch.exp(-(q**shape.beta) / 2)
    full[rim - half : rim + half + 1, rim - half : rim + half + 1] = values / values.sum()
    return full.float()


def _sinc(radius: Tensor, cutoff: float) -> Tensor:
    """Impulse response of the ideal round low-pass filter; its limit at 0 is cutoff^2 / (4 pi)."""
    safe = radius.clamp(min=1e-9)
    ring: Tensor = cutoff * torch.special.bessel_j1(cutoff * safe) / (2 * math.pi * safe)
    return torch.where(radius > 0, ring, torch.full_like(ring, cutoff**2 / (4 * math.pi)))
