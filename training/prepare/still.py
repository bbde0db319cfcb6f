"""Pictures: a portrait becomes a square still with landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from adasr_core.geometry import SquareCrop, extract_crop
from training.face_mesh import FaceMesh, Landmarks
from training.prepare.face_boxes import SEARCH_SIDE_PX, FaceFinder
from training.prepare.settings import PrepareSettings
from training.prepare.shots import Shot, choose_face, steady_crop
from training.prepare.video_source import Picture

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
_JPEG_QUALITY = 95


@dataclass(frozen=True, slots=True)
class CutStill:
    """A still before it is written. picture: uint8 [size, size, 3] RGB; landmarks: float32 [478, 3] over it."""

    picture: Picture
    landmarks: Landmarks
    crop: SquareCrop


def read_picture(path: Path) -> Picture:
    """An upright RGB picture.

    Raises:
        ValueError: it is no picture that Pillow reads.
        OSError: it cannot be read.
    """
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except (UnidentifiedImageError, Image.DecompressionBombError, SyntaxError) as error:
        raise ValueError(f"{path}: not a picture that can be read: {error}") from error
    picture: npt.NDArray[np.uint8] = np.asarray(upright, np.uint8)
    return picture


def cut_still(picture: Picture, settings: PrepareSettings) -> CutStill | str:
    """The square around the one face of a picture, uint8 [H, W, 3] RGB, with its landmarks.

    Returns:
        The still, or why there is none.
    """
    height, width = picture.shape[:2]
    shrink = min(1.0, SEARCH_SIDE_PX / max(height, width))
    small = Image.fromarray(picture).resize(
        (max(1, round(width * shrink)), max(1, round(height * shrink))), Image.Resampling.BOX
    )
    with FaceFinder(min_confidence=settings.min_confidence) as finder:
        faces = finder.find(np.asarray(small, np.uint8), width_px=width, height_px=height)
    face, reason = choose_face(faces, None)
    if face is None:
        return reason
    shot = Shot(Fraction(0), Fraction(0), ((Fraction(0), face),))
    crop = steady_crop(shot, settings, width_px=width, height_px=height)
    if isinstance(crop, str):
        return crop
    size_px = settings.clip_size_px(crop.size_px)
    assert size_px is not None, "steady_crop leaves out what is too small"
    square = extract_crop(picture, crop, size_px)
    with FaceMesh(static_image_mode=True, min_confidence=settings.min_confidence) as mesh:
        landmarks = mesh.landmarks(square)
    return "no landmarks" if landmarks is None else CutStill(square, landmarks, crop)


def save_still(path: Path, picture: Picture) -> None:
    """Write a jpg of high quality with full colour. Raises OSError."""
    Image.fromarray(picture).save(path, format="JPEG", quality=_JPEG_QUALITY, subsampling=0)
