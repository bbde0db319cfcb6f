"""Analysis by synthesis: keypoints follow what the rebuild shows."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from skimage.data import astronaut

from adasr_core.geometry import FACE_KEYPOINTS, MotionParameters
from sender.motion_correction import (
    COMPARED_PX,
    MAX_TEXTURE,
    TEXTURE_FLOOR,
    MotionCorrector,
    Rebuild,
    shift_keypoints,
    texture_of,
)

Image = npt.NDArray[np.uint8]
K = 40


def parameters_at(points: npt.NDArray[np.float32]) -> MotionParameters:
    return MotionParameters.create(points, np.tile(np.eye(2, dtype=np.float32), (K, 1, 1)))


def shifted(picture: Image, x: float, y: float) -> Image:
    """The picture with its content moved by (x, y) pixels."""
    size = (picture.shape[1], picture.shape[0])
    return np.asarray(
        cv2.warpAffine(picture, np.array([[1, 0, x], [0, 1, y]], np.float32), size, borderMode=cv2.BORDER_REFLECT),
        np.uint8,
    )


@pytest.fixture
def grid_points() -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(2)
    return rng.uniform(-0.6, 0.6, (K, 2)).astype(np.float32)


def test_displacement_is_measured_in_crop_units() -> None:
    source: Image = astronaut()
    flow = MotionCorrector().displacement(source, shifted(source, 6.0, -4.0))
    middle = flow[64:192, 64:192].reshape(-1, 2)
    assert np.median(middle, axis=0) == pytest.approx([6 * 2 / 512, -4 * 2 / 512], abs=0.004)


def test_keypoints_move_against_the_displacement_and_textureless_ones_hardly(
    grid_points: npt.NDArray[np.float32],
) -> None:
    flow = np.broadcast_to(np.array([0.02, -0.01], np.float32), (COMPARED_PX, COMPARED_PX, 2)).copy()
    sharp = np.full((COMPARED_PX, COMPARED_PX), MAX_TEXTURE, np.float32)
    start = parameters_at(grid_points)
    moved = shift_keypoints(start, flow, sharp, 0.05)
    # 3600 of 3600 + 600: six sevenths of the way.
    np.testing.assert_allclose(moved.keypoints - grid_points, np.tile([-0.12 / 7, 0.06 / 7], (K, 1)), atol=1e-5)
    np.testing.assert_array_equal(moved.jacobians, start.jacobians)
    held = shift_keypoints(start, flow, np.full_like(sharp, TEXTURE_FLOOR), 0.05)
    assert np.abs(held.keypoints - grid_points).max() < 0.02 * 0.05


def test_only_the_surroundings_count(grid_points: npt.NDArray[np.float32]) -> None:
    flow = np.zeros((COMPARED_PX, COMPARED_PX, 2), np.float32)
    flow[:, COMPARED_PX // 2 :] = 0.03
    texture = np.full((COMPARED_PX, COMPARED_PX), MAX_TEXTURE, np.float32)
    moved = shift_keypoints(parameters_at(grid_points), flow, texture, 0.03).keypoints - grid_points
    face = grid_points[:FACE_KEYPOINTS, 0]
    assert np.abs(moved[:FACE_KEYPOINTS][face < -0.15]).max() < 1e-4
    assert moved[:FACE_KEYPOINTS][face > 0.15].max() < -0.02


def test_texture_is_bounded_and_sees_edges() -> None:
    picture = np.zeros((512, 512, 3), np.uint8)
    picture[:, 256:] = 255
    texture = texture_of(picture)
    assert texture.shape == (COMPARED_PX, COMPARED_PX)
    assert texture[:, 127:129].min() == MAX_TEXTURE + TEXTURE_FLOOR
    assert texture[:, :100].max() == TEXTURE_FLOOR


def test_a_shifted_rebuild_is_brought_back(grid_points: npt.NDArray[np.float32]) -> None:
    """A receiver that moves the whole picture with the mean keypoint: the correction must find the true place."""
    source: Image = astronaut()
    wrong = grid_points + np.array([8, 5], np.float32) * np.float32(2 / 512)

    def rebuild(parameters: MotionParameters) -> tuple[Image, float]:
        x, y = (parameters.keypoints - grid_points).mean(axis=0) * 256
        made = shifted(source, float(x), float(y))
        return made, -float(np.mean((made.astype(np.float32) - source) ** 2))

    def tried(parameters: MotionParameters) -> Rebuild:
        return Rebuild(parameters, *rebuild(parameters))

    first = tried(parameters_at(wrong))
    best = MotionCorrector().correct(source, first, tried)
    left_px = np.abs((best.parameters.keypoints - grid_points).mean(axis=0)) * 256
    assert best.score_db > first.score_db
    assert left_px.max() < 2.0


def test_the_first_rebuild_stays_when_nothing_is_better(grid_points: npt.NDArray[np.float32]) -> None:
    source: Image = astronaut()
    calls = []

    def worse(parameters: MotionParameters) -> Rebuild:
        calls.append(parameters)
        return Rebuild(parameters, source, 10.0)

    first = Rebuild(parameters_at(grid_points), source, 30.0)
    assert MotionCorrector().correct(source, first, worse) is first
    assert len(calls) == 2
    assert MotionCorrector(()).correct(source, first, worse) is first
