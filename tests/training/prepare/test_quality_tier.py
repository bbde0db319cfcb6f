"""The rule of the tiers, and that sharpness orders pictures by blur."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.training.prepare.face_videos import Picture
from training.prepare.quality_tier import sharpness, tier


@pytest.mark.parametrize(
    ("size_px", "crop_px", "face_px", "sharp", "rate", "expected"),
    [
        (512, 512, 200, 0.48, 20.0, "A"),
        (512, 700, 260, 0.55, None, "A"),
        (512, 511, 260, 0.55, 25.0, "B"),
        (512, 700, 199, 0.55, 25.0, "B"),
        (512, 700, 260, 0.47, 25.0, "B"),
        (512, 700, 260, 0.55, 15.0, "B"),
        (512, 700, 260, 0.41, 25.0, "C"),
        (512, 700, 260, 0.55, 10.0, "C"),
        (256, 700, 140, 0.55, 25.0, "C"),
    ],
)
def test_the_rule(
    size_px: int, crop_px: float, face_px: float, sharp: float, rate: float | None, expected: str
) -> None:
    got = tier(size_px=size_px, crop_px=crop_px, face_px=face_px, sharpness=sharp, frame_rate=rate)
    assert got == expected


def test_blur_lowers_sharpness_whatever_the_contrast() -> None:
    generator = np.random.default_rng(0)
    noise = generator.normal(size=(256, 256, 3)).astype(np.float32)
    landmarks = np.zeros((478, 3), np.float32)
    landmarks[0, :2], landmarks[1, :2] = -0.5, 0.5

    def measure(blur_px: float, contrast: float) -> float:
        soft = cv2.GaussianBlur(noise, (0, 0), blur_px)
        picture: Picture = np.clip(128 + contrast * soft / soft.std(), 0, 255).astype(np.uint8)
        return sharpness(picture, landmarks)

    values = [measure(blur_px, 30) for blur_px in (0.5, 1.0, 1.5, 2.5)]
    assert values == sorted(values, reverse=True)
    assert values[0] - values[-1] > 0.3
    assert measure(1.0, 15) == pytest.approx(values[1], abs=0.02)
