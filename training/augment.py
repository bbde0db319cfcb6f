"""Augmentation for the detector: seeded geometry, light, blur, hidden parts, pictures without a face."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from training.teacher import LANDMARK_GROUPS

Array = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]


def mirrored_order() -> tuple[int, ...]:
    """Position in which each face keypoint finds itself after a horizontal flip (right becomes left)."""
    names = list(LANDMARK_GROUPS)
    swap = {"right": "left", "left": "right"}
    order = []
    for name in names:
        side, _, rest = name.partition("_")
        order.append(names.index(f"{swap[side]}_{rest}") if side in swap else names.index(name))
    return tuple(order)


MIRRORED = mirrored_order()


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentConfig:
    """How far the augmentation goes."""

    scale: tuple[float, float] = (0.55, 1.4)
    """Zoom of the face, log-uniform."""
    rotation_deg: float = 20.0
    """Standard deviation of the rotation in the picture's plane."""
    shift: float = 0.2
    """Largest shift, in [-1, 1] units."""
    flip: float = 0.5
    """Probability of a mirror image."""
    hide: float = 0.25
    """Probability that a rectangle is painted over."""
    negative: float = 0.1
    """Probability of a picture without a face."""


def random_affine(rng: np.random.Generator, config: AugmentConfig) -> Array:
    """A random similarity with slight shear: float32 [2, 3], from old to new [-1, 1] coordinates."""
    zoom = float(np.exp(rng.uniform(*np.log(config.scale))))
    angle = np.deg2rad(rng.normal(0, config.rotation_deg) * (rng.random() < 0.7))
    shear, stretch = rng.normal(0, 0.04), np.exp(rng.normal(0, 0.05))
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = zoom * rotation @ np.array([[stretch, shear], [0.0, 1.0 / stretch]])
    return np.concatenate((linear, rng.uniform(-config.shift, config.shift, (2, 1))), axis=1).astype(np.float32)


def warp_image(image: Image, affine: Array, out_px: int, border: int = cv2.BORDER_REPLICATE) -> Image:
    """Apply `affine` ([-1, 1] coordinates, old to new) to a square image; area-averaged first when it shrinks a lot."""
    size = image.shape[0]
    zoom = float(np.sqrt(abs(np.linalg.det(affine[:, :2]))) * out_px / size)
    if zoom < 0.75:
        reduced = max(8, round(size * zoom * 1.2))
        image = cv2.resize(image, (reduced, reduced), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        size = reduced
    # pixel = (coordinate + 1) * S / 2 - 0.5
    to_coordinates = np.array([[2 / size, 0, 1 / size - 1], [0, 2 / size, 1 / size - 1], [0, 0, 1]])
    to_pixels = np.array([[out_px / 2, 0, out_px / 2 - 0.5], [0, out_px / 2, out_px / 2 - 0.5], [0, 0, 1]])
    matrix = (to_pixels @ np.vstack((affine, [0, 0, 1])) @ to_coordinates)[:2]
    return cv2.warpAffine(image, matrix, (out_px, out_px), flags=cv2.INTER_LINEAR, borderMode=border)  # type: ignore[return-value]


NOISE = np.random.default_rng(7).standard_normal((768, 768, 3), dtype=np.float32)


def photometric(image: Image, rng: np.random.Generator) -> Image:
    """Light, colour, blur, noise and compression as webcams and bad lines have them."""
    levels = (np.arange(256, dtype=np.float32)[:, None] / 255) ** np.exp(rng.normal(0, 0.25))
    levels = (levels - 0.5) * np.exp(rng.normal(0, 0.2)) + 0.5 + rng.normal(0, 0.08)
    levels = np.clip(levels * np.exp(rng.normal(0, 0.08, 3)) * 255 + 0.5, 0, 255).astype(np.uint8)
    x: Image = cv2.LUT(image, levels[None])  # type: ignore[assignment]
    size = x.shape[0]
    if rng.random() < 0.1:
        x = cv2.cvtColor(cv2.cvtColor(x, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)  # type: ignore[assignment]
    if rng.random() < 0.25:
        x = cv2.GaussianBlur(x, (0, 0), float(rng.uniform(0.4, 2.0)))  # type: ignore[assignment]
    if rng.random() < 0.2:
        small = int(size * rng.uniform(0.3, 0.8))
        x = cv2.resize(cv2.resize(x, (small, small), interpolation=cv2.INTER_AREA), (size, size))  # type: ignore[assignment]
    if rng.random() < 0.4:
        row, column = rng.integers(0, NOISE.shape[0] - size, 2)
        noise = NOISE[row : row + size, column : column + size]
        x = cv2.addWeighted(x, 1.0, noise, float(rng.uniform(1, 15)), 0.0, dtype=cv2.CV_8U)  # type: ignore[assignment]
    if rng.random() < 0.2:
        _, data = cv2.imencode(".jpg", x, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 90))])
        x = cv2.imdecode(data, cv2.IMREAD_COLOR)  # type: ignore[assignment]
    return x


def hide_part(image: Image, rng: np.random.Generator) -> None:
    """Paint a rectangle over, in place, with one colour or a piece of the same picture."""
    size = image.shape[0]
    h, w = rng.integers(size // 12, size // 3, 2)
    y, x = rng.integers(0, size - h), rng.integers(0, size - w)
    if rng.random() < 0.5:
        image[y : y + h, x : x + w] = rng.integers(0, 256, 3)
    else:
        sy, sx = rng.integers(0, size - h), rng.integers(0, size - w)
        image[y : y + h, x : x + w] = image[sy : sy + h, sx : sx + w].copy()


def without_face(image: Image, keypoints: Array, rng: np.random.Generator) -> Image:
    """A picture without a face, made from one with: a piece beside the face, the face shuffled away, or noise."""
    size = image.shape[0]
    low = ((keypoints.min(axis=0) + 1) * size / 2 - size * 0.06).astype(int)
    high = ((keypoints.max(axis=0) + 1) * size / 2 + size * 0.06).astype(int)
    choice = rng.random()
    rooms = [r for r in (low[0], size - high[0], low[1], size - high[1]) if r > size // 6]
    if choice < 0.4 and rooms:
        sides = [(0, 0, low[0], size), (high[0], 0, size, size), (0, 0, size, low[1]), (0, high[1], size, size)]
        x0, y0, x1, y1 = [s for s in sides if min(s[2] - s[0], s[3] - s[1]) > size // 6][rng.integers(len(rooms))]
        edge = int(min(x1 - x0, y1 - y0))
        x, y = rng.integers(x0, x1 - edge + 1), rng.integers(y0, y1 - edge + 1)
        piece = image[y : y + edge, x : x + edge]
        return cv2.resize(piece, (size, size), interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]
    if choice < 0.9:
        block = size // 8
        tiles = image.reshape(8, block, 8, block, 3).transpose(0, 2, 1, 3, 4).reshape(64, block, block, 3)
        tiles = tiles[rng.permutation(64)]
        return np.ascontiguousarray(tiles.reshape(8, 8, block, block, 3).transpose(0, 2, 1, 3, 4).reshape(image.shape))
    noise = rng.integers(0, 256, (int(2 ** rng.integers(1, 8)),) * 2 + (3,)).astype(np.uint8)
    return cv2.resize(noise, (size, size), interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]
