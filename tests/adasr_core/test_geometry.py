"""Coordinates, interpolation and crops."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adasr_core.geometry import MotionParameters, SquareCrop, extract_crop, interpolate


def _parameters(seed: int, K: int = 5) -> MotionParameters:
    generator = np.random.default_rng(seed)
    return MotionParameters.create(generator.uniform(-1, 1, (K, 2)), generator.normal(size=(K, 2, 2)))


def test_create_converts_and_copies() -> None:
    keypoints = np.zeros((3, 2))
    parameters = MotionParameters.create(keypoints, np.tile(np.eye(2), (3, 1, 1)))
    keypoints[0] = 7
    assert parameters.keypoints.dtype == np.float32
    assert parameters.keypoints[0, 0] == 0
    assert parameters.count == 3


@pytest.mark.parametrize(
    ("keypoints", "jacobians", "message"),
    [
        (np.zeros((3, 3)), np.zeros((3, 2, 2)), "keypoints"),
        (np.zeros((0, 2)), np.zeros((0, 2, 2)), "keypoints"),
        (np.zeros((129, 2)), np.zeros((129, 2, 2)), "keypoints"),
        (np.zeros((3, 2)), np.zeros((4, 2, 2)), "jacobians"),
        (np.full((3, 2), np.nan), np.zeros((3, 2, 2)), "keypoints.*finite"),
        (np.zeros((3, 2)), np.full((3, 2, 2), np.inf), "jacobians.*finite"),
    ],
)
def test_create_refuses(keypoints: npt.ArrayLike, jacobians: npt.ArrayLike, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MotionParameters.create(keypoints, jacobians)


def test_vector_round_trip() -> None:
    parameters = _parameters(1)
    vector = parameters.vector()
    again = MotionParameters.from_vector(vector)
    assert vector.shape == (30,)
    assert vector[3] == parameters.keypoints[1, 1]
    assert vector[11] == parameters.jacobians[0, 0, 1]
    np.testing.assert_array_equal(again.keypoints, parameters.keypoints)
    np.testing.assert_array_equal(again.jacobians, parameters.jacobians)
    with pytest.raises(ValueError, match="vector"):
        MotionParameters.from_vector(vector[:-1])


def test_distance_is_root_mean_square() -> None:
    a = MotionParameters.create(np.zeros((2, 2)), np.zeros((2, 2, 2)))
    b = MotionParameters.create(np.array([[3.0, 4.0], [0.0, 0.0]]), np.zeros((2, 2, 2)))
    assert a.distance(b) == pytest.approx(np.sqrt(12.5))
    assert a.distance(a) == 0
    with pytest.raises(ValueError, match="keypoints"):
        a.distance(_parameters(0))


def test_interpolate_is_linear() -> None:
    a, b = _parameters(1), _parameters(2)
    np.testing.assert_array_equal(interpolate(a, b, 0).keypoints, a.keypoints)
    np.testing.assert_array_equal(interpolate(a, b, 1).jacobians, b.jacobians)
    quarter = interpolate(a, b, 0.25)
    np.testing.assert_allclose(quarter.jacobians, 0.75 * a.jacobians + 0.25 * b.jacobians, rtol=1e-6)
    beyond = interpolate(a, b, 1.5)
    np.testing.assert_allclose(beyond.keypoints, b.keypoints + 0.5 * (b.keypoints - a.keypoints), atol=1e-6)
    assert beyond.keypoints.dtype == np.float32
    for t in (2.5, float("nan")):
        with pytest.raises(ValueError, match="t:"):
            interpolate(a, b, t)


def test_clamped_bounds_every_value() -> None:
    wild = MotionParameters.create(np.array([[1e9, -1e9]]), np.array([[[1e9, -1e9], [0.5, 0.0]]]))
    tame = wild.clamped()
    assert tame.keypoints.tolist() == [[4.0, -4.0]]
    assert tame.jacobians.tolist() == [[[16.0, -16.0], [0.5, 0.0]]]


def _noise(height: int, width: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_whole_crop_of_equal_size_is_exact_and_a_copy() -> None:
    image = _noise(64, 64)
    crop = extract_crop(image, SquareCrop(32, 32, 64), 64)
    np.testing.assert_array_equal(crop, image)
    crop[:] = 0
    assert image.any()


def test_aligned_crop_is_the_slice() -> None:
    image = _noise(50, 80)
    np.testing.assert_array_equal(extract_crop(image, SquareCrop(30, 25, 20), 20), image[15:35, 20:40])


def test_border_is_replicated() -> None:
    image = _noise(20, 30)
    crop = extract_crop(image, SquareCrop(0, 0, 8), 8)
    np.testing.assert_array_equal(crop[4:, 4:], image[:4, :4])
    np.testing.assert_array_equal(crop[:4, :4], np.broadcast_to(image[0, 0], (4, 4, 3)))
    np.testing.assert_array_equal(crop[:4, 4:], np.broadcast_to(image[0, :4], (4, 4, 3)))


def test_shrinking_averages_areas() -> None:
    image = _noise(64, 64)
    expected = image.reshape(16, 4, 16, 4, 3).mean(axis=(1, 3))
    crop = extract_crop(image, SquareCrop(32, 32, 64), 16)
    assert np.abs(crop - expected).max() <= 1


def test_shrinking_never_aliases() -> None:
    image = np.zeros((96, 96, 3), dtype=np.uint8)
    image[:, ::2] = 255
    crop = extract_crop(image, SquareCrop(48.3, 47.9, 81.7), 20)
    # Bilinear sampling alone would swing between 0 and 255.
    assert np.abs(crop.astype(int) - 127).max() < 40


@pytest.mark.parametrize(("size_px", "out_px"), [(32.0, 32), (20.0, 64), (33.4, 32), (50.6, 16)])
def test_pixel_centres_follow_align_corners_false(size_px: float, out_px: int) -> None:
    # A ramp whose value at x is 2 x (pixel centres at i + 0.5), sampled away from the border.
    ramp = np.broadcast_to(((np.arange(100) + 0.5) * 2).astype(np.uint8)[None, :, None], (100, 100, 3))
    crop = SquareCrop(51.25, 49.0, size_px)
    sampled = extract_crop(np.ascontiguousarray(ramp), crop, out_px)
    x_source = crop.left_px + (np.arange(out_px) + 0.5) / out_px * size_px
    np.testing.assert_allclose(sampled[out_px // 2, :, 0], 2 * x_source, atol=1.6)
    assert abs(float(sampled[..., 0].mean()) - 2 * 51.25) < 0.8


@given(
    centre=st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
    size_px=st.floats(1, 120),
    out_px=st.integers(1, 40),
)
def test_any_crop_has_the_right_shape_and_values_of_the_image(
    centre: tuple[float, float], size_px: float, out_px: int
) -> None:
    image = np.full((30, 40, 3), (10, 20, 30), dtype=np.uint8)
    crop = extract_crop(image, SquareCrop(*centre, size_px), out_px)
    assert crop.shape == (out_px, out_px, 3)
    assert np.abs(crop.astype(int) - (10, 20, 30)).max() <= 1


def test_whole_is_the_largest_middle_square() -> None:
    assert SquareCrop.whole(_noise(20, 30)) == SquareCrop(15, 10, 20)


@pytest.mark.parametrize("values", [(0.0, 0.0, 0.5), (float("nan"), 0.0, 8.0), (0.0, float("inf"), 8.0)])
def test_crop_refuses(values: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="crop"):
        SquareCrop(*values)


def test_extract_crop_refuses() -> None:
    image = _noise(20, 20)
    with pytest.raises(ValueError, match="image"):
        extract_crop(image[..., 0], SquareCrop(10, 10, 8), 8)
    with pytest.raises(ValueError, match="out_px"):
        extract_crop(image, SquareCrop(10, 10, 8), 0)
    with pytest.raises(ValueError, match="at most 4"):
        extract_crop(image, SquareCrop(10, 10, 81), 8)
