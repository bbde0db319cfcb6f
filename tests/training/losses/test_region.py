"""Weights of face, eyes and mouth."""

import math

import pytest
import torch

from training.losses import RegionWeights, face_weight, region_weight
from training.losses.region import ellipse_weight
from training.teacher import LANDMARK_GROUPS

NAMES = list(LANDMARK_GROUPS)
FACE = {
    "right_eye_outer": (-0.35, -0.2),
    "right_eye_inner": (-0.15, -0.2),
    "right_upper_lid": (-0.25, -0.25),
    "right_lower_lid": (-0.25, -0.15),
    "left_eye_inner": (0.15, -0.2),
    "left_eye_outer": (0.35, -0.2),
    "left_upper_lid": (0.25, -0.25),
    "left_lower_lid": (0.25, -0.15),
    "right_mouth_corner": (-0.2, 0.4),
    "left_mouth_corner": (0.2, 0.4),
    "upper_lip_inner": (0.0, 0.35),
    "lower_lip_inner": (0.0, 0.45),
}


def face(**changes: tuple[float, float]) -> torch.Tensor:
    """Keypoints [1, 34, 2]; what is not named lies at the nose."""
    places = FACE | changes
    return torch.tensor([[places.get(name, (0.0, 0.0)) for name in NAMES]])


def at(weight: torch.Tensor, x: float, y: float) -> float:
    size = weight.shape[-1]
    return float(weight[0, 0, int((y + 1) * size / 2), int((x + 1) * size / 2)])


def test_face_weight_falls_to_1_over_e_at_its_reach() -> None:
    size = 101  # an odd side has a pixel centre at 0
    weight = face_weight(torch.zeros(1, 1, 2), size)
    assert weight.shape == (1, 1, size, size)
    assert weight[0, 0, 50, 50].item() == pytest.approx(1)
    away = 14 / size  # 7 pixels
    assert weight[0, 0, 50, 57].item() == pytest.approx(math.exp(-(away**2) / 0.02), rel=1e-4)
    assert weight[0, 0, 57, 50].item() == weight[0, 0, 50, 57].item()


def test_only_the_nearest_keypoint_counts() -> None:
    two = face_weight(torch.tensor([[[-0.5, 0.0], [0.5, 0.0]]]), 64)
    one = face_weight(torch.tensor([[[-0.5, 0.0]]]), 64)
    torch.testing.assert_close(two[..., :32], one[..., :32])


def test_ellipse_is_half_on_its_rim_and_one_in_its_middle() -> None:
    corners = torch.tensor([[-0.4, 0.1]]), torch.tensor([[0.4, 0.1]])
    lids = torch.tensor([[0.0, -0.1]]), torch.tensor([[0.0, 0.3]])
    weight = ellipse_weight([*corners, *lids], 1000, least_height=0.1)
    assert at(weight, 0.0, 0.1) == pytest.approx(1, abs=1e-3)
    for x, y in ((0.4, 0.1), (-0.4, 0.1), (0.0, 0.3), (0.0, -0.1)):
        assert at(weight, x, y) == pytest.approx(0.5, abs=0.02)
    # Twice as far as the rim: 2^-16
    assert at(weight, 0.8, 0.1) == pytest.approx(2.0**-16, rel=0.3)


def test_ellipse_turns_with_its_corners() -> None:
    weight = ellipse_weight(
        [torch.tensor([p]) for p in ((-0.3, -0.3), (0.3, 0.3), (0.05, -0.05), (-0.05, 0.05))],
        200,
        least_height=0.1,
    )
    assert at(weight, 0.2, 0.2) > 0.8
    assert at(weight, 0.2, -0.2) < 0.01
    torch.testing.assert_close(weight, weight.transpose(2, 3), atol=1e-5, rtol=0)


def test_eyes_and_mouth_stand_out_of_the_face_and_the_face_of_the_room() -> None:
    weights = RegionWeights(face=3, eyes=4, mouth=5)
    weight = region_weight(face(), 400, weights)
    assert weight.shape == (1, 1, 400, 400)
    assert at(weight, -0.95, 0.95) == pytest.approx(1, abs=1e-3)
    assert at(weight, 0.0, 0.0) == pytest.approx(1 + 3, abs=0.05)
    near_lid = 3 * math.exp(-(0.05**2) / 0.02)
    assert at(weight, -0.25, -0.2) == pytest.approx(1 + near_lid + 4, abs=0.05)
    assert at(weight, 0.25, -0.2) == pytest.approx(1 + near_lid + 4, abs=0.05)
    assert at(weight, 0.0, 0.4) == pytest.approx(1 + near_lid + 5, abs=0.05)


def test_closed_eye_and_closed_mouth_keep_a_region() -> None:
    shut = face(
        right_upper_lid=(-0.25, -0.2),
        right_lower_lid=(-0.25, -0.2),
        upper_lip_inner=(0.0, 0.4),
        lower_lip_inner=(0.0, 0.4),
    )
    only = RegionWeights(face=0, eyes=1, mouth=1)
    weight = region_weight(shut, 1000, only)
    assert at(weight, -0.25, -0.2 + 0.05) == pytest.approx(1.5, abs=0.03)  # half of half the eye's width
    assert at(weight, 0.0, 0.4 + 0.05) == pytest.approx(1.5, abs=0.03)  # a quarter of half the mouth's width


def test_weight_gives_no_gradient_to_the_keypoints() -> None:
    assert not region_weight(face().requires_grad_(), 16).requires_grad


def test_wrong_number_of_keypoints_is_refused() -> None:
    with pytest.raises(ValueError, match=r"keypoints: got \(1, 40, 2\), expected \(B, 34, 2\)"):
        region_weight(torch.zeros(1, 40, 2), 16)
    with pytest.raises(ValueError, match="eyes: got -1"):
        RegionWeights(eyes=-1)
