"""Where frames come from: a video file at its own pace, or a camera.

A source yields frames when they are due and stamps them with the monotonic clock. Reading a file is given from above
(``VideoClip``), so that files are read in one way everywhere; cameras are opened here, with PyAV's device formats.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import av
import numpy as np
import numpy.typing as npt

from adasr_core.bitstream import TICKS_PER_SECOND

Image = npt.NDArray[np.uint8]

_CAMERA_FORMATS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
_CAMERA_POLL_S = 0.005
_DEFAULT_CAMERAS = {"linux": "/dev/video0", "darwin": "default", "win32": "video=Integrated Camera"}


class SourceError(OSError):
    """A source cannot be opened, or stopped giving frames."""


@dataclass(frozen=True, slots=True)
class CapturedFrame:
    """One frame of a source.

    Attributes:
        image: uint8 [H, W, 3] RGB.
        time_s: monotonic clock when it was captured, in seconds; for a file, when it was due.
        number: counts from 0 over the whole call.
    """

    image: Image
    time_s: float
    number: int


class ClipFrame(Protocol):
    """One frame of a video file."""

    @property
    def ticks(self) -> int:
        """Presentation time in 1/90000 s."""

    @property
    def image(self) -> Image:
        """uint8 [H, W, 3] RGB, upright."""


class VideoClip(Protocol):
    """A video file that can be read from its first frame, any number of times."""

    def frames(self) -> Iterator[ClipFrame]:
        """All frames in the order in which they are shown."""


class FrameSource(Protocol):
    """Gives frames in real time."""

    def frames(self, stop: threading.Event) -> Iterator[CapturedFrame]:
        """Frames as they fall due, until the source ends or ``stop`` is set.

        Raises:
            SourceError: the source failed.
        """


@dataclass(frozen=True, slots=True)
class ClipSource:
    """A video file, played at its own pace.

    Attributes:
        path: the file.
        open_clip: opens it; raises ValueError or OSError with a clear message when it is no video.
        repeat: start again at the end, for as long as the call lasts.
    """

    path: Path
    open_clip: Callable[[Path], VideoClip]
    repeat: bool = False

    def frames(self, stop: threading.Event) -> Iterator[CapturedFrame]:
        """Frames of the file, each when it is due.

        Raises:
            SourceError: the file has no frames.
            ValueError: the file is damaged.
        """
        clip = self.open_clip(self.path)
        number = 0
        round_start: float | None = None
        while not stop.is_set():
            first_number = number
            spacing_s = 1 / 25
            elapsed_s = 0.0
            for frame in clip.frames():
                if round_start is None:
                    round_start = time.monotonic()
                spacing_s = frame.ticks / TICKS_PER_SECOND - elapsed_s if number > first_number else spacing_s
                elapsed_s = frame.ticks / TICKS_PER_SECOND
                due = round_start + elapsed_s
                if stop.wait(max(0.0, due - time.monotonic())):
                    return
                yield CapturedFrame(frame.image, due, number)
                number += 1
            if number == first_number:
                raise SourceError(f"{self.path}: no frame in this video; choose another file")
            if not self.repeat or round_start is None:
                return
            round_start += elapsed_s + spacing_s


@dataclass(frozen=True, slots=True)
class CameraSource:
    """A camera of this machine, through FFmpeg's device formats (v4l2, avfoundation, dshow).

    Attributes:
        device: the system's name for the camera; None for the first one.
        width_px: wanted width.
        height_px: wanted height.
        frame_rate: wanted frames a second.
    """

    device: str | None = None
    width_px: int = 1280
    height_px: int = 720
    frame_rate: int = 30

    def check(self) -> None:
        """Open the camera and close it again: a camera that is missing shall be known before a call begins.

        Raises:
            SourceError: there is no such camera, or it is in use.
        """
        _, container = self._open()
        container.close()

    def frames(self, stop: threading.Event) -> Iterator[CapturedFrame]:
        """Frames as the camera gives them.

        Raises:
            SourceError: there is no such camera, it is in use, or it stopped.
        """
        device, container = self._open()
        number = 0
        reason = "it gave no more frames"
        try:
            with container:
                decoder = container.decode(video=0)
                while not stop.is_set():
                    try:
                        frame = next(decoder, None)
                    except av.BlockingIOError:  # avfoundation has no frame yet
                        decoder = container.decode(video=0)
                        stop.wait(_CAMERA_POLL_S)
                        continue
                    if frame is None:
                        break
                    captured = time.monotonic()
                    yield CapturedFrame(frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False), captured, number)
                    number += 1
        except (av.FFmpegError, OSError, IndexError) as error:
            reason = str(error)
        if not stop.is_set():
            raise SourceError(f"camera {device}: stopped after {number} frames ({reason}); plug it in again")

    def _open(self) -> tuple[str, av.container.InputContainer]:
        platform = "linux" if sys.platform.startswith("linux") else sys.platform
        device_format = _CAMERA_FORMATS.get(platform)
        if device_format is None:
            raise SourceError(f"camera: not supported on {sys.platform}; use a video file as the source")
        device = self.device or _DEFAULT_CAMERAS[platform]
        options = {"video_size": f"{self.width_px}x{self.height_px}", "framerate": str(self.frame_rate)}
        try:
            return device, av.open(device, format=device_format, options=options)
        except (av.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise SourceError(
                f"camera {device}: cannot be opened ({reason}); is it plugged in, allowed, and not in use?"
            ) from error
