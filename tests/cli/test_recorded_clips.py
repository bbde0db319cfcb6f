"""The codec on recorded people, judged by their landmarks, not by the model's own keypoints."""

import os
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from adasr.file_codec import EncodeOptions, decode_file, encode_file
from adasr.video_file import open_video
from adasr_core.bundle import ModelBundle
from adasr_core.picture_quality import psnr_db

DATA = Path(os.environ.get("ADASR_DATA", ""))

pytestmark = [pytest.mark.realdata, pytest.mark.slow]


def face_masks(clip: Path, size_px: int) -> list[npt.NDArray[np.uint8]]:
    """Convex hull of the landmarks in every frame."""
    landmarks = np.cumsum(np.load(clip.with_suffix(".npz"))["landmarks_delta_q"].astype(np.int64), axis=0)[..., :2] / 4
    masks = []
    for points in landmarks:
        mask = np.zeros((size_px, size_px), np.uint8)
        cv2.fillConvexPoly(mask, cv2.convexHull(points.astype(np.float32)).astype(np.int32), 255)
        masks.append(mask)
    return masks


def test_single_key_frame_beats_repeating_it(tmp_path: Path, bundle: ModelBundle) -> None:
    clip = sorted((DATA / "val").glob("mead*.mp4"))[0]
    akc, video = tmp_path / "clip.akc", tmp_path / "clip.mp4"
    result = encode_file(clip, akc, bundle, EncodeOptions(references=1, effort=0))
    assert result.summary.motion_bytes_per_frame < 12
    decode_file(akc, video, bundle)
    gains = []
    first = None
    masks = face_masks(clip, 512)
    pairs = zip(open_video(clip).frames(), open_video(video).frames(), masks, strict=True)
    for source, rebuilt, mask in pairs:
        assert rebuilt.ticks == source.ticks
        if first is None:
            first = source.image
            continue
        gains.append(
            (
                psnr_db(source.image, rebuilt.image) - psnr_db(source.image, first),
                psnr_db(source.image, rebuilt.image, mask) - psnr_db(source.image, first, mask),
            )
        )
    whole, face = np.mean(gains, axis=0)
    assert whole > -0.2
    assert face > 1.5
