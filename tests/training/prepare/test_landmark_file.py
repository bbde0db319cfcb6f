"""The landmark file: what is written is what `load_landmarks` reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from adasr_core.landmarks import load_landmarks
from training.prepare.landmark_file import quantize_landmarks, save_landmarks


@pytest.mark.parametrize("size_px", [256, 512])
def test_round_trip_is_exact_to_an_eighth_of_a_pixel_after_many_frames(tmp_path: Path, size_px: int) -> None:
    generator = np.random.default_rng(0)
    walk = np.cumsum(generator.normal(scale=0.003, size=(400, 478, 3)), axis=0)
    landmarks = (generator.uniform(-0.8, 0.8, (1, 478, 3)) + walk).astype(np.float32)
    save_landmarks(tmp_path / "clip.npz", landmarks, size_px)
    read = load_landmarks(tmp_path / "clip.npz", size_px)
    assert np.abs(read - landmarks).max() * size_px / 2 <= 0.125 + 1e-3


def test_the_stored_numbers_are_quarter_pixels_and_differences() -> None:
    landmarks = np.zeros((3, 478, 3), np.float32)
    landmarks[:, 0] = [(-1.0, 1.0, -0.5), (0.0, 1.0, -0.5), (0.5, 0.0, 0.5)]
    deltas = quantize_landmarks(landmarks, 512)
    assert deltas.dtype == np.int16
    assert deltas[:, 0].tolist() == [[0, 2048, -512], [1024, 0, 0], [512, -1024, 1024]]
    assert deltas[:, 1].tolist() == [[1024, 1024, 0], [0, 0, 0], [0, 0, 0]]


def test_positions_that_int16_cannot_hold_are_refused() -> None:
    landmarks = np.zeros((1, 478, 3), np.float32)
    landmarks[0, 5, 0] = 40.0
    with pytest.raises(ValueError, match="too far outside"):
        quantize_landmarks(landmarks, 512)
    with pytest.raises(ValueError, match=r"got shape \(0, 478, 3\)"):
        quantize_landmarks(np.zeros((0, 478, 3), np.float32), 512)
