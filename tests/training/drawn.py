"""Drawn frames for tests: sharp pictures, and soft and noisy ones that the receiver might have drawn them from."""

from pathlib import Path

import cv2
import numpy as np

from training.drawn_frames import DrawnFrame, DrawnFrames, DrawnFramesWriter, Image

SIDE = 128


def soft(picture: Image, rng: np.random.Generator) -> Image:
    blurred = np.asarray(cv2.GaussianBlur(picture, (0, 0), 1.2), np.int16)
    return np.asarray(np.clip(blurred + rng.integers(-3, 4, blurred.shape), 0, 255), np.uint8)


def drawn_frame(seed: int, weight: float) -> DrawnFrame:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(30, 220, (16, 16, 3), dtype=np.uint8)
    truth = np.asarray(cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST), np.uint8)
    earlier = soft(truth, rng)
    return DrawnFrame(earlier, earlier if weight == 0 else soft(truth, rng), truth, weight)


def drawn_frames(folder: Path, *, count: int = 6) -> DrawnFrames:
    writer = DrawnFramesWriter(folder, frames=count, size_px=SIDE)
    writer.add([drawn_frame(seed, (0.0, 0.3, 0.6)[seed % 3]) for seed in range(count)], clip=0, crf=60.0)
    writer.close()
    return DrawnFrames.open(folder)
