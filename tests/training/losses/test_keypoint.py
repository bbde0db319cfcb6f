"""Keypoint, Jacobian, depth and confidence losses, and their sum, on numbers worked out by hand."""

import math

import pytest
import torch

from adasr_core.networks import DetectorOutput
from training.losses import (
    ConfidenceLoss,
    DepthLoss,
    DetectorLoss,
    DetectorTargets,
    DetectorWeights,
    DistillationLoss,
    JacobianLoss,
    KeypointLoss,
    visibility,
)


def test_keypoints_outside_and_pictures_without_a_face_are_not_visible() -> None:
    keypoints = torch.tensor([[[0.0, 0.97], [0.99, 0.0]], [[0.0, 0.0], [0.5, -0.5]]])
    assert visibility(keypoints).tolist() == [[1, 0], [1, 1]]
    assert visibility(keypoints, torch.tensor([True, False])).tolist() == [[1, 0], [0, 0]]


def test_keypoint_loss_is_square_near_and_straight_far() -> None:
    truth = torch.zeros(1, 2, 2)
    found = torch.tensor([[[0.004, 0.0], [0.0, -0.1]]])
    near, far = 0.004**2 / (2 * 0.01), 0.1 - 0.01 / 2
    weight = torch.ones(1, 2)
    assert KeypointLoss()(found, truth, weight).item() == pytest.approx((near + far) / 2, rel=1e-5)
    only_first = torch.tensor([[1.0, 0.0]])
    assert KeypointLoss()(found, truth, only_first).item() == pytest.approx(near, rel=1e-5)


def test_keypoint_loss_of_nothing_visible_is_zero_without_gradient() -> None:
    found = torch.full((1, 3, 2), 0.3, requires_grad=True)
    loss = KeypointLoss()(found, torch.zeros(1, 3, 2), torch.zeros(1, 3))
    loss.backward()
    assert loss.item() == 0
    assert found.grad is not None
    assert found.grad.abs().max() == 0


def test_keypoint_gradient_is_that_of_a_square_within_beta() -> None:
    found = torch.tensor([[[0.005, -0.2]]], requires_grad=True)
    KeypointLoss(beta=0.01)(found, torch.zeros(1, 1, 2), torch.ones(1, 1)).backward()
    assert found.grad is not None
    torch.testing.assert_close(found.grad, torch.tensor([[[0.5, -1.0]]]))


def test_jacobian_loss_adds_the_entries() -> None:
    truth = torch.eye(2).expand(1, 2, 2, 2)
    found = truth.clone()
    found[0, 0] += torch.tensor([[0.02, 0.0], [0.1, 0.0]])
    expected = (0.02**2 / 0.1 + (0.1 - 0.025)) / 2
    assert JacobianLoss()(found, truth, torch.ones(1, 2)).item() == pytest.approx(expected, rel=1e-5)


def test_depth_loss() -> None:
    found, truth = torch.tensor([[0.1, 0.0]]), torch.tensor([[0.0, 0.03]])
    expected = ((0.1 - 0.025) + 0.03**2 / 0.1) / 2
    assert DepthLoss()(found, truth, torch.ones(1, 2)).item() == pytest.approx(expected, rel=1e-5)


def test_confidence_target_is_1_over_e_at_the_reach_and_0_when_hidden() -> None:
    truth = torch.zeros(1, 3, 2)
    found = torch.tensor([[[0.0, 0.0], [0.04, 0.0], [0.0, 0.0]]], requires_grad=True)
    weight = torch.tensor([[1.0, 1.0, 0.0]])
    logits = torch.zeros(1, 3, requires_grad=True)
    loss = ConfidenceLoss(reach=0.04)(logits, found, truth, weight)
    assert loss.item() == pytest.approx(math.log(2), rel=1e-6)
    loss.backward()
    # d BCE / d logit = sigmoid(0) - target, over three keypoints
    expected = torch.tensor([[0.5 - 1.0, 0.5 - math.exp(-1), 0.5 - 0.0]]) / 3
    torch.testing.assert_close(logits.grad, expected)
    assert found.grad is None


@pytest.mark.parametrize("build", [KeypointLoss, JacobianLoss, DepthLoss])
def test_negative_beta_is_refused(build: type[KeypointLoss]) -> None:
    with pytest.raises(ValueError, match="beta: got -1, expected 0 or more"):
        build(-1)


def test_reach_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="reach"):
        ConfidenceLoss(0.0)


def detector_output(batch: int = 2) -> DetectorOutput:
    """Everything at the truth but for what a test changes."""
    return DetectorOutput(
        keypoints=torch.zeros(batch, 40, 2),
        jacobians=torch.eye(2).repeat(batch, 40, 1, 1),
        confidence_logits=torch.zeros(batch, 40),
        depth=torch.zeros(batch, 40),
        head_pose=torch.zeros(batch, 3),
    )


def detector_targets(batch: int = 2) -> DetectorTargets:
    return DetectorTargets(
        keypoints=torch.zeros(batch, 34, 2),
        jacobians=torch.eye(2).repeat(batch, 34, 1, 1),
        depth=torch.zeros(batch, 34),
        head_pose=torch.zeros(batch, 3),
        face=torch.ones(batch, dtype=torch.bool),
    )


def test_detector_loss_weighs_its_parts() -> None:
    out = detector_output()
    out.keypoints[:, :34, 0] = 0.1
    out.jacobians[:, :34, 0, 1] = 0.2
    out.depth[:, :34] = 0.3
    out.head_pose[0] = torch.tensor([0.1, -0.2, 0.3])
    trust = math.exp(-(0.1**2) / 0.04**2)
    assert trust < 0.01
    # BCE at logit 0 is ln 2 whatever the target.
    parts = (10 * (0.1 - 0.005), 0.2 - 0.025, 0.5 * (0.3 - 0.025), 0.3 * math.log(2), 0.5 * 0.6 / 2)
    assert DetectorLoss()(out, detector_targets()).item() == pytest.approx(sum(parts), rel=1e-5)
    only_pose = DetectorWeights(keypoint=0, jacobian=0, depth=0, confidence=0, head_pose=1)
    assert DetectorLoss(only_pose)(out, detector_targets()).item() == pytest.approx(0.3, rel=1e-5)


def test_free_keypoints_are_not_tied() -> None:
    out = detector_output()
    before = DetectorLoss()(out, detector_targets()).item()
    out.keypoints[:, 34:] = 0.7
    out.jacobians[:, 34:] = 3.0
    assert DetectorLoss()(out, detector_targets()).item() == before
    assert DistillationLoss()(out, torch.zeros(2, 34, 2), torch.eye(2).repeat(2, 34, 1, 1)).item() == 0


def test_distillation_is_ten_keypoint_and_one_jacobian() -> None:
    out = detector_output(1)
    out.keypoints[:, 3, 1] = 0.2
    out.jacobians[:, 5, 1, 1] = 1.5
    truth = torch.zeros(1, 34, 2)
    truth[:, 33] = 1.0  # out of the picture: 33 are left
    found = DistillationLoss()(out, truth, torch.eye(2).repeat(1, 34, 1, 1)).item()
    assert found == pytest.approx((10 * (0.2 - 0.005) + (0.5 - 0.025)) / 33, rel=1e-5)


def test_negative_weight_is_refused() -> None:
    with pytest.raises(ValueError, match=r"depth: got -0\.5"):
        DetectorWeights(depth=-0.5)
