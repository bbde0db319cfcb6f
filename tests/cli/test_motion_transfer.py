"""Relative motion transfer: what it keeps, what it takes over, and where it refuses."""

import numpy as np
import pytest

from adasr.motion_transfer import RelativeTransfer, face_area, nearest_pose, normalised_face
from adasr_core.geometry import MotionParameters

K = 40


def made_face(seed: int, *, scale: float = 1.0, shift: tuple[float, float] = (0.0, 0.0)) -> MotionParameters:
    """Keypoints and Jacobians of one face, at another size and place."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-0.3, 0.3, (K, 2)) * scale + shift
    return MotionParameters.create(points, np.eye(2) * scale + rng.normal(0, 0.1, (K, 2, 2)) * scale)


def placed(face: MotionParameters, scale: float, shift: tuple[float, float]) -> MotionParameters:
    """The same face enlarged about the middle, then shifted."""
    return MotionParameters.create(face.keypoints * scale + shift, face.jacobians * scale)


def same(a: MotionParameters, b: MotionParameters) -> bool:
    return np.allclose(a.vector(), b.vector(), atol=1e-5)


def test_a_driver_that_is_the_portrait_gives_its_own_motion() -> None:
    portrait, later = made_face(0), made_face(1)
    assert same(RelativeTransfer.between(portrait, portrait)(later), later)


def test_the_start_frame_gives_the_portrait() -> None:
    portrait, start = made_face(0), made_face(1, scale=0.7, shift=(0.2, -0.1))
    assert same(RelativeTransfer.between(portrait, start)(start), portrait)


def test_size_and_place_of_the_driver_do_not_matter() -> None:
    portrait, start, later = made_face(0), made_face(1), made_face(2)
    expected = RelativeTransfer.between(portrait, start)(later)
    scale, shift = 0.6, (0.3, -0.2)
    moved = RelativeTransfer.between(portrait, placed(start, scale, shift))(placed(later, scale, shift))
    assert same(moved, expected)


def test_motion_grows_with_the_portrait() -> None:
    portrait, start = made_face(0), made_face(1)
    later = placed(start, 1.0, (0.1, 0.0))
    for scale in (1.0, 2.0):
        transfer = RelativeTransfer.between(placed(portrait, scale, (0.0, 0.0)), start)
        moved = transfer(later).keypoints - scale * portrait.keypoints
        expected = 0.1 * scale * np.sqrt(face_area(portrait) / face_area(start))
        assert np.allclose(moved, (expected, 0.0), atol=1e-5)


def test_a_turn_of_the_driver_turns_the_portrait_s_jacobians() -> None:
    portrait, start = made_face(0), made_face(1)
    angle = 0.3
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = MotionParameters.create(start.keypoints @ turn.T, turn @ start.jacobians)
    moved = RelativeTransfer.between(portrait, start)(turned)
    assert np.allclose(moved.jacobians, turn @ portrait.jacobians, atol=1e-5)


def test_nearest_pose_looks_past_size_and_place() -> None:
    portrait = made_face(0)
    frames = [made_face(1), placed(portrait, 0.5, (0.4, 0.4)), made_face(2)]
    assert nearest_pose(portrait, frames) == 1
    assert np.allclose(normalised_face(frames[1]), normalised_face(portrait), atol=1e-4)


def test_what_has_no_extent_or_inverse_is_refused() -> None:
    face = made_face(0)
    line = MotionParameters.create(np.stack((np.linspace(-1, 1, K), np.zeros(K)), axis=1), face.jacobians)
    with pytest.raises(ValueError, match="hull has an area"):
        RelativeTransfer.between(face, line)
    flat = face.jacobians.copy()
    flat[7] = [[1, 2], [2, 4]]
    with pytest.raises(ValueError, match=r"Jacobian of keypoint 7 cannot be inverted.*--best-frame"):
        RelativeTransfer.between(face, MotionParameters.create(face.keypoints, flat))
    with pytest.raises(ValueError, match="use one model for both"):
        RelativeTransfer.between(face, MotionParameters.create(face.keypoints[:36], face.jacobians[:36]))
    with pytest.raises(ValueError, match="frames: got none"):
        nearest_pose(face, [])
