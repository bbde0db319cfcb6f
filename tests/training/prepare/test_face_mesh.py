"""MediaPipe's face mesh behind our coordinates."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from tests.training.prepare.face_videos import portrait_pictures
from training.face_mesh import FaceMesh
from training.mediapipe_runtime import MediaPipeMissingError

pytest.importorskip("mediapipe")
pytestmark = pytest.mark.filterwarnings("ignore:label\\(\\) is deprecated:DeprecationWarning")


def test_landmarks_lie_on_the_face_and_nothing_is_logged(capfd: pytest.CaptureFixture[str]) -> None:
    with FaceMesh() as mesh:
        landmarks = mesh.landmarks(portrait_pictures()[0])
    assert landmarks is not None
    assert landmarks.shape == (478, 3)
    assert landmarks.dtype == np.float32
    right_iris, left_iris, chin = landmarks[468], landmarks[473], landmarks[152]
    # The subject's right is on the picture's left; y goes down; the nose tip is nearer to the camera than the cheek.
    assert right_iris[0] < -0.05 < 0.05 < left_iris[0]
    assert max(right_iris[1], left_iris[1]) < 0.1 < 0.4 < chin[1]
    assert landmarks[1, 2] < landmarks[234, 2]
    assert capfd.readouterr().err == ""


def test_moving_the_picture_moves_the_landmarks_by_as_many_pixels() -> None:
    picture = portrait_pictures()[0]
    moved = np.roll(picture, (24, 40), axis=(0, 1))
    with FaceMesh(static_image_mode=True) as mesh:
        before, after = mesh.landmarks(picture), mesh.landmarks(moved)
    assert before is not None
    assert after is not None
    shift_px = (after - before)[:, :2].mean(axis=0) * 256
    np.testing.assert_allclose(shift_px, (40, 24), atol=1.5)


def test_no_face_is_none_and_two_faces_are_two() -> None:
    portrait = portrait_pictures()[0]
    with FaceMesh(static_image_mode=True, max_faces=2) as mesh:
        assert mesh.landmarks(np.full((128, 128, 3), 128, np.uint8)) is None
        assert len(mesh.faces(np.concatenate((portrait, portrait[:, ::-1]), axis=1))) == 2


def test_wrong_pictures_and_a_closed_mesh_are_refused() -> None:
    mesh = FaceMesh()
    with pytest.raises(ValueError, match=r"expected uint8 \[H, W, 3\] RGB"):
        mesh.landmarks(np.zeros((8, 8), np.uint8))
    mesh.close()
    mesh.close()
    with pytest.raises(ValueError, match="closed"):
        mesh.landmarks(portrait_pictures()[0])
    with pytest.raises(ValueError, match="max_faces: got 0"):
        FaceMesh(max_faces=0)


def test_without_mediapipe_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "mediapipe"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(MediaPipeMissingError, match=r"--no-deps mediapipe==0\.10\.21"):
        FaceMesh()
