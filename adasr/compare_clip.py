"""A clip made ready to be compared: source pictures in RGB and in the encoders' 4:2:0, times, landmarks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from adasr.colour import RgbImage, RgbReader, YuvWriter
from adasr.video_file import open_video
from adasr_core.bitstream import TICKS_PER_SECOND
from adasr_core.landmarks import load_landmarks
from benchmarks.display_quality import DisplayQuality, measure_display
from benchmarks.rebuild_quality import psnr_db
from benchmarks.video_codecs import YuvPicture


@dataclass(frozen=True, slots=True, eq=False)
class ComparedClip:
    """All of a clip in memory: a clip of 20 s takes 600 MB.

    sha256: of the file. frame_rate: frames/s. images: uint8 [S, S, 3] RGB. times: capture times, seconds, rising.
    yuv: the same pictures as the encoders get them, planar 4:2:0. landmarks: [T, 478, 3] in [-1, 1].
    """

    name: str
    sha256: str
    frame_rate: Fraction
    images: tuple[RgbImage, ...]
    times: tuple[float, ...]
    yuv: tuple[YuvPicture, ...]
    landmarks: npt.NDArray[np.float32]

    @property
    def seconds(self) -> float:
        """Length, the last frame's own time included."""
        return float(len(self.images) / self.frame_rate)

    def whole_psnr_db(self, shown: Iterator[RgbImage]) -> float:
        """Mean PSNR of the whole frame over all source frames."""
        return float(np.mean([psnr_db(source, picture) for source, picture in zip(self.images, shown, strict=True)]))

    def measure(self, shown: Iterator[RgbImage]) -> DisplayQuality:
        """All figures over all source frames."""
        return measure_display(zip(self.images, shown, strict=True), self.landmarks)


def load_compared_clip(path: Path, *, frames: int | None = None) -> ComparedClip:
    """Read a square clip that has its landmarks beside it (``clip.npz``).

    Args:
        path: the video file.
        frames: only the first so many; None takes all.

    Raises:
        ValueError: not a video, not square or of odd size, or landmarks of another clip.
        OSError: a file cannot be read.
    """
    video = open_video(path)
    if video.width_px != video.height_px or video.width_px % 2:
        raise ValueError(f"{path}: got {video.width_px}x{video.height_px}, expected an even square")
    landmarks = load_landmarks(path.with_suffix(".npz"), video.width_px)
    writer = YuvWriter()
    images, times, yuv = [], [], []
    for frame in video.frames():
        images.append(frame.image)
        times.append(frame.ticks / TICKS_PER_SECOND)
        yuv.append(np.asarray(writer.write(frame.image).to_ndarray(), np.uint8))
    if len(images) != len(landmarks):
        raise ValueError(f"{path}: got {len(images)} frames, expected {len(landmarks)} as the landmarks have")
    return ComparedClip(
        name=path.stem,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        frame_rate=video.frame_rate,
        images=tuple(images[:frames]),
        times=tuple(times[:frames]),
        yuv=tuple(yuv[:frames]),
        landmarks=landmarks[:frames],
    )


def to_rgb(pictures: Sequence[YuvPicture]) -> list[RgbImage]:
    """Decoded pictures in RGB."""
    reader = RgbReader()
    size = pictures[0].shape[1] if pictures else 0
    return [reader.read(av.VideoFrame.from_ndarray(picture, format="yuv420p"), size, size) for picture in pictures]
