"""Where rebuilt frames go: a preview that counts, a video file, or a store of exact pictures for measuring."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from adasr_core.bitstream import TICKS_PER_SECOND
from call.audio_sinks import HeardBlock
from call.drop_oldest import DropOldestQueue
from call.sound_track import SoundTrack

Image = npt.NDArray[np.uint8]

_FILE_FRAMES_WAITING = 64
_FILE_BLOCKS_WAITING = 1000


@dataclass(frozen=True, slots=True)
class ShownFrame:
    """One rebuilt frame as it was shown.

    Attributes:
        picture: uint8 [512, 512, 3] RGB.
        capture_time_ms: the sender's capture time in its own clock, unwrapped; rises from frame to frame.
        shown_time_s: our monotonic clock when the frame was complete.
        interpolated: made from its neighbours because its packet was lost.
    """

    picture: Image
    capture_time_ms: int
    shown_time_s: float
    interpolated: bool


class FrameSink(Protocol):
    """Takes frames in the order in which they are shown."""

    def show(self, frame: ShownFrame) -> None:
        """Take one frame; must return quickly."""

    def close(self) -> None:
        """Finish. Raises OSError or ValueError when what was asked for could not be written."""


class PreviewSink:
    """A preview without a window: counts frames and keeps the last one."""

    def __init__(self) -> None:
        """Start without a frame."""
        self.frames = 0
        self.last: ShownFrame | None = None

    def show(self, frame: ShownFrame) -> None:
        """Count a frame."""
        self.frames += 1
        self.last = frame

    def close(self) -> None:
        """Nothing to finish."""


class PictureWriter(Protocol):
    """A video file being written."""

    def write(self, picture: Image, ticks: int) -> None:
        """Append a picture, shown from ``ticks`` (1/90000 s, rising) on."""

    def write_sound(self, samples: npt.NDArray[np.float32]) -> None:
        """Append sound, 48 kHz mono, which begins with the first picture."""


class FileSink:
    """A video file, with sound if it is given some, written by a thread of its own: compression never delays a frame.

    Frame times are the sender's capture times, so a lost frame is a longer pause, not a faster video.
    """

    def __init__(self, path: Path, open_writer: Callable[[Path], AbstractContextManager[PictureWriter]]) -> None:
        """Start the thread.

        Args:
            path: the file; appears complete or not at all.
            open_writer: opens it for square pictures of the model's size.
        """
        self._waiting: DropOldestQueue[ShownFrame | HeardBlock] = DropOldestQueue(
            _FILE_FRAMES_WAITING, _FILE_BLOCKS_WAITING
        )
        self._path = path
        self._open_writer = open_writer
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._write, name="file-sink", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Frames and blocks of sound left out because the disk or the compression did not keep up."""
        return self._waiting.dropped

    def show(self, frame: ShownFrame) -> None:
        """Queue a frame."""
        self._waiting.put(frame)

    def hear(self, block: HeardBlock) -> None:
        """Queue a block of sound; what was recorded before the first picture is left out."""
        if block.capture_s is not None:
            self._waiting.put(block, 1)

    def close(self) -> None:
        """Write what is queued and finish the file.

        Raises:
            OSError: the file cannot be written, or no frame ever came.
            ValueError: the writer refused the pictures.
        """
        self._waiting.close()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _write(self) -> None:
        try:
            first = self._waiting.take()
            while isinstance(first, HeardBlock):
                first = self._waiting.take()
            if first is None:
                raise OSError(f"{self._path}: not written, for no frame arrived")
            track = SoundTrack(first.capture_time_ms / 1000)
            with self._open_writer(self._path) as writer:
                item: ShownFrame | HeardBlock | None = first
                ticks = -1
                while item is not None:
                    if isinstance(item, ShownFrame):
                        since_ms = item.capture_time_ms - first.capture_time_ms
                        ticks = max(ticks + 1, since_ms * TICKS_PER_SECOND // 1000)
                        writer.write(item.picture, ticks)
                    elif item.capture_s is not None:
                        writer.write_sound(track.place(item.samples, item.capture_s))
                    item = self._waiting.take()
        except Exception as error:  # noqa: BLE001 - carried over to close(), in the caller's thread
            self._failure = error


@dataclass(frozen=True, slots=True)
class StoredFrame:
    """Where one picture lies in a ``PictureStore``.

    Attributes:
        time_ms: its capture time.
        interpolated: made from its neighbours.
    """

    time_ms: int
    interpolated: bool


class PictureStore:
    """Exact pictures in a temporary file: measuring must not depend on a second lossy codec. Also a sink.

    Not compressed (0.8 MB a frame), so that storing costs less than a millisecond.
    """

    def __init__(self, path: Path, picture_px: int) -> None:
        """Create the file for square pictures of ``picture_px`` pixels."""
        self.path = path
        self.picture_px = picture_px
        self.frames: list[StoredFrame] = []
        self._file = path.open("wb")

    def add(self, picture: Image, time_ms: int, *, interpolated: bool = False) -> None:
        """Append a picture.

        Raises:
            ValueError: it has another size.
        """
        if picture.shape != (self.picture_px, self.picture_px, 3):
            raise ValueError(f"picture: got {picture.shape}, expected {self.picture_px} px square")
        self._file.write(np.ascontiguousarray(picture).data)
        self.frames.append(StoredFrame(time_ms, interpolated))

    def show(self, frame: ShownFrame) -> None:
        """Append a shown frame."""
        self.add(frame.picture, frame.capture_time_ms, interpolated=frame.interpolated)

    def close(self) -> None:
        """Finish the file; ``read_pictures`` opens it."""
        self._file.close()


def read_pictures(path: Path, picture_px: int, count: int) -> npt.NDArray[np.uint8]:
    """The first ``count`` pictures of a store, uint8 [count, picture_px, picture_px, 3], mapped, not loaded."""
    return np.memmap(path, np.uint8, "r", shape=(count, picture_px, picture_px, 3))


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for picture stores that vanishes with the caller's ``with`` block."""
    return tempfile.TemporaryDirectory(prefix="adasr-")
