"""The tracker with the shipped detector on a real face."""

from __future__ import annotations

import math
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from adasr_core.engines import Detection, FaceModel
from adasr_core.geometry import FACE_KEYPOINTS, SquareCrop
from sender.crop_steering import SteeringConfig
from sender.face_search import SearchConfig, face_confidence
from sender.tracker import CropMode, FaceTracker, TrackedFace, TrackerConfig
from tests.real_model import (
    FACE_HEIGHT_PX,
    FACE_X_PX,
    FACE_Y_PX,
    Image,
    camera_frame,
    edge_model,
    empty_room,
    portrait,
)


class CountedDetections:
    """Counts how often a model's detector runs."""

    def __init__(self, model: FaceModel, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        detect = model.detect

        def counted(image: Image) -> Detection:
            self.count += 1
            return detect(image)

        monkeypatch.setattr(model, "detect", counted)

    def take(self) -> int:
        """The count since the last call."""
        count, self.count = self.count, 0
        return count


@pytest.fixture
def detections(monkeypatch: pytest.MonkeyPatch) -> CountedDetections:
    return CountedDetections(edge_model(), monkeypatch)


def track(tracker: FaceTracker, images: list[Image], start: float = 0.0) -> list[TrackedFace | None]:
    return [tracker.locate(image, start + number / 30) for number, image in enumerate(images)]


def face_centre(face: TrackedFace) -> tuple[float, float]:
    """Centre of the face keypoints in the source image, pixels."""
    x, y = face.detection.parameters.keypoints[:FACE_KEYPOINTS].mean(axis=0)
    half = face.crop.size_px / 2
    return face.crop.centre_x_px + float(x) * half, face.crop.centre_y_px + float(y) * half


def test_the_face_of_a_portrait_is_found_within_a_few_frames() -> None:
    found = [face for face in track(FaceTracker(edge_model()), [portrait()] * 10) if face is not None]
    face = found[0]
    assert [face.found_anew for face in found] == [True] + [False] * (len(found) - 1)
    x, y = face_centre(face)
    assert math.hypot(x - FACE_X_PX, y - FACE_Y_PX) < 0.25 * FACE_HEIGHT_PX
    assert 1.3 * FACE_HEIGHT_PX < face.crop.size_px < 3 * FACE_HEIGHT_PX
    assert face.picture.shape == (512, 512, 3)
    assert face.confidence >= 0.25


@pytest.mark.parametrize(
    ("x", "y", "height"), [(640, 300, 300), (300, 250, 200), (1000, 400, 160), (900, 250, 240), (500, 350, 420)]
)
def test_a_face_anywhere_in_a_camera_frame_is_found_within_a_second(
    x: float, y: float, height: float, detections: CountedDetections
) -> None:
    tracker = FaceTracker(edge_model())
    image = camera_frame(x, y, height)
    for frame in range(30):
        face = tracker.locate(image, frame / 30)
        assert detections.take() <= 6, "bounded work a frame"
        if face is not None:
            break
    assert face is not None
    found = face_centre(face)
    assert math.hypot(found[0] - x, found[1] - y) < 0.3 * height
    assert 1.2 * height < face.crop.size_px < 3 * height


def test_an_offline_search_takes_one_frame() -> None:
    tracker = FaceTracker(edge_model(), TrackerConfig(search_detections=None))
    assert tracker.locate(camera_frame(1000, 400, 160), 0.0) is not None


@pytest.mark.parametrize("picture", [empty_room(640, 480), portrait()[300:, :]])
def test_nothing_is_found_where_no_face_is(picture: Image) -> None:
    tracker = FaceTracker(edge_model(), TrackerConfig(search_detections=None))
    assert tracker.locate(picture, 0.0) is None
    assert tracker.searching


def test_the_detector_is_sure_that_noise_and_grey_are_no_faces() -> None:
    noise = np.random.default_rng(4).integers(0, 256, (256, 256, 3), np.uint8)
    for picture in (noise, np.full((256, 256, 3), 128, np.uint8)):
        assert face_confidence(edge_model().detect(picture)) < SearchConfig().hint_confidence


def test_the_crop_of_a_still_face_with_camera_noise_does_not_move_at_all(detections: CountedDetections) -> None:
    tracker = FaceTracker(edge_model())
    generator = np.random.default_rng(5)
    image = camera_frame(640, 320, 260).astype(np.float32)
    images = [np.clip(image + generator.normal(0, 6, image.shape), 0, 255).round().astype(np.uint8) for _ in range(40)]
    faces = [face for face in track(tracker, images) if face is not None]
    assert len(faces) >= 38
    assert len({face.crop for face in faces}) == 1
    points = np.stack([face.detection.parameters.keypoints[:FACE_KEYPOINTS] for face in faces])
    assert points.std(axis=0).mean() < 2 / 512 * 1.5, "the keypoints themselves are steady to about a pixel"


def test_one_detection_a_frame_while_the_face_is_followed(detections: CountedDetections) -> None:
    tracker = FaceTracker(edge_model())
    image = camera_frame(640, 320, 260)
    tracker.locate(image, 0.0)
    detections.take()
    for frame in range(1, 10):
        assert tracker.locate(image, frame / 30) is not None
        assert detections.take() == 1


def test_a_face_that_walks_across_the_frame_is_followed_without_jitter() -> None:
    tracker = FaceTracker(edge_model())
    faces = track(tracker, [camera_frame(350 + 6 * max(0, n - 10), 320, 220) for n in range(90)])
    seen = [face for face in faces[1:] if face is not None]
    assert len(seen) == 89
    x = np.array([face.crop.centre_x_px for face in seen])
    assert abs(x[-1] - x[0]) > 300
    assert np.diff(x).min() > -2, "it does not swing back"
    assert np.abs(np.diff(np.diff(x))).max() < 10
    for face in seen:
        inside = np.abs(face.detection.parameters.keypoints[:FACE_KEYPOINTS]).max()
        assert inside < 1, "the face never leaves its crop"


def test_a_face_that_leaves_is_lost_soon_and_found_again_at_once_where_it_was(detections: CountedDetections) -> None:
    tracker = FaceTracker(edge_model())
    with_face, without = camera_frame(700, 320, 240), empty_room()
    before = [face for face in track(tracker, [with_face] * 5) if face is not None]
    assert track(tracker, [without] * 20, start=1.0) == [None] * 20
    assert tracker.searching
    assert tracker.crop == before[-1].crop
    detections.take()
    back = tracker.locate(with_face, 2.0)
    assert back is not None
    assert back.crop == before[-1].crop, "the same place keeps the same crop, so old references still fit"
    assert not back.found_anew
    assert detections.take() <= 6


def test_a_face_that_comes_back_elsewhere_is_found_anew() -> None:
    tracker = FaceTracker(edge_model())
    track(tracker, [camera_frame(350, 320, 220)] * 5)
    track(tracker, [empty_room()] * 8, start=1.0)
    faces = track(tracker, [camera_frame(950, 320, 220)] * 30, start=2.0)
    found = next(face for face in faces if face is not None)
    assert found.found_anew
    assert abs(face_centre(found)[0] - 950) < 80
    assert faces[-1] is not None


def test_full_mode_takes_the_whole_square_as_it_is() -> None:
    tracker = FaceTracker(edge_model(), TrackerConfig(mode=CropMode.FULL))
    image = np.ascontiguousarray(portrait()[0:280, 84:364])
    face = tracker.locate(image, 0.0)
    assert face is not None
    assert face.crop == SquareCrop(140, 140, 280)
    same = FaceTracker(edge_model(), TrackerConfig(mode=CropMode.FULL, kept_confidence=0.01)).locate(portrait(), 0.0)
    assert same is None or np.array_equal(same.picture, portrait())


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4, 3), np.uint8), np.zeros((64, 64), np.uint8), np.zeros((64, 64, 3), np.float32)]
)
def test_other_arrays_are_refused(image: Image) -> None:
    with pytest.raises(ValueError, match="image: got"):
        FaceTracker(edge_model()).locate(image, 0.0)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="kept_confidence"):
        TrackerConfig(kept_confidence=0.9)
    with pytest.raises(ValueError, match="lost_after_frames"):
        TrackerConfig(lost_after_frames=0)
    with pytest.raises(ValueError, match="search_detections"):
        TrackerConfig(search_detections=0)
    assert TrackerConfig(steering=SteeringConfig(), search=SearchConfig()).mode is CropMode.FACE


def test_the_sample_clip_is_tracked_from_the_first_to_the_last_frame_with_a_still_crop() -> None:
    sample = Path(str(files("adasr") / "sample" / "portrait.mp4"))
    tracker = FaceTracker(edge_model())
    crops = []
    with av.open(str(sample)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            face = tracker.locate(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8), number / 25)
            if face is not None:
                crops.append(face.crop)
    assert number - len(crops) < 10, "only the search takes a few frames"
    moved = sum(a != b for a, b in pairwise(crops))
    assert moved < 0.25 * len(crops)
