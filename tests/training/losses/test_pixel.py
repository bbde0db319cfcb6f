"""Pixel and structure terms on pictures whose value can be worked out, and against scikit-image."""

import math

import numpy as np
import pytest
import torch
from skimage import data
from skimage.metrics import structural_similarity

from training.losses import (
    CharbonnierLoss,
    EdgeLoss,
    PhotometricLoss,
    RebuildLoss,
    SharpnessLoss,
    StructureLoss,
    ssim_map,
)


def test_constant_offset_costs_the_same_at_every_scale() -> None:
    truth, weight = torch.rand(2, 3, 32, 32), torch.ones(2, 1, 32, 32)
    found = truth + 0.1
    each = math.sqrt(0.01 + 1e-4) + 4 * 0.01
    assert PhotometricLoss()(found, truth, weight).item() == pytest.approx(4 * each, rel=1e-4)
    assert PhotometricLoss(scales=1)(found, truth, 2 * weight).item() == pytest.approx(2 * each, rel=1e-4)
    each = math.sqrt(0.01 + 1e-5) + 2 * 0.01
    assert RebuildLoss()(found, truth, weight).item() == pytest.approx(3 * each, rel=1e-4)
    assert CharbonnierLoss()(found, truth).item() == pytest.approx(math.sqrt(0.01 + 1e-5), rel=1e-4)


def test_chequered_error_vanishes_at_coarser_scales() -> None:
    sign = (torch.arange(16)[:, None] + torch.arange(16)) % 2 * 2.0 - 1
    truth = torch.full((1, 3, 16, 16), 0.5)
    found, weight = truth + 0.2 * sign, torch.ones(1, 1, 16, 16)
    fine = math.sqrt(0.04 + 1e-4) + 4 * 0.04
    nothing = math.sqrt(1e-4)
    assert PhotometricLoss()(found, truth, weight).item() == pytest.approx(fine + 3 * nothing, rel=1e-4)
    # RebuildLoss adds the edges: neighbours differ by 0.4 along x and along y, at the finest scale only.
    fine = math.sqrt(0.04 + 1e-5) + 2 * 0.04
    expected = fine + 2 * math.sqrt(1e-5) + 0.5 * (0.4 + 0.4)
    assert RebuildLoss()(found, truth, weight).item() == pytest.approx(expected, rel=1e-4)


def test_errors_count_by_their_weight() -> None:
    truth = torch.zeros(1, 3, 8, 8)
    found = truth.clone()
    found[..., :4] = 1.0
    left = torch.zeros(1, 1, 8, 8)
    left[..., :4] = 3.0
    assert CharbonnierLoss(0.0)(found, truth, left).item() == pytest.approx(1.5)
    assert CharbonnierLoss(0.0)(found, truth, left.flip(-1)).item() == 0


@pytest.mark.parametrize("loss", [PhotometricLoss(), RebuildLoss()])
def test_gradient_is_zero_at_the_truth_only(loss: PhotometricLoss | RebuildLoss) -> None:
    truth, weight = torch.rand(1, 3, 16, 16), torch.ones(1, 1, 16, 16)
    for offset in (0.0, 0.3):
        found = (truth + offset).requires_grad_()
        loss(found, truth, weight).backward()
        assert found.grad is not None
        assert (found.grad.abs().max() > 1e-4) == (offset > 0)


def test_ssim_of_constant_pictures_is_the_luminance_term() -> None:
    a, b = torch.full((1, 1, 16, 16), 0.2), torch.full((1, 1, 16, 16), 0.6)
    expected = (2 * 0.12 + 1e-4) / (0.04 + 0.36 + 1e-4)
    torch.testing.assert_close(ssim_map(a, b), torch.full((1, 1, 6, 6), expected), atol=1e-4, rtol=0)


