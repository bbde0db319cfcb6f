"""Head pose losses, and that their rotation is the teacher's."""

import math

import numpy as np
import pytest
import torch

from training.losses import HeadPoseLoss, RotationLoss, rotation_matrix
from training.teacher import Teacher


def test_angles_are_added_and_pictures_averaged() -> None:
    found = torch.tensor([[0.1, -0.2, 0.0], [1.0, 1.0, 1.0]])
    loss = HeadPoseLoss()
    assert loss(found, torch.zeros(2, 3)).item() == pytest.approx((0.3 + 3.0) / 2)
    assert loss(found, torch.zeros(2, 3), torch.tensor([True, False])).item() == pytest.approx(0.3 / 2)


def test_rotation_about_one_axis_by_hand() -> None:
    t = 0.7
    expected = 2 * (1 - math.cos(t)) + 2 * math.sin(t)
    for axis in range(3):
        found = torch.zeros(1, 3)
        found[0, axis] = t
        assert RotationLoss()(found, torch.zeros(1, 3)).item() == pytest.approx(expected, rel=1e-5)


def test_rotation_does_not_jump_where_an_angle_does() -> None:
    just_below, just_above = torch.tensor([[0.2, 0.1, math.pi - 0.01]]), torch.tensor([[0.2, 0.1, -math.pi + 0.01]])
    assert HeadPoseLoss()(just_below, just_above).item() > 6
    assert RotationLoss()(just_below, just_above).item() < 0.1
    assert RotationLoss()(just_below, just_above, torch.zeros(1)).item() == 0


def test_matrix_is_a_rotation_and_reads_back_as_the_teacher_reads_it() -> None:
    angles = torch.tensor([[0.4, -0.2, 0.1], [-0.7, 0.3, -0.5], [0.0, 0.0, 0.0]])
    matrices = rotation_matrix(angles)
    torch.testing.assert_close(matrices @ matrices.transpose(1, 2), torch.eye(3).expand(3, 3, 3))
    torch.testing.assert_close(torch.linalg.det(matrices), torch.ones(3))
    shape = np.random.default_rng(0).uniform(-0.5, 0.5, (30, 3)).astype(np.float32)
    shape -= shape.mean(axis=0)
    teacher = Teacher(np.zeros((1, 30), np.float32), np.zeros((1, 2, 30), np.float32), shape[:, :2], shape)
    turned = np.einsum("bij,nj->bni", matrices.numpy(), shape)
    np.testing.assert_allclose(teacher.head_pose(turned), angles.numpy(), atol=1e-5)
