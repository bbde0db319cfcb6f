"""The head's own frame, expression and deformation losses."""

import numpy as np
import pytest
import torch
from torch import Tensor

from training.losses import (
    DeformationPrior,
    ExpressionLoss,
    fit_head_frame,
    neutral_keypoints,
    rotation_matrix,
    with_depth,
)
from training.teacher import Teacher

ANGLES = torch.tensor([[0.5, -0.3, 0.2], [-0.4, 0.1, -0.6]])
SCALES = torch.tensor([1.4, 0.6])
SHIFTS = torch.tensor([[0.1, -0.2, 0.3], [-0.3, 0.0, 0.1]])


def neutral_face() -> Tensor:
    return torch.randn(34, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.3, 0.3, 0.15])


def moved(points: Tensor) -> Tensor:
    """Both heads turned, scaled and shifted: [2, 34, 3] of [34, 3] or [2, 34, 3]."""
    turned = points.expand(2, 34, 3) @ rotation_matrix(ANGLES).transpose(1, 2)
    return turned * SCALES[:, None, None] + SHIFTS[:, None]


def opened_mouth(amount: float) -> Tensor:
    """A change that no similarity explains, and that the best fit does not follow: its force and torque are zero."""
    face = neutral_face()
    change = torch.zeros_like(face)
    change[3, 1], change[7, 1] = amount, -amount
    return face + change


def test_frame_of_a_moved_neutral_face_is_that_movement() -> None:
    frame = fit_head_frame(moved(neutral_face()), neutral_face(), torch.ones(2, 34))
    torch.testing.assert_close(frame.rotation, rotation_matrix(ANGLES), atol=1e-5, rtol=0)
    torch.testing.assert_close(frame.scale, SCALES, atol=1e-5, rtol=0)
    torch.testing.assert_close(frame.translation, SHIFTS, atol=1e-5, rtol=0)
    delta = frame.deformation(moved(neutral_face()), neutral_face())
    assert delta.abs().max() < 1e-5


def test_frame_is_never_a_mirror_image() -> None:
    mirrored = neutral_face() * torch.tensor([-1.0, 1.0, 1.0])
    frame = fit_head_frame(mirrored[None], neutral_face(), torch.ones(1, 34))
    assert torch.linalg.det(frame.rotation).item() == pytest.approx(1, abs=1e-5)


def test_hidden_keypoints_do_not_move_the_frame() -> None:
    points, weight = moved(neutral_face()), torch.ones(2, 34)
    points[:, 5], weight[:, 5] = 3.0, 0.0
    frame = fit_head_frame(points, neutral_face(), weight)
    torch.testing.assert_close(frame.translation, SHIFTS, atol=1e-5, rtol=0)


def test_derivative_of_the_fit_is_exact() -> None:
    points = moved(neutral_face()).double() + 0.05 * torch.randn(2, 34, 3, dtype=torch.float64)
    neutral, weight = neutral_face().double(), torch.rand(2, 34, dtype=torch.float64)
    direction = torch.randn(2, 34, 3, dtype=torch.float64)

    def delta(x: Tensor) -> Tensor:
        return fit_head_frame(x, neutral, weight).deformation(x, neutral)

    step = 1e-5
    expected = (delta(points + step * direction) - delta(points - step * direction)) / (2 * step)
    watched = points.clone().requires_grad_()
    made = delta(watched)
    for _ in range(3):
        along = torch.randn(2, 34, 3, dtype=torch.float64)
        (gradient,) = torch.autograd.grad(made, watched, along, retain_graph=True)
        assert (gradient * direction).sum().item() == pytest.approx((along * expected).sum().item(), rel=1e-3, abs=1e-3)


def test_expression_is_blind_to_where_the_head_is() -> None:
    loss = ExpressionLoss(neutral_face())
    open_mouth = opened_mouth(0.1).expand(2, 34, 3)
    assert loss(moved(opened_mouth(0.1)), open_mouth, torch.ones(2, 34)).item() < 1e-4
    assert loss(moved(opened_mouth(0.1)), moved(neutral_face()), torch.ones(2, 34)).item() > 2e-3


def test_expression_of_a_small_change_is_its_size() -> None:
    """To first order the residual of a change is the change less its similarity part: solved here by least squares."""
    face, amount = neutral_face().double(), 1e-3
    change = (opened_mouth(amount).double() - face).reshape(-1)
    centred = face - face.mean(0)
    basis = [torch.eye(3, dtype=torch.float64)[i].repeat(34, 1) for i in range(3)]
    basis += [torch.cross(torch.eye(3, dtype=torch.float64)[i].expand(34, 3), centred, dim=1) for i in range(3)]
    basis.append(centred)
    columns = torch.stack([b.reshape(-1) for b in basis], 1)
    left = change - columns @ torch.linalg.lstsq(columns, change[:, None]).solution[:, 0]
    expected = left.abs().sum().item() / 34
    found = opened_mouth(amount)[None]
    ones = torch.ones(1, 34)
    assert DeformationPrior(neutral_face())(found, ones).item() == pytest.approx(expected, rel=5e-3)
    assert ExpressionLoss(neutral_face())(found, neutral_face()[None], ones).item() == pytest.approx(expected, rel=5e-3)


def test_gradient_does_not_turn_the_head() -> None:
    """The loss does not change when the face turns, scales or shifts, so the gradient has no part along these."""
    found = opened_mouth(0.1).expand(2, 34, 3).clone().requires_grad_()
    ExpressionLoss(neutral_face())(found, moved(neutral_face()), torch.ones(2, 34)).backward()
    assert found.grad is not None
    assert found.grad.abs().max() > 1e-3
    away = found.detach() - found.detach().mean(1, keepdim=True)
    assert found.grad.sum(1).abs().max() < 1e-4
    assert torch.cross(away, found.grad, dim=2).sum(1).abs().max() < 1e-4
    assert (away * found.grad).sum((1, 2)).abs().max() < 1e-4


def test_untrained_detector_gives_finite_gradients() -> None:
    """All keypoints at one spot: no frame fits, and nothing may become infinite."""
    found = torch.zeros(2, 34, 3, requires_grad=True)
    weight = torch.ones(2, 34)
    weight[1] = 0
    ExpressionLoss(neutral_face())(found, moved(neutral_face()), weight).backward()
    DeformationPrior(neutral_face())(found, weight).backward()
    assert found.grad is not None
    assert found.grad.isfinite().all()
    assert found.grad[1].abs().max() == 0


def test_neutral_face_comes_from_the_teacher() -> None:
    cloud = np.random.default_rng(0).uniform(-0.5, 0.5, (6, 478, 3)).astype(np.float32)
    teacher = Teacher.fit(cloud)
    neutral = neutral_keypoints(teacher)
    assert neutral.shape == (34, 3)
    np.testing.assert_allclose(neutral[0].numpy(), teacher.mean_shape[468:473].mean(axis=0), atol=1e-6)
    joined = with_depth(torch.zeros(1, 34, 2), torch.ones(1, 34))
    assert joined.shape == (1, 34, 3)
    assert joined[0, 4].tolist() == [0, 0, 1]


def test_neutral_face_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"neutral: got \(34, 2\)"):
        ExpressionLoss(torch.zeros(34, 2))
