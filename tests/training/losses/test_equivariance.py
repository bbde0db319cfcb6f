"""Thin-plate splines and the equivariance losses; an affine map makes every equality exact."""

import pytest
import torch

from training.losses import EquivarianceLoss, JacobianEquivarianceLoss, ThinPlateSpline, TransformConfig


def lattice(side: int = 4) -> torch.Tensor:
    axis = torch.linspace(-1, 1, side)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack((x, y), -1).reshape(-1, 2)


LINEAR = torch.tensor([[0.9, 0.2], [-0.1, 1.1]])
SHIFT = torch.tensor([0.05, -0.1])


def affine_spline(batch: int = 2) -> ThinPlateSpline:
    return ThinPlateSpline.through(lattice(), (lattice() @ LINEAR.T + SHIFT).expand(batch, -1, -1))


def random_points(batch: int = 2, count: int = 7) -> torch.Tensor:
    return torch.rand(batch, count, 2, generator=torch.Generator().manual_seed(1)) * 1.8 - 0.9


def test_spline_goes_through_its_control_points() -> None:
    targets = lattice() + 0.1 * torch.randn(3, 16, 2, generator=torch.Generator().manual_seed(0))
    spline = ThinPlateSpline.through(lattice(), targets)
    torch.testing.assert_close(spline(lattice().expand(3, -1, -1)), targets, atol=1e-5, rtol=0)


def test_spline_through_affine_targets_is_that_affine_map() -> None:
    spline = affine_spline()
    assert spline.weights.abs().max() < 1e-6
    torch.testing.assert_close(spline(random_points()), random_points() @ LINEAR.T + SHIFT, atol=1e-5, rtol=0)
    torch.testing.assert_close(spline.jacobian(random_points()), LINEAR.expand(2, 7, 2, 2), atol=1e-5, rtol=0)


def test_jacobian_is_the_derivative() -> None:
    made = ThinPlateSpline.random(2, torch.Generator().manual_seed(3), TransformConfig(displacement=0.1))
    spline = ThinPlateSpline(made.affine.double(), made.centres.double(), made.weights.double())
    points = torch.cat((random_points(), made.centres[:3].expand(2, 3, 2)), dim=1).double()
    step = 1e-6
    for axis in range(2):
        move = torch.zeros(2, dtype=torch.float64)
        move[axis] = step
        expected = (spline(points + move) - spline(points - move)) / (2 * step)
        torch.testing.assert_close(spline.jacobian(points)[..., axis], expected, atol=1e-6, rtol=1e-5)


def test_random_transforms_repeat_and_differ() -> None:
    a = ThinPlateSpline.random(4, torch.Generator().manual_seed(5))
    b = ThinPlateSpline.random(4, torch.Generator().manual_seed(5))
    assert torch.equal(a.weights, b.weights)
    assert torch.equal(a.affine, b.affine)
    assert (a.affine[0] - a.affine[1]).abs().max() > 1e-3
    still = ThinPlateSpline.random(1, torch.Generator().manual_seed(5), TransformConfig(affine=0, displacement=0))
    torch.testing.assert_close(still(random_points(1)), random_points(1), atol=1e-5, rtol=0)


def test_displacements_have_the_stated_deviation() -> None:
    config = TransformConfig(affine=0.0, displacement=0.03)
    spline = ThinPlateSpline.random(400, torch.Generator().manual_seed(0), config)
    moved = spline(spline.centres.expand(400, -1, -1)) - spline.centres
    assert moved.std().item() == pytest.approx(0.03, rel=0.02)


