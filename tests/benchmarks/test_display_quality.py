"""Figures over a full-rate display on cases with a known answer."""

import numpy as np
import pytest

from benchmarks.display_quality import DisplayQuality, mean_display_quality, measure_display
from benchmarks.rebuild_quality import Image, psnr_db
from benchmarks.structural_similarity import ssim
from benchmarks.video_codecs import held_pictures
from tests.real_model import head_shot


def square_landmarks(frames: int) -> np.ndarray:
    """Landmarks whose hull is the middle square, from -0.5 to 0.5."""
    corners = np.array([(-0.5, -0.5, 0), (0.5, -0.5, 0), (0.5, 0.5, 0), (-0.5, 0.5, 0)], np.float32)
    return np.broadcast_to(corners, (frames, 4, 3))


def grey(level: int) -> Image:
    return np.full((64, 64, 3), level, np.uint8)


def test_ssim_is_the_one_of_the_training_metrics() -> None:
    from training.metrics.similarity import ssim as published

    source = head_shot()
    for other in (source, head_shot(2, 3, 1), np.asarray(source // 2, np.uint8), np.roll(source, 9, 1)):
        assert ssim(source, other) == pytest.approx(published(source, other), abs=1e-4)


def test_ssim_refuses_what_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="rebuilt: got shape"):
        ssim(grey(1), grey(1)[:32])
    with pytest.raises(ValueError, match="source: got float64"):
        ssim(grey(1).astype(np.float64), grey(1))


def test_every_source_frame_counts_and_held_pictures_are_what_they_are() -> None:
    sources = [grey(100), grey(110), grey(120), grey(130)]
    shown = [sources[0], sources[0], sources[2], sources[2]]  # half the frame rate, held
    quality = measure_display(zip(sources, shown, strict=True), square_landmarks(4))
    off_by_ten = 20 * np.log10(255 / 10)
    assert quality.psnr_db == pytest.approx((100 + off_by_ten + 100 + off_by_ten) / 4)
    assert quality.face_psnr_db == pytest.approx(quality.psnr_db)


def test_face_and_whole_frame_are_told_apart() -> None:
    source = grey(100)
    shown = source.copy()
    shown[:12] = 0  # outside the hull
    quality = measure_display([(source, shown)], square_landmarks(1))
    assert quality.face_psnr_db == 100.0
    assert quality.psnr_db == pytest.approx(psnr_db(source, shown))


def test_ssim_is_taken_at_its_stride() -> None:
    rng = np.random.default_rng(0)
    source = rng.integers(0, 255, (64, 64, 3)).astype(np.uint8)
    pairs = [(source, source)] + [(source, grey(0))] * 6 + [(source, source)]
    assert measure_display(pairs, square_landmarks(8), ssim_stride=7).ssim == pytest.approx(1.0)
    assert measure_display(pairs, square_landmarks(8), ssim_stride=1).ssim < 0.5


def test_another_number_of_frames_is_refused() -> None:
    with pytest.raises(ValueError, match="got 2, expected 3"):
        measure_display([(grey(1), grey(1))] * 2, square_landmarks(3))
    with pytest.raises(ValueError, match="got 3, expected 2"):
        measure_display([(grey(1), grey(1))] * 3, square_landmarks(2))


def test_mean_over_clips() -> None:
    mean = mean_display_quality([DisplayQuality(20, 22, 0.8, 0.5), DisplayQuality(30, 24, 0.9, 0.7)])
    assert mean.to_json() == pytest.approx({"psnr_db": 25, "face_psnr_db": 23, "ssim": 0.85, "sharpness": 0.6})
    with pytest.raises(ValueError, match="got none"):
        mean_display_quality([])


def test_pictures_are_held_until_the_next() -> None:
    pictures = [grey(level) for level in (0, 1, 2)]
    held = [int(picture[0, 0, 0]) for picture in held_pictures(pictures, 3, 8)]
    assert held == [0, 0, 0, 1, 1, 1, 2, 2]
    with pytest.raises(ValueError, match="got 3 pictures, expected 4 for 8 frames"):
        held_pictures(pictures, 2, 8)
