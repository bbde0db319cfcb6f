"""Blur kernels against their definitions: sum, moments, profile, frequency response."""

import math

import pytest
import torch
from torch import Tensor

from training.degradation import BlurConfig
from training.degradation.draw import SampleRandom
from training.degradation.kernels import KernelKind, KernelShape, draw_kernel, draw_sinc, kernel


def covariance(weights: Tensor) -> Tensor:
    """Second moments [2, 2] (x, y) of a kernel about its middle, squared pixels."""
    axis = torch.arange(21.0) - 10
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([torch.stack([(weights * a * b).sum() for b in (x, y)]) for a in (x, y)])


@pytest.mark.parametrize("kind", list(KernelKind))
def test_every_kernel_adds_to_one_and_is_symmetric(kind: KernelKind) -> None:
    made = kernel(
        KernelShape(kind=kind, size_px=13, sigma_x_px=2.0, sigma_y_px=1.0, angle=0.7, beta=1.5, cutoff=math.pi / 2)
    )
    assert made.shape == (21, 21)
    assert made.sum().item() == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(made, made.flip(0, 1), atol=1e-7, rtol=0)
    assert made[:4].abs().max() == 0  # 13 of 21: four rows and columns of zeros on each side
    assert made[4].abs().max() > 0


def test_gaussian_has_its_covariance() -> None:
    angle = 0.6
    made = kernel(KernelShape(kind=KernelKind.GAUSSIAN, size_px=21, sigma_x_px=2.5, sigma_y_px=1.2, angle=angle))
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    expected = turn @ torch.diag(torch.tensor([2.5**2, 1.2**2])) @ turn.T
    torch.testing.assert_close(covariance(made), expected, atol=0.02, rtol=0)


def test_profiles_are_the_formulas() -> None:
    def ratio(kind: KernelKind, beta: float, x: int) -> float:
        made = kernel(KernelShape(kind=kind, size_px=21, sigma_x_px=3.0, sigma_y_px=2.0, beta=beta))
        return (made[10, 10 + x] / made[10, 10]).item()

    q = 4.0**2 / 3.0**2
    assert ratio(KernelKind.GAUSSIAN, 1.0, 4) == pytest.approx(math.exp(-q / 2), rel=1e-4)
    assert ratio(KernelKind.GENERALISED, 0.6, 4) == pytest.approx(math.exp(-(q**0.6) / 2), rel=1e-4)
    assert ratio(KernelKind.PLATEAU, 1.7, 4) == pytest.approx(1 / (1 + q**1.7), rel=1e-4)
    assert ratio(KernelKind.GENERALISED, 1.0, 5) == pytest.approx(ratio(KernelKind.GAUSSIAN, 1.0, 5), rel=1e-5)


def test_generalised_gaussian_of_high_beta_is_flat_on_top() -> None:
    flat = kernel(KernelShape(kind=KernelKind.GENERALISED, size_px=21, sigma_x_px=4, sigma_y_px=4, beta=4))
    plain = kernel(KernelShape(kind=KernelKind.GAUSSIAN, size_px=21, sigma_x_px=4, sigma_y_px=4))
    assert flat[10, 12] / flat[10, 10] > 0.99 > 0.9 > plain[10, 12] / plain[10, 10]


@pytest.mark.parametrize("cutoff", [math.pi / 3, math.pi / 2])
def test_sinc_passes_below_its_cutoff_and_stops_above(cutoff: float) -> None:
    made = kernel(KernelShape(kind=KernelKind.SINC, size_px=21, cutoff=cutoff)).double()
    frequency = torch.linspace(0, math.pi, 200, dtype=torch.float64)
    axis = torch.arange(21, dtype=torch.float64) - 10
    response = (made.sum(0) * torch.cos(frequency[:, None] * axis)).sum(1)
    assert response[frequency < 0.75 * cutoff].min() > 0.8
    assert response[frequency < 0.75 * cutoff].max() < 1.2
    assert response[frequency > 1.3 * cutoff].abs().max() < 0.15
    half = frequency[(response < 0.5).nonzero()[0, 0]].item()
    assert half == pytest.approx(cutoff, rel=0.08)
    assert made.min() < 0  # it rings


def test_no_blur_is_a_single_one() -> None:
    made = kernel(None)
    assert made[10, 10] == 1
    assert made.sum() == 1


def test_draws_keep_to_their_ranges_and_frequencies() -> None:
    config = BlurConfig(probability=0.8, sinc=0.25, sigma_px=(0.5, 2.0), size_px=(7, 15))
    drawn = [draw_kernel(config, SampleRandom(seed)) for seed in range(1500)]
    shapes = [s for s in drawn if s is not None]
    assert len(shapes) / len(drawn) == pytest.approx(0.8, abs=0.04)
    assert {s.size_px for s in shapes} == {7, 9, 11, 13, 15}
    sincs = [s for s in shapes if s.kind is KernelKind.SINC]
    assert len(sincs) / len(shapes) == pytest.approx(0.25, abs=0.04)
    assert min(s.cutoff for s in sincs if s.size_px < 13) >= math.pi / 3
    assert math.pi / 5 <= min(s.cutoff for s in sincs if s.size_px >= 13) < math.pi / 3
    others = [s for s in shapes if s.kind is not KernelKind.SINC]
    assert all(0.5 <= s.sigma_x_px <= 2.0 and 0.5 <= s.sigma_y_px <= 2.0 for s in others)
    isotropic = [s for s in others if s.sigma_x_px == s.sigma_y_px]
    assert len(isotropic) / len(others) == pytest.approx(0.69, abs=0.05)
    generalised = [s.beta for s in others if s.kind is KernelKind.GENERALISED]
    assert 0.5 <= min(generalised) < 1 < max(generalised) <= 4
    assert sum(b < 1 for b in generalised) / len(generalised) == pytest.approx(0.5, abs=0.12)
    assert all(1 <= s.beta <= 2 for s in others if s.kind is KernelKind.PLATEAU)


def test_bad_shapes_and_configurations_are_refused() -> None:
    with pytest.raises(ValueError, match="size_px: got 8, expected an odd number"):
        KernelShape(kind=KernelKind.GAUSSIAN, size_px=8)
    with pytest.raises(ValueError, match="sigma_x_px: got 0"):
        KernelShape(kind=KernelKind.GAUSSIAN, size_px=7, sigma_x_px=0)
    with pytest.raises(ValueError, match=r"probability: got 1\.5"):
        BlurConfig(probability=1.5)
    with pytest.raises(ValueError, match="sigma_px: got"):
        BlurConfig(sigma_px=(3.0, 0.2))
    with pytest.raises(ValueError, match="weights: got"):
        BlurConfig(weights=(0, 0, 0, 0, 0, 0))
    assert draw_sinc(7, SampleRandom(0)).kind is KernelKind.SINC