def test_warp_shows_at_z_what_the_picture_has_at_t_of_z() -> None:
    size = 64
    axis = (torch.arange(size) * 2 + 1) / size - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    picture = torch.stack((x, y))[None].repeat(2, 1, 1, 1)  # a picture of its own coordinates
    spline = ThinPlateSpline.random(2, torch.Generator().manual_seed(0))
    warped = spline.warp(picture)
    expected = spline(torch.stack((x, y), -1).reshape(1, -1, 2).expand(2, -1, -1)).reshape(2, size, size, 2)
    inner = slice(12, -12)
    torch.testing.assert_close(
        warped.permute(0, 2, 3, 1)[:, inner, inner], expected[:, inner, inner], atol=1e-5, rtol=0
    )


def test_affine_keypoints_and_jacobians_that_follow_cost_nothing() -> None:
    spline, seen = affine_spline(), random_points()
    shapes = torch.tensor([[1.2, 0.1], [0.3, 0.8]]).expand(2, 7, 2, 2)
    assert EquivarianceLoss()(spline, seen @ LINEAR.T + SHIFT, seen).item() < 1e-5
    assert JacobianEquivarianceLoss()(spline, LINEAR @ shapes, seen, shapes).item() < 1e-5


def test_spline_keypoints_and_jacobians_that_follow_cost_nothing() -> None:
    spline = ThinPlateSpline.random(2, torch.Generator().manual_seed(4))
    seen, shapes = random_points(), torch.eye(2).expand(2, 7, 2, 2)
    assert EquivarianceLoss()(spline, spline(seen), seen).item() < 1e-6
    assert JacobianEquivarianceLoss()(spline, spline.jacobian(seen), seen, shapes).item() < 1e-5


def test_values_by_hand() -> None:
    spline = ThinPlateSpline.through(lattice(), lattice()[None] + torch.tensor([0.2, 0.0]))
    points = torch.zeros(1, 2, 2)
    # T moves by (0.2, 0); keypoints that do not follow are 0.2 off.
    assert EquivarianceLoss()(spline, points, points).item() == pytest.approx(0.2, abs=1e-5)
    second = torch.tensor([[[0.2, 0.0], [0.0, 0.1]]])
    weight = torch.tensor([[1.0, 3.0]])
    assert EquivarianceLoss()(spline, second, points, weight).item() == pytest.approx(0.3 * 3 / 4, abs=1e-5)
    twice = ThinPlateSpline.through(lattice(), 2 * lattice()[None])
    identity = torch.eye(2).expand(1, 2, 2, 2)
    # |1 - 1^-1 2 1|_1 = 2; with J = 2 it is 0, with J = 4 it is |1 - 1/2| twice = 1
    loss = JacobianEquivarianceLoss()
    assert loss(twice, identity, points, identity).item() == pytest.approx(2, abs=1e-4)
    assert loss(twice, 2 * identity, points, identity).item() == pytest.approx(0, abs=1e-4)
    assert loss(twice, 4 * identity, points, identity, weight).item() == pytest.approx(1, abs=1e-4)


def test_gradient_reaches_both_sides_of_the_value_but_not_the_place_of_the_jacobian() -> None:
    spline = affine_spline(1)
    a = torch.zeros(1, 1, 2, requires_grad=True)
    b = torch.full((1, 1, 2), 0.3, requires_grad=True)
    EquivarianceLoss()(spline, a, b).backward()
    # d/da |a - T(b)| = -1 where T(b) is above a; d/db = LINEAR^T sign
    sign = torch.sign(a.detach() - spline(b.detach()))
    torch.testing.assert_close(a.grad, sign)
    torch.testing.assert_close(b.grad, -(sign @ LINEAR), atol=1e-5, rtol=0)
    shapes = torch.eye(2).expand(1, 1, 2, 2).clone().requires_grad_()
    b.grad = None
    JacobianEquivarianceLoss()(spline, shapes, b, 2 * shapes).backward()
    assert b.grad is None


def test_bad_configurations_are_refused() -> None:
    with pytest.raises(ValueError, match="points: got 1"):
        TransformConfig(points=1)
    with pytest.raises(ValueError, match=r"displacement: got -0\.1"):
        TransformConfig(displacement=-0.1)
