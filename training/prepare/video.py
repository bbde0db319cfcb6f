"""One video to clips, one picture to a still: the function that is mapped over a data set, here or on a cluster."""

from __future__ import annotations

import os
import re
import shutil
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from adasr_core.geometry import SquareCrop
from training.mediapipe_runtime import MediaPipeMissingError
from training.prepare.analysis import analyse
from training.prepare.clip_writer import add_sound
from training.prepare.cut import CutClip, cut_shot
from training.prepare.face_boxes import FaceBox, FaceFinder
from training.prepare.job import SpanJob, VideoJob
from training.prepare.landmark_file import save_landmarks
from training.prepare.quality_tier import sharpness, tier
from training.prepare.record import ClipRecord, FileRecord, VideoRecord, failed_record, key_hash, stamp
from training.prepare.settings import PrepareSettings
from training.prepare.shots import Shot, find_shots, steady_crop
from training.prepare.still import cut_still, read_picture, save_still
from training.prepare.twin import cut_twin, open_twin
from training.prepare.video_source import VideoSource, VideoSourceError, open_source

STILLS = "stills"
WORK_FOLDER = ".work"


def prepare_video(job: VideoJob, settings: PrepareSettings, out: Path) -> VideoRecord:
    """Prepare one video or picture: write its clips, landmarks and record below `out`.

    Depends on nothing but its arguments and the files that they name, so it can run in any process on any machine that
    sees them. Files get their final names only when they are whole, and the record is written last: a run that is
    killed leaves no record, and the next one prepares the video anew.

    Returns:
        The record; with `error` when the video is broken. Then nothing stays on disk.

    Raises:
        MediaPipeMissingError: MediaPipe is not installed on this machine.
    """
    # One process on each core: libraries must not start a thread for each of them.
    cv2.setNumThreads(1)
    run = _Run(job, settings, out)
    began = time.monotonic()
    try:
        with run.work_folder():
            if job.still:
                run.prepare_still()
            else:
                run.prepare_clips()
        record = run.record(stamp(job), time.monotonic() - began)
        record.save(out)
        return record
    except MediaPipeMissingError:
        raise
    except (ValueError, OSError, RuntimeError, av.FFmpegError, cv2.error) as error:
        run.discard()
        reason = " ".join(str(error).split()) or type(error).__name__
        return failed_record(job, settings, reason, frames_read=run.frames_read, work_s=time.monotonic() - began)


