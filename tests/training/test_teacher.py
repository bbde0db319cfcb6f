"""The teacher's keypoints and Jacobians follow the landmarks exactly as an affine map says."""

import numpy as np
import pytest

from adasr_core.geometry import FACE_KEYPOINTS
from training.augment import MIRRORED, AugmentConfig, random_affine, warp_image, without_face
from training.teacher import LANDMARK_GROUPS, Array, Teacher


@pytest.fixture(scope="module")
def landmarks() -> Array:
    """Made-up faces: one cloud of points, turned, scaled and shaken."""
    rng = np.random.default_rng(0)
    cloud = rng.uniform(-0.5, 0.5, (478, 3))
    return (cloud + rng.normal(0, 0.01, (20, 478, 3))).astype(np.float32)


def test_groups_are_landmarks_and_agree_with_the_codec() -> None:
    assert len(LANDMARK_GROUPS) == FACE_KEYPOINTS
    members = [i for group in LANDMARK_GROUPS.values() for i in group]
    assert len(set(members)) == len(members)
    assert 0 <= min(members) <= max(members) < 478


def test_keypoint_is_the_mean_of_its_group(landmarks: Array) -> None:
    keypoints, _ = Teacher.fit(landmarks)(landmarks)
    tip = list(LANDMARK_GROUPS).index("nose_tip")
    expected = landmarks[:, list(LANDMARK_GROUPS["nose_tip"]), :2].mean(axis=1)
    np.testing.assert_allclose(keypoints[:, tip], expected, atol=1e-5)


def test_mean_face_has_identity_jacobians(landmarks: Array) -> None:
    fitted = Teacher.fit(landmarks)
    _, jacobians = fitted(fitted.mean_face[None])
    np.testing.assert_allclose(jacobians[0], np.broadcast_to(np.eye(2), (FACE_KEYPOINTS, 2, 2)), atol=1e-4)


def test_affine_map_of_the_face_shows_in_every_jacobian(landmarks: Array) -> None:
    fitted = Teacher.fit(landmarks)
    linear, shift = np.array([[0.8, 0.3], [-0.2, 1.2]], np.float32), np.array([0.1, -0.2], np.float32)
    before, after = fitted(landmarks), fitted(landmarks[..., :2] @ linear.T + shift)
    np.testing.assert_allclose(after[0], before[0] @ linear.T + shift, atol=1e-4)
    np.testing.assert_allclose(after[1], linear @ before[1], atol=1e-4)


def test_mirror_order_is_its_own_inverse() -> None:
    names = list(LANDMARK_GROUPS)
    assert [MIRRORED[MIRRORED[i]] for i in range(len(names))] == list(range(len(names)))
    assert names[MIRRORED[names.index("left_iris")]] == "right_iris"
    assert names[MIRRORED[names.index("chin")]] == "chin"


def test_warped_picture_and_warped_point_agree() -> None:
    image = np.zeros((128, 128, 3), np.uint8)
    image[40:44, 80:84] = 255
    point = np.array([82, 42]) * 2 / 128 - 1
    rng = np.random.default_rng(5)
    for _ in range(5):
        affine = random_affine(rng, AugmentConfig(scale=(0.8, 1.3), rotation_deg=15, shift=0.1))
        warped = warp_image(image, affine, 256).astype(float).sum(axis=2)
        y, x = np.unravel_index(np.arange(warped.size), warped.shape)
        found = np.array([(x * warped.ravel()).sum(), (y * warped.ravel()).sum()]) / warped.sum()
        expected = (affine[:, :2] @ point + affine[:, 2] + 1) * 256 / 2 - 0.5
        np.testing.assert_allclose(found, expected, atol=0.75)


def test_pictures_without_a_face_keep_their_form() -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 255, (256, 256, 3)).astype(np.uint8)
    keypoints = rng.uniform(-0.3, 0.3, (FACE_KEYPOINTS, 2)).astype(np.float32)
    for _ in range(30):
        made = without_face(image, keypoints, rng)
        assert made.shape == image.shape
        assert made.dtype == np.uint8
        assert (made != image).mean() > 0.5


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Rz(roll) Ry(yaw) Rx(pitch), written out."""
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    turned: np.ndarray = about_z @ about_y @ about_x
    return turned


def test_head_pose_is_the_rotation_of_the_mean_shape(landmarks: Array) -> None:
    fitted = Teacher.fit(landmarks)
    angles = [(0.0, 0.0, 0.0), (0.4, -0.2, 0.1), (-0.7, 0.3, -0.5)]
    faces = np.stack([1.3 * fitted.mean_shape @ rotation(*a).T + (0.1, -0.2, 0.3) for a in angles])
    np.testing.assert_allclose(fitted.head_pose(faces.astype(np.float32)), angles, atol=1e-3)


def test_mirror_image_turns_the_other_way(landmarks: Array) -> None:
    fitted = Teacher.fit(landmarks)
    # A symmetric face: the mean shape and its mirror image together.
    flip = np.array([-1.0, 1.0, 1.0])
    symmetric = np.concatenate((fitted.mean_shape, fitted.mean_shape * flip)).astype(np.float32)
    twice = Teacher(fitted.keypoint_weights, fitted.jacobian_weights, fitted.mean_face, symmetric)
    turned = (symmetric @ rotation(0.3, 0.2, -0.1).T).astype(np.float32)
    seen, mirrored = twice.head_pose(np.stack((turned, (turned * flip)[np.r_[478:956, 0:478]])).astype(np.float32))
    np.testing.assert_allclose(mirrored, seen * np.array([-1, 1, -1]), atol=1e-3)
