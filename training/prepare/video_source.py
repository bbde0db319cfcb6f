"""Reading source videos: upright RGB pictures with their times, all of them or a span, converted only where wanted.

Times are exact seconds (`Fraction`) from the first picture of the video track, so that a variable frame rate survives.
"""

from __future__ import annotations

import errno
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.stream import Disposition
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from av.video.stream import VideoStream

Picture = npt.NDArray[np.uint8]
"""uint8 [H, W, 3] RGB, upright, square pixels."""

_DEFAULT_FRAME_RATE = Fraction(25)
_MAX_FRAME_RATE = 240
_MATRIX_UNSPECIFIED = 2
_HD_LINES = 720
# Demuxers that draw text or follow other files and addresses; none of them is a video file.
_NOT_A_VIDEO = frozenset({"tty", "hls", "concat", "dash", "sdp", "rtsp"})
# Seconds to start before a span: container times round, and the first picture of the track may not be at zero.
_SEEK_BACK_S = 1


class VideoSourceError(ValueError):
    """The file is not a video that can be prepared; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """One decoded picture. time_s: seconds from the video's first picture."""

    time_s: Fraction
    _frame: av.VideoFrame
    _reformatters: defaultdict[tuple[int, int], VideoReformatter]
    _size: tuple[int, int]

    def picture(self) -> Picture:
        """The whole picture in the size that it is shown at, colours exact to rounding."""
        return self._convert(*self._size, Interpolation.BICUBIC | _EXACT)

    def reduced(self, longer_side_px: int) -> Picture:
        """The picture averaged down so that its longer side has so many pixels; never enlarged."""
        scale = min(1.0, longer_side_px / max(self._size))
        width, height = (max(1, round(side * scale)) for side in self._size)
        return self._convert(width, height, Interpolation.AREA)

    def _convert(self, width: int, height: int, interpolation: Interpolation) -> Picture:
        frame = self._frame
        quarter_turns = round(frame.rotation / 90) % 4
        if quarter_turns % 2:
            width, height = height, width
        # Pictures without a tag: players take those of 720 lines and more for BT.709, smaller ones for BT.601.
        hd = frame.colorspace == _MATRIX_UNSPECIFIED and frame.height >= _HD_LINES
        # One for each size: swscale keeps its tables only while the size stays the same.
        rgb = self._reformatters[width, height].reformat(
            frame,
            width=width,
            height=height,
            format="rgb24",
            src_colorspace=Colorspace.ITU709 if hd else None,
            dst_color_range=ColorRange.JPEG,
            interpolation=interpolation,
        )
        image = np.asarray(rgb.to_ndarray(), np.uint8)
        return np.ascontiguousarray(np.rot90(image, quarter_turns)) if quarter_turns else image


_EXACT = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP


