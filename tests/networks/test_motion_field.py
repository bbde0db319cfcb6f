"""The motion field starts as the analytic prior, and its maths is that of the first-order motion model."""

import pytest
import torch

from adasr_core.networks import PRESETS, MotionField
from adasr_core.networks.layers import coordinate_grid
from adasr_core.networks.motion import FIELD_PX, MIN_DETERMINANT, inverse_2x2

CONFIG = PRESETS["edge"]


def still(batch: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    context = torch.zeros(batch, CONFIG.context_channels, FIELD_PX, FIELD_PX)
    points = torch.rand(batch, CONFIG.keypoints, 2, generator=torch.Generator().manual_seed(1)) - 0.5
    return context, points, torch.eye(2).repeat(batch, CONFIG.keypoints, 1, 1)


def test_inverse_is_torchs_inverse() -> None:
    matrices = torch.eye(2) + 0.3 * torch.randn(5, 7, 2, 2, generator=torch.Generator().manual_seed(0))
    matrices = matrices[(torch.linalg.det(matrices) > 2 * MIN_DETERMINANT)]
    torch.testing.assert_close(inverse_2x2(matrices), torch.linalg.inv(matrices), rtol=1e-4, atol=1e-5)


def test_inverse_of_a_folded_face_is_bounded() -> None:
    folded = torch.tensor([[1.0, 1.0], [1.0, 1.0]])
    assert inverse_2x2(folded).abs().max() <= 1 / MIN_DETERMINANT


def test_no_motion_gives_no_flow() -> None:
    context, points, jacobians = still()
    out = MotionField(CONFIG)(context, points, jacobians, points, jacobians)
    assert out.flow.abs().max() < 1e-6
    torch.testing.assert_close(out.masks.sum(dim=1), torch.ones(1, FIELD_PX, FIELD_PX))


def test_shift_of_all_keypoints_moves_the_face_and_not_the_corner() -> None:
    context, points, jacobians = still()
    points[:, CONFIG.face_keypoints :] = 0.0
    shift = torch.tensor([0.1, -0.05])
    out = MotionField(CONFIG)(context, points, jacobians, points + shift, jacobians)
    centre, corner = out.flow[0, :, FIELD_PX // 2, FIELD_PX // 2], out.flow[0, :, 0, 0]
    # A backward flow: what is now at z was at z - shift.
    torch.testing.assert_close(centre, -shift, atol=5e-3, rtol=0)
    assert corner.abs().max() < 5e-3


def test_one_turning_keypoint_gives_its_first_order_motion() -> None:
    context, points, jacobians = still()
    # All face keypoints at one place share one Jacobian: the flow near it must be J_ref J_drv^-1 (z - p) + p - z.
    points[:, : CONFIG.face_keypoints] = 0.0
    turned = torch.tensor([[0.9, -0.2], [0.2, 1.1]])
    driving = jacobians.clone()
    driving[:, : CONFIG.face_keypoints] = turned
    out = MotionField(CONFIG)(context, points, jacobians, points, driving)
    grid = coordinate_grid(FIELD_PX)
    row, column = FIELD_PX // 2 + 2, FIELD_PX // 2 - 3
    z = grid[row, column]
    torch.testing.assert_close(out.flow[0, :, row, column], torch.linalg.inv(turned) @ z - z, atol=2e-3, rtol=0)


def test_bfloat16_autocast_keeps_coordinates_exact() -> None:
    context, points, jacobians = still()
    field = MotionField(CONFIG).eval()
    moved = points + 0.03
    with torch.no_grad():
        exact = field(context, points, jacobians, moved, jacobians).flow
        with torch.autocast("cpu", torch.bfloat16):
            reduced = field(context, points, jacobians, moved, jacobians).flow
    # A tenth of a pixel of 512.
    assert (exact - reduced).abs().max() < 0.0004


@pytest.mark.parametrize("preset", list(PRESETS))
def test_gradients_reach_every_part(preset: str) -> None:
    config = PRESETS[preset]
    field = MotionField(config)
    context = torch.randn(1, config.context_channels, FIELD_PX, FIELD_PX)
    _, points, jacobians = still()
    out = field(context, points, jacobians, points * 1.1, jacobians)
    (out.flow.square().sum() + out.occlusion.sum() + (out.masks * torch.rand_like(out.masks)).sum()).backward()
    assert field.head.weight.grad is not None
    assert field.head.weight.grad.abs().sum() > 0
    assert field.prior_bias.grad is not None
    assert field.prior_bias.grad.abs().sum() > 0