def test_ssim_is_the_published_one() -> None:
    truth = data.camera()[100:164, 200:264].astype(np.float64) / 255
    found = np.clip(truth + np.random.default_rng(0).normal(0, 0.1, truth.shape), 0, 1)
    _, expected = structural_similarity(
        truth, found, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    made = ssim_map(*(torch.from_numpy(x).float()[None, None] for x in (found, truth)))
    np.testing.assert_allclose(made[0, 0].numpy(), expected[5:-5, 5:-5], atol=1e-4)


def test_structure_loss_averages_scales_and_halves() -> None:
    a, b = torch.full((1, 3, 64, 64), 0.2), torch.full((1, 3, 64, 64), 0.6)
    expected = (1 - (2 * 0.12 + 1e-4) / (0.04 + 0.36 + 1e-4)) / 2
    assert StructureLoss()(a, b).item() == pytest.approx(expected, rel=1e-3)
    assert StructureLoss()(a, b, torch.full((1, 1, 64, 64), 2.0)).item() == pytest.approx(2 * expected, rel=1e-3)
    assert StructureLoss()(a, a).item() == pytest.approx(0, abs=1e-6)


def test_blur_costs_structure_more_than_an_offset_of_equal_squared_error() -> None:
    truth = torch.from_numpy(data.camera()[100:228, 200:328].astype(np.float32) / 255)[None, None]
    blurred = torch.nn.functional.avg_pool2d(truth, 5, 1, 2, count_include_pad=False)
    offset = truth + (blurred - truth).square().mean().sqrt()
    assert StructureLoss()(blurred, truth).item() > 3 * StructureLoss()(offset, truth).item()


def test_structure_loss_refuses_pictures_below_its_window() -> None:
    with pytest.raises(ValueError, match=r"picture: got \(8, 8\), expected sides of 11"):
        StructureLoss(scales=2)(torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 16))
    with pytest.raises(ValueError, match="scales: got 0"):
        StructureLoss(scales=0)


def test_lost_edge_costs_its_height() -> None:
    truth = torch.zeros(1, 1, 8, 8)
    truth[..., 4:] = 0.7
    found = torch.zeros(1, 1, 8, 8)
    # One column of 7 differences along x in each row is wrong by 0.7.
    assert EdgeLoss()(found, truth).item() == pytest.approx(0.7 / 7)
    assert EdgeLoss()(truth + 0.2, truth).item() == pytest.approx(0, abs=1e-6)
    weight = torch.ones(1, 1, 8, 8)
    weight[..., 4] = 5
    assert EdgeLoss()(found, truth, weight).item() == pytest.approx(5 * 0.7 / 7)


def stripes(height: float, start: int = 0) -> torch.Tensor:
    """Columns that alternate between 0 and `height`: the Laplacian is 2 `height` everywhere. [1, 3, 50, 34]."""
    columns = torch.zeros(34)
    columns[start::2] = height
    return columns.expand(1, 3, 50, 34)


def test_sharpness_counts_the_strength_of_detail_and_not_its_place() -> None:
    loss, truth = SharpnessLoss(), stripes(0.5)
    floor = 2 / 255
    expected = math.log((1.0 + floor) / (0.5 + floor))
    assert loss(stripes(0.25), truth).item() == pytest.approx(expected, rel=1e-5)
    assert loss(truth, stripes(0.25)).item() == pytest.approx(expected, rel=1e-5)
    assert loss(stripes(0.5, start=1), truth).item() == pytest.approx(0, abs=1e-6)
    assert loss(truth + 0.3, truth).item() == pytest.approx(0, abs=1e-5)
    assert loss(stripes(0.0), stripes(0.0)).item() == 0


def test_sharpness_is_weighted_where_the_windows_lie() -> None:
    """Three windows down, two across: soft in the right column alone, which weighs five times as much."""
    truth, found = stripes(0.5), stripes(0.5).clone()
    found[..., 17:] *= 0.5
    weight = torch.ones(1, 1, 50, 34)
    weight[..., 17:] = 5.0
    plain, weighted = SharpnessLoss()(found, truth).item(), SharpnessLoss()(found, truth, weight).item()
    assert plain == pytest.approx(0.5 * math.log((1 + 2 / 255) / (0.5 + 2 / 255)), rel=0.05)
    assert weighted == pytest.approx(5 * plain, rel=0.1)


def test_blur_costs_sharpness_and_its_gradient_says_sharpen() -> None:
    truth = torch.rand(1, 3, 50, 50, generator=torch.Generator().manual_seed(1))
    mean = torch.full_like(truth, 0.5)
    share = torch.tensor(0.5, requires_grad=True)
    loss = SharpnessLoss()(mean + share * (truth - mean), truth)
    loss.backward()
    assert loss.item() > 0.5
    assert share.grad is not None
    assert share.grad.item() < 0