@dataclass(frozen=True, slots=True)
class VideoSource:
    """What is known of a video before its pictures are decoded.

    width_px, height_px: size as shown, after rotation and with square pixels. frame_rate: pictures a second, as the
    file states it; see `at_measured_rate`.
    first_time_s: the container's time of the first picture.
    """

    path: Path
    width_px: int
    height_px: int
    frame_rate: Fraction
    first_time_s: Fraction
    has_audio: bool

    def at_measured_rate(self, times_s: Sequence[Fraction]) -> VideoSource:
        """This video with the rate that the times of its pictures show, where the file states one that is wrong.

        Copied and variable-rate files state ticks a second, or nothing.
        """
        if len(times_s) < 2:
            return self
        between = statistics.median(later - earlier for earlier, later in pairwise(times_s))
        measured = (1 / Fraction(between)).limit_denominator(1001)
        wrong = abs(measured - self.frame_rate) > Fraction(1, 50) * self.frame_rate
        return replace(self, frame_rate=measured) if wrong else self

    def frames(self, start_s: Fraction = Fraction(0), end_s: Fraction | None = None) -> Iterator[SourceFrame]:
        """Decode the pictures with start_s <= time < end_s in the order in which they are shown.

        Raises:
            VideoSourceError: a part of the file is damaged, or its pictures carry no times.
        """
        reformatters: defaultdict[tuple[int, int], VideoReformatter] = defaultdict(VideoReformatter)
        size = (self.width_px, self.height_px)
        latest: Fraction | None = None
        try:
            with open_container(self.path) as container:
                stream = _video_stream(container, self.path)
                # One process works on each core already.
                stream.codec_context.thread_count = 1
                seek_s = start_s + self.first_time_s - _SEEK_BACK_S
                if start_s > _SEEK_BACK_S:
                    container.seek(int(seek_s * av.time_base), backward=True)
                for frame in container.decode(stream):
                    time_s = _container_time_s(frame, self.path) - self.first_time_s
                    if latest is not None and time_s <= latest:
                        continue  # a damaged or edited file repeats times; the first picture of a time stands
                    latest = time_s
                    if end_s is not None and time_s >= end_s:
                        return
                    if time_s >= start_s:
                        yield SourceFrame(time_s, frame, reformatters, size)
        except av.FFmpegError as error:
            at = "at its start" if latest is None else f"after {float(latest):.2f} s"
            raise VideoSourceError(f"{self.path}: damaged {at}: {error_reason(error)}") from error


def open_source(path: Path) -> VideoSource:
    """Look into a video file: read its header and decode its first picture.

    Raises:
        OSError: it does not exist or cannot be read.
        VideoSourceError: it is no video, or its first picture cannot be decoded.
    """
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "a video file is needed", str(path))
    if path.stat().st_size == 0:
        raise VideoSourceError(f"{path}: the file is empty (0 bytes); fetch it again")
    try:
        with open_container(path) as container:
            stream = _video_stream(container, path)
            frame = next(iter(container.decode(stream)), None)
            if frame is None:
                raise VideoSourceError(f"{path}: the video track holds no picture")
            width, height = frame.width, frame.height
            aspect = stream.sample_aspect_ratio
            if aspect and aspect != 1 and Fraction(1, 4) <= aspect <= 4:
                width = max(1, round(width * aspect))
            if round(frame.rotation / 90) % 2:
                width, height = height, width
            stated = [rate for rate in (stream.average_rate, stream.guessed_rate) if rate and rate <= _MAX_FRAME_RATE]
            return VideoSource(
                path=path,
                width_px=width,
                height_px=height,
                frame_rate=Fraction(stated[0]) if stated else _DEFAULT_FRAME_RATE,
                first_time_s=_container_time_s(frame, path),
                has_audio=bool(container.streams.audio),
            )
    except av.FFmpegError as error:
        raise VideoSourceError(f"{path}: not a video that can be read: {error_reason(error)}") from error


def open_container(path: Path) -> av.container.InputContainer:
    """Open a file, never an address. Raises av.FFmpegError."""
    return av.open(
        str(path.resolve()), mode="r", container_options={"protocol_whitelist": "file"}, metadata_errors="replace"
    )


def _video_stream(container: av.container.InputContainer, path: Path) -> VideoStream:
    """The first video track that is not a cover picture."""
    if _NOT_A_VIDEO.intersection(container.format.name.split(",")):
        raise VideoSourceError(f"{path}: not a video that can be read: it looks like {container.format.long_name}")
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    raise VideoSourceError(f"{path}: no video track in it ({container.format.long_name})")


def _container_time_s(frame: av.VideoFrame, path: Path) -> Fraction:
    if frame.pts is None or frame.time_base is None:
        raise VideoSourceError(f"{path}: its pictures carry no times; put it into an mp4 or mkv file first")
    return frame.pts * Fraction(frame.time_base)


def error_reason(error: av.FFmpegError) -> str:
    """What FFmpeg says is wrong, in a few words."""
    return (error.strerror or str(error)).rstrip(".").lower()
