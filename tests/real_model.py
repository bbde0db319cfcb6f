"""The shipped model and pictures of a real face, for tests that run the real thing."""

from __future__ import annotations

import math
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt
from skimage import data

from adasr_core.bitstream.motion import MotionCodec
from adasr_core.bundle import open_bundle
from adasr_core.engines import FaceModel

Image = npt.NDArray[np.uint8]

FACE_X_PX, FACE_Y_PX = 224.0, 115.0
"""Where the face of `portrait` is."""
FACE_HEIGHT_PX = 120.0
"""From the forehead to the chin, about."""


@cache
def edge_model() -> FaceModel:
    """The default model on the default engine; one object for all tests."""
    return FaceModel.load(open_bundle("edge"), threads=2)


@cache
def edge_codec() -> MotionCodec:
    """The default model's motion codec."""
    bundle = open_bundle("edge")
    return MotionCodec(bundle.tables(), bundle.manifest.keypoints)


@cache
def portrait() -> Image:
    """A photograph of an astronaut, uint8 [512, 512, 3] RGB."""
    return np.ascontiguousarray(data.astronaut(), dtype=np.uint8)


@cache
def empty_room(width_px: int = 1280, height_px: int = 720) -> Image:
    """A background without a face: soft blobs of light."""
    generator = np.random.default_rng(11)
    noise = generator.normal(0, 1, (height_px, width_px)).astype(np.float32)
    soft = np.asarray(cv2.GaussianBlur(noise, (0, 0), 40), np.float32)[..., None] * (1.0, 0.9, 0.8)
    return np.asarray(np.clip(110 + 30 * soft / soft.std(), 0, 255), np.uint8)


def camera_frame(
    x_px: float, y_px: float, face_height_px: float, *, width_px: int = 1280, height_px: int = 720
) -> Image:
    """A camera frame with the portrait's face centred at (x_px, y_px), cut out softly before an empty room."""
    scale = face_height_px / FACE_HEIGHT_PX
    matrix = np.array([[scale, 0, x_px - scale * FACE_X_PX], [0, scale, y_px - scale * FACE_Y_PX]])
    size = (width_px, height_px)
    person = cv2.warpAffine(portrait(), matrix, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    mask = np.zeros((512, 512), np.float32)
    cv2.ellipse(mask, (224, 130), (85, 115), 0, 0, 360, 1.0, -1)
    cv2.ellipse(mask, (224, 420), (190, 220), 0, 0, 360, 1.0, -1)
    soft = np.asarray(cv2.warpAffine(cv2.GaussianBlur(mask, (0, 0), 6), matrix, size), np.float32)[..., None]
    room = empty_room(width_px, height_px)
    return np.asarray(person * soft + room * (1 - soft), np.float32).round().astype(np.uint8)


def head_shot(turn_degrees: float = 0.0, x_px: float = 0.0, y_px: float = 0.0) -> Image:
    """The portrait's head filling a 512x512 frame, tilted and moved by a few pixels before a background that stands."""
    zoom = 2.1
    still = _place(zoom, 0.0, 0.0, 0.0)
    moved = _place(zoom, turn_degrees, x_px, y_px)
    mask = np.zeros((512, 512), np.float32)
    cv2.ellipse(mask, (256, 265), (150, 200), 0, 0, 360, 1.0, -1)
    soft = np.asarray(cv2.GaussianBlur(mask, (0, 0), 22), np.float32)[..., None]
    return np.asarray(moved * soft + still * (1 - soft), np.float32).round().astype(np.uint8)


def talking(frame: int, rate: float = 25.0) -> Image:
    """Frame number `frame` of a head that sways and tilts gently."""
    time = frame / rate
    return head_shot(
        turn_degrees=5 * math.sin(2 * math.pi * 0.45 * time),
        x_px=14 * math.sin(2 * math.pi * 0.3 * time),
        y_px=6 * math.sin(2 * math.pi * 0.8 * time),
    )


def _place(zoom: float, turn_degrees: float, x_px: float, y_px: float) -> Image:
    matrix = cv2.getRotationMatrix2D((FACE_X_PX, FACE_Y_PX), turn_degrees, zoom)
    matrix[:, 2] += np.array([256 - FACE_X_PX + x_px, 265 - FACE_Y_PX + y_px])
    placed = cv2.warpAffine(portrait(), matrix, (512, 512), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(placed, np.uint8)
