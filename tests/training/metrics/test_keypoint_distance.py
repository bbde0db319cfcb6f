"""AKD on landmarks whose distance is known, and the 68 points on a real face."""

import numpy as np
import pytest
from skimage import data

from training.face_mesh import FaceMesh
from training.metrics import DLIB_68, KeypointDistance


def test_a_shift_of_three_and_four_pixels_is_a_distance_of_five() -> None:
    rng = np.random.default_rng(0)
    source = rng.uniform(-0.5, 0.5, (478, 3)).astype(np.float32)
    moved = source + np.array([3, -4, 7], np.float32) * np.float32(2 / 512)
    distance = KeypointDistance(512)
    assert distance.add(source, moved) == pytest.approx(5.0, abs=1e-3)
    assert distance.add(source, source) == 0.0
    assert distance.akd_px == pytest.approx(2.5, abs=1e-3)
    # Mean of |x| and |y| over two frames: (3 + 4) / 2 / 2.
    assert distance.akd68_l1_px == pytest.approx(1.75, abs=1e-3)


def test_only_the_68_points_count_for_the_68_points() -> None:
    source = np.zeros((478, 3), np.float32)
    moved = source.copy()
    moved[sorted(set(range(478)) - set(DLIB_68)), 0] = 1.0
    distance = KeypointDistance(512)
    distance.add(source, moved)
    assert distance.akd68_l1_px == 0.0
    assert distance.akd_px is not None
    assert distance.akd_px > 100


def test_frames_without_a_face_are_counted_apart() -> None:
    points = np.zeros((478, 3), np.float32)
    distance = KeypointDistance(512)
    assert distance.add(None, points) is None
    assert distance.add(points, None) is None
    distance.add(points, points)
    assert (distance.missing, distance.akd_px) == (2, 0.0)
    assert KeypointDistance(512).akd_px is None


def test_other_landmarks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"rebuilt: got shape \(68, 2\)"):
        KeypointDistance(512).add(np.zeros((478, 3), np.float32), np.zeros((68, 2), np.float32))


def test_the_68_points_lie_where_dlib_numbers_them() -> None:
    pytest.importorskip("mediapipe", reason="MediaPipe is not installed")
    assert len(set(DLIB_68)) == 68
    with FaceMesh(static_image_mode=True) as mesh:
        face = mesh.landmarks(np.ascontiguousarray(data.astronaut()))
    assert face is not None
    x, y = face[list(DLIB_68), :2].T
    # The contour runs from the left of the picture down to the chin, its lowest point, and up to the right.
    assert y[:17].argmax() == 8
    assert (np.diff(x[2:15]) > 0).all()
    # Brows above eyes above nose tip above mouth; the mouth's corners are its ends.
    assert y[17:27].max() < y[36:48].min()
    assert y[36:48].max() < y[33] < y[48:68].min()
    assert (x[48], x[54]) == (x[48:68].min(), x[48:68].max())
    # Upper lids lie above lower lids, the outer lips around the inner ones.
    assert max(y[[37, 38, 43, 44]]) < min(y[[40, 41, 46, 47]])
    assert y[51] < y[62] < y[66] < y[57]
