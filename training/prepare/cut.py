"""Second pass over a shot: cut the square from every frame, find the landmarks, write clips.

The face mesh is asked in every frame. Where it does not find the face of the shot, or finds it jumping, the clip ends
and the next one begins, so that every frame of every clip has landmarks of one face that moves without a break.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from adasr_core.geometry import SquareCrop
from training.face_mesh import FaceMesh, Landmarks
from training.prepare.clip_writer import ClipWriter, write_clip
from training.prepare.follow import follow_face, mark_jumps
from training.prepare.quality_tier import sharpness
from training.prepare.settings import PrepareSettings
from training.prepare.shots import Shot
from training.prepare.video_source import Picture, VideoSource

_SHARPNESS_EVERY = 10


@dataclass(frozen=True, slots=True)
class CutClip:
    """A silent clip that was written.

    path: the mp4. times_s: of every frame, in the source. end_s: where the frame after the last would begin, in the
    source. landmarks: float32 [T, 478, 3] in [-1, 1] over the clip. sharpness: median over the clip.
    """

    path: Path
    times_s: tuple[Fraction, ...]
    end_s: Fraction
    landmarks: npt.NDArray[np.float32]
    sharpness: float


@dataclass(frozen=True, slots=True)
class CutResult:
    """Clips of a shot in order, frames decoded, and seconds left out by reason."""

    clips: tuple[CutClip, ...]
    frames_read: int
    left_out_s: dict[str, float]


def cut_shot(
    video: VideoSource,
    shot: Shot,
    crop: SquareCrop,
    settings: PrepareSettings,
    *,
    size_px: int,
    name: Callable[[int], Path],
) -> CutResult:
    """Write the clips of one shot.

    Args:
        video: the source.
        shot: the span and where the face is in it.
        crop: the square, source pixels.
        settings: least length.
        size_px: side of the clips.
        name: the file to write for the shot's clip number 0, 1, ...; it may be overwritten when a clip is too short.

    Raises:
        VideoSourceError: the video is damaged.
    """
    clips: list[CutClip] = []
    left_out: dict[str, float] = {}
    read = 0

    def end_clip(end_s: Fraction) -> None:
        clip = pending.finish(end_s)
        if clip is None:
            return
        seconds = end_s - clip.times_s[0]
        if len(clip.times_s) > 1 and seconds >= Fraction(settings.min_seconds):
            clips.append(clip)
        else:
            clip.path.unlink()
            left_out["shot too short"] = left_out.get("shot too short", 0.0) + float(seconds)

    with FaceMesh(min_confidence=settings.min_confidence) as mesh, _Pending(video.frame_rate, size_px) as pending:
        frames = follow_face(video, shot, crop, mesh, size_px=size_px)
        for frame, jumps in mark_jumps(frames, frame_rate=float(video.frame_rate)):
            read += 1
            if jumps or frame.landmarks is None:
                end_clip(frame.time_s)
            if frame.landmarks is None:
                left_out["no landmarks"] = left_out.get("no landmarks", 0.0) + float(1 / video.frame_rate)
            else:
                pending.add(frame.picture, frame.landmarks, frame.time_s, name(len(clips)))
        end_clip(shot.end_s)
    return CutResult(tuple(clips), read, left_out)


class _Pending:
    """The clip that is being written."""

    def __init__(self, frame_rate: Fraction, size_px: int) -> None:
        self._frame_rate = frame_rate
        self._size_px = size_px
        self._stack = ExitStack()
        self._writer: ClipWriter | None = None
        self._path = Path()
        self._reset()

    def __enter__(self) -> _Pending:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def _reset(self) -> None:
        self._times: list[Fraction] = []
        self._landmarks: list[Landmarks] = []
        self._sharpness: list[float] = []

    def add(self, picture: Picture, landmarks: Landmarks, time_s: Fraction, path: Path) -> None:
        """Append a frame; the first one opens the file `path`."""
        if self._writer is None:
            self._path = path
            self._writer = self._stack.enter_context(
                write_clip(self._path, size_px=self._size_px, frame_rate=self._frame_rate)
            )
        if len(self._times) % _SHARPNESS_EVERY == 0:
            self._sharpness.append(sharpness(picture, landmarks))
        self._times.append(time_s)
        self._landmarks.append(landmarks)
        self._writer.write(picture, time_s - self._times[0])

    def finish(self, end_s: Fraction) -> CutClip | None:
        """Close the file and hand it over; None when nothing was written."""
        if self._writer is None:
            return None
        self._stack.close()
        self._writer = None
        clip = CutClip(
            self._path, tuple(self._times), end_s, np.stack(self._landmarks), float(np.median(self._sharpness))
        )
        self._reset()
        return clip