@dataclass(slots=True)
class _Run:
    """What has been made from one video so far."""

    job: VideoJob
    settings: PrepareSettings
    out: Path
    clips: list[ClipRecord] = field(default_factory=list)
    left_out_s: dict[str, float] = field(default_factory=dict)
    frames_read: int = 0

    @property
    def work(self) -> Path:
        """Where unfinished files lie."""
        return self.out / WORK_FOLDER / key_hash(self.job.key)

    @contextmanager
    def work_folder(self) -> Iterator[None]:
        """An empty folder for unfinished files, removed at the end; what a killed run left there goes first."""
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        try:
            yield
        finally:
            shutil.rmtree(self.work, ignore_errors=True)

    def record(self, source_stamp: str, work_s: float) -> VideoRecord:
        """The record of a video that went well."""
        return VideoRecord(
            key=self.job.key,
            job=self.job.as_json(),
            settings=self.settings.as_json(),
            stamp=source_stamp,
            clips=tuple(self.clips),
            left_out_s={reason: round(seconds, 3) for reason, seconds in self.left_out_s.items()},
            frames_read=self.frames_read,
            work_s=round(work_s, 3),
        )

    def discard(self) -> None:
        """Remove the clips of a video that failed half-way."""
        for clip in self.clips:
            for file in clip.files:
                (self.out / file.file).unlink(missing_ok=True)

    def prepare_still(self) -> None:
        """Make a still of a picture."""
        span = self.job.spans[0]
        self.frames_read += 1
        still = cut_still(read_picture(Path(self.job.path)), self.settings)
        if isinstance(still, str):
            self._leave_out(still, 0.0)
            return
        size_px = still.picture.shape[0]
        save_still(self.work / "still.jpg", still.picture)
        save_landmarks(self.work / "still.npz", still.landmarks[None], size_px)
        face_px = _face_px(still.landmarks[None], size_px)
        sharp = sharpness(still.picture, still.landmarks)
        stem = f"{STILLS}/{self._name(span)}"
        self.clips.append(
            ClipRecord(
                split=STILLS,
                identity=span.identity,
                media=self._deliver("still.jpg", f"{stem}.jpg"),
                landmarks=self._deliver("still.npz", f"{stem}.npz"),
                twin=None,
                twin_size_px=None,
                size_px=size_px,
                fps=None,
                frames=1,
                face_px=round(face_px),
                audio=False,
                tier=tier(
                    size_px=size_px, crop_px=still.crop.size_px, face_px=face_px, sharpness=sharp, frame_rate=None
                ),
                sharpness=round(sharp, 4),
                start_s=0.0,
                end_s=0.0,
                crop_px=_corner(still.crop),
            )
        )

    def prepare_clips(self) -> None:
        """Make the clips of every span of a video."""
        video = open_source(Path(self.job.path))
        twin = open_twin(self.job.twin, video) if self.job.twin else None
        with FaceFinder(min_confidence=self.settings.min_confidence) as finder:
            for span in self.job.spans:
                self._prepare_span(video, twin, span, finder)

    def _prepare_span(self, video: VideoSource, twin: VideoSource | None, span: SpanJob, finder: FaceFinder) -> None:
        start_s = Fraction(span.start_s).limit_denominator(10**6)
        end_s = None if span.end_s is None else Fraction(span.end_s).limit_denominator(10**6)
        notes = list(analyse(video, finder, self.settings, start_s=start_s, end_s=end_s))
        self.frames_read += len(notes)
        if not notes:
            raise VideoSourceError(f"{video.path}: no picture in the listed span from {span.start_s:g} s on")
        video = video.at_measured_rate([note.time_s for note in notes])
        search = find_shots(notes, self.settings, frame_s=1 / video.frame_rate, region=_region(span, video))
        for reason, seconds in search.left_out_s.items():
            self._leave_out(reason, seconds)
        for shot in search.shots:
            crop = steady_crop(shot, self.settings, width_px=video.width_px, height_px=video.height_px)
            if isinstance(crop, str):
                self._leave_out(crop, float(shot.end_s - shot.start_s))
            else:
                self._cut(video, twin, span, shot, crop)

    def _cut(self, video: VideoSource, twin: VideoSource | None, span: SpanJob, shot: Shot, crop: SquareCrop) -> None:
        """Cut one shot and deliver its clips."""
        size_px = self.settings.clip_size_px(crop.size_px)
        assert size_px is not None, "steady_crop leaves out what is too small"
        result = cut_shot(
            video, shot, crop, self.settings, size_px=size_px, name=lambda number: self.work / f"{number}.mp4"
        )
        self.frames_read += result.frames_read
        for reason, seconds in result.left_out_s.items():
            self._leave_out(reason, seconds)
        for clip in result.clips:
            twin_size_px = None
            if twin is not None:
                twin_side = crop.size_px * twin.width_px / video.width_px
                twin_size_px = self.settings.clip_size_px(twin_side) or size_px
                fault = cut_twin(twin, video, clip, crop, size_px=twin_size_px, out=self.work / "twin.mp4")
                if fault is not None:
                    raise VideoSourceError(fault)
            self._deliver_clip(video, span, clip, crop, size_px, twin_size_px)

    def _deliver_clip(
        self,
        video: VideoSource,
        span: SpanJob,
        clip: CutClip,
        crop: SquareCrop,
        size_px: int,
        twin_size_px: int | None,
    ) -> None:
        stem = f"{span.split}/{self._name(span)}_{len(self.clips)}"
        silent = str(clip.path.relative_to(self.work))
        has_sound = self.settings.audio and video.has_audio
        if has_sound:
            add_sound(clip.path, self.work / "sound.mp4", video, clip.times_s[0], clip.end_s)
        save_landmarks(self.work / "clip.npz", clip.landmarks, size_px)
        face_px = _face_px(clip.landmarks, size_px)
        fps = _frame_rate(clip, video)
        self.clips.append(
            ClipRecord(
                split=span.split,
                identity=span.identity,
                media=self._deliver("sound.mp4" if has_sound else silent, f"{stem}.mp4"),
                landmarks=self._deliver("clip.npz", f"{stem}.npz"),
                twin=None if twin_size_px is None else self._deliver("twin.mp4", f"{stem}.sr.mp4"),
                twin_size_px=twin_size_px,
                size_px=size_px,
                fps=fps,
                frames=len(clip.times_s),
                face_px=round(face_px),
                audio=has_sound,
                tier=tier(
                    size_px=size_px, crop_px=crop.size_px, face_px=face_px, sharpness=clip.sharpness, frame_rate=fps
                ),
                sharpness=round(clip.sharpness, 4),
                start_s=round(float(clip.times_s[0]), 6),
                end_s=round(float(clip.end_s), 6),
                crop_px=_corner(crop),
            )
        )

    def _deliver(self, unfinished: str, file: str) -> FileRecord:
        """Give a finished file its final name."""
        final = self.out / file
        final.parent.mkdir(parents=True, exist_ok=True)
        os.replace(self.work / unfinished, final)
        return FileRecord.measure(self.out, file)

    def _name(self, span: SpanJob) -> str:
        slug = re.sub(r"[^a-z0-9]+", "-", span.identity.lower()).strip("-")[:40] or "person"
        return f"{slug}_{key_hash(self.job.key)[:8]}"

    def _leave_out(self, reason: str, seconds: float) -> None:
        self.left_out_s[reason] = self.left_out_s.get(reason, 0.0) + seconds


def _region(span: SpanJob, video: VideoSource) -> FaceBox | None:
    if span.box is None:
        return None
    x0, y0, x1, y1 = span.box
    if span.box_is_relative:
        return FaceBox(x0 * video.width_px, y0 * video.height_px, x1 * video.width_px, y1 * video.height_px)
    return FaceBox(x0, y0, x1, y1)


def _face_px(landmarks: npt.NDArray[np.float32], size_px: int) -> float:
    """Median height of a face, landmarks [T, 478, 3] in [-1, 1], in pixels of a square of `size_px`."""
    return statistics.median(float(height) for height in np.ptp(landmarks[..., 1], axis=1)) * size_px / 2


def _frame_rate(clip: CutClip, video: VideoSource) -> float:
    """Pictures a second: the file's where the clip agrees with it, else what the clip's own times say."""
    measured = (len(clip.times_s) - 1) / float(clip.times_s[-1] - clip.times_s[0])
    stated = float(video.frame_rate)
    return round(stated if abs(measured - stated) <= 0.005 * stated else measured, 3)


def _corner(crop: SquareCrop) -> tuple[int, int, int]:
    """Left, top and side of a crop on whole pixels."""
    return round(crop.left_px), round(crop.top_px), round(crop.size_px)
