"""Quality figures on cases with a known answer."""

import numpy as np
import pytest

from benchmarks.rebuild_quality import Image, mean_quality, measure_quality, psnr_db


def square_landmarks(frames: int) -> np.ndarray:
    """Landmarks whose hull is the middle square, from -0.5 to 0.5."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-0.5, 0.5, (frames, 478, 3)).astype(np.float32)
    points[:, :4, :2] = [(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)]
    return points


def test_psnr_of_a_known_error() -> None:
    black = np.zeros((8, 8, 3), np.uint8)
    assert psnr_db(black, black) == 100.0
    assert psnr_db(black, black + np.uint8(255)) == pytest.approx(0.0)
    assert psnr_db(black, black + np.uint8(16)) == pytest.approx(20 * np.log10(255 / 16))


def test_face_and_whole_frame_are_told_apart() -> None:
    grey: Image = np.full((64, 64, 3), 100, np.uint8)
    source = grey + np.uint8(20)
    face_only = source.copy()
    face_only[:12] = 0  # outside the hull
    quality = measure_quality([(grey, grey), (source, face_only), (source, source)], square_landmarks(3))
    assert quality.face_psnr_db == 100.0
    assert quality.psnr_db < 100.0
    assert quality.static_face_psnr_db == pytest.approx(20 * np.log10(255 / 20))
    assert quality.face_gain_db == pytest.approx(100 - 20 * np.log10(255 / 20))


def test_worst_frame_is_named() -> None:
    rng = np.random.default_rng(0)
    source = rng.integers(0, 255, (64, 64, 3)).astype(np.uint8)
    frames = [(source, source)] * 3 + [(source, np.roll(source, 7, 1))] + [(source, source)]
    quality = measure_quality(frames, square_landmarks(5))
    assert quality.worst_frame == 3
    assert quality.sharpness == pytest.approx(1.0, abs=0.1)


def test_another_number_of_frames_is_refused() -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match="got 2, expected 3"):
        measure_quality([(picture, picture)] * 2, square_landmarks(3))


def test_mean_over_clips() -> None:
    rng = np.random.default_rng(0)
    source = rng.integers(0, 200, (64, 64, 3)).astype(np.uint8)
    clips = [measure_quality([(source, source), (source, source + np.uint8(n))], square_landmarks(2)) for n in (10, 20)]
    mean = mean_quality(clips)
    assert mean["psnr_db"] == pytest.approx((clips[0].psnr_db + clips[1].psnr_db) / 2)
    assert "worst_frame" not in mean
