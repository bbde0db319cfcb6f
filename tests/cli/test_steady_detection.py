"""The mean over shifted copies is a detection of the same face, and trembles less."""

import numpy as np

from adasr.steady_detection import SHIFTS_PX, detect_steadily
from adasr.video_file import SourceFrame
from adasr_core.geometry import FACE_KEYPOINTS, SquareCrop, extract_crop
from tests.cli.clip_builders import Picture
from tests.real_model import edge_model


def plain(picture: Picture) -> np.ndarray:
    return edge_model().detect(extract_crop(picture, SquareCrop.whole(picture), 256)).parameters.keypoints


def steady(picture: Picture) -> np.ndarray:
    first = edge_model().detect(extract_crop(picture, SquareCrop.whole(picture), 256)).parameters
    return detect_steadily(edge_model(), picture, first).keypoints


def test_shifts_cancel() -> None:
    assert np.sum(SHIFTS_PX, axis=0).tolist() == [0, 0]


def test_mean_stays_on_the_face(portrait_frames: list[SourceFrame]) -> None:
    picture = portrait_frames[0].image
    # A pixel of 256: the copies are moved back to where they came from.
    assert np.abs(steady(picture) - plain(picture))[:FACE_KEYPOINTS].mean() < 2 / 256


def test_mean_trembles_less(portrait_frames: list[SourceFrame]) -> None:
    """The same picture, moved by a few pixels: keypoints must move by exactly as much."""
    picture = portrait_frames[0].image
    error = {}
    for detect in (plain, steady):
        start = detect(picture)[:FACE_KEYPOINTS]
        moved = [
            detect(np.roll(picture, (dy, dx), (0, 1)))[:FACE_KEYPOINTS] - start - np.array((dx, dy)) * 2 / 512
            for dx, dy in ((1, 0), (3, -1), (0, 5), (-7, 3), (-4, -4))
        ]
        error[detect] = float(np.sqrt(np.mean(np.square(moved))))
    assert error[steady] < 0.8 * error[plain]
