"""Reading video files: any container, codec, size, frame rate and rotation that FFmpeg decodes, frame by frame.

A file is opened anew for every pass over its frames; nothing but the frame in hand is kept in memory.
Presentation times are integers in ticks of 1/90000 s, those of the ``.akc`` form, so variable frame rates survive.
"""

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.stream import Disposition
from av.video.stream import VideoStream

from adasr.colour import RgbImage, RgbReader
from adasr_core.bitstream import TICKS_PER_SECOND, AudioPacket, AudioStream, AudioTrack

_DEFAULT_FRAME_RATE = Fraction(25)
_MAX_FRAME_RATE = 1000
# Demuxers that draw text or follow other files and addresses; none of them is a video file.
_NOT_A_VIDEO = frozenset({"tty", "hls", "concat", "dash", "sdp", "rtsp"})


class VideoFileError(ValueError):
    """The file is not a video that can be read."""


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """One decoded frame.

    number: counts from 0. ticks: presentation time in 1/90000 s, never negative, rising from frame to frame.
    image: uint8 [H, W, 3] RGB, upright, square pixels.
    """

    number: int
    ticks: int
    image: RgbImage


@dataclass(frozen=True, slots=True)
class VideoFile:
    """What is known of a video file before its frames are decoded.

    width_px, height_px: size as shown, after rotation and with square pixels. frame_rate: average, frames/s.
    frames_expected: from the file's header, for a progress bar only; None where the header does not say.
    has_audio: whether `read_audio` finds a track.
    """

    path: Path
    width_px: int
    height_px: int
    frame_rate: Fraction
    frames_expected: int | None
    has_audio: bool
    start_shift_ticks: int

    def frames(self) -> Iterator[SourceFrame]:
        """Decode all frames from the first one on, in the order in which they are shown.

        Raises:
            VideoFileError: a part of the file is damaged; the message says after which frame.
        """
        number = 0
        ticks = -1
        reader = RgbReader()
        try:
            with _open_container(self.path) as container:
                stream = _video_stream(container, self.path)
                stream.thread_type = "AUTO"
                for frame in container.decode(stream):
                    raw = _presentation_ticks(frame, number, self.frame_rate) + self.start_shift_ticks
                    ticks = max(raw, ticks + 1)
                    yield SourceFrame(number, ticks, self._upright(reader, frame))
                    number += 1
        except av.FFmpegError as error:
            raise VideoFileError(f"{self.path}: damaged after frame {number}: {error_reason(error)}") from error
        if number == 0:
            raise VideoFileError(f"{self.path}: the video track holds no frame")

    def read_audio(self) -> AudioTrack | None:
        """Read the first audio track without decoding it; None where the file has none.

        Raises:
            VideoFileError: the track is damaged.
        """
        if not self.has_audio:
            return None
        try:
            with _open_container(self.path) as container:
                stream = container.streams.audio[0]
                # PyAV's stubs promise a context; a track of an unknown codec has none.
                context: AudioCodecContext | None = stream.codec_context
                if context is None or not context.sample_rate:
                    raise VideoFileError(
                        f"{self.path}: the audio track's codec is unknown: leave the sound out with --no-audio"
                    )
                time_base = stream.time_base or Fraction(1, context.sample_rate)
                shift = round(Fraction(self.start_shift_ticks, TICKS_PER_SECOND) / time_base)
                description = AudioStream(
                    codec_name=context.codec.canonical_name,
                    sample_rate=context.sample_rate,
                    layout=context.layout.name,
                    time_base=(time_base.numerator, time_base.denominator),
                    extradata=context.extradata or b"",
                )
                packets = tuple(
                    AudioPacket(pts=packet.pts + shift, duration=packet.duration or 0, data=bytes(packet))
                    for packet in container.demux(stream)
                    if packet.size and packet.pts is not None
                )
        except av.FFmpegError as error:
            raise VideoFileError(f"{self.path}: the audio track is damaged: {error_reason(error)}") from error
        return AudioTrack(description, packets) if packets else None

    def _upright(self, reader: RgbReader, frame: av.VideoFrame) -> RgbImage:
        """Convert, stretch to square pixels and turn a frame to the size that the file is shown at."""
        quarter_turns = _quarter_turns(frame)
        width, height = self.width_px, self.height_px
        if quarter_turns % 2:
            width, height = height, width
        image = reader.read(frame, width, height)
        return np.ascontiguousarray(np.rot90(image, quarter_turns)) if quarter_turns else image


def open_video(path: Path) -> VideoFile:
    """Look into a video file: decode its first frame and read its header.

    Raises:
        OSError: the file does not exist or cannot be read.
        VideoFileError: it is empty, not a video, or its first frame cannot be decoded.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "a video file is needed, this is a folder", str(path))
    if path.stat().st_size == 0:
        raise VideoFileError(f"{path}: the file is empty (0 bytes), a video file is needed")
    try:
        with _open_container(path) as container:
            stream = _video_stream(container, path)
            frame = next(iter(container.decode(stream)), None)
            if frame is None:
                raise VideoFileError(f"{path}: the video track holds no frame")
            frame_rate = _frame_rate(stream)
            width, height = frame.width, frame.height
            pixel_aspect = stream.sample_aspect_ratio
            if pixel_aspect and pixel_aspect != 1 and Fraction(1, 4) <= pixel_aspect <= 4:
                width = max(1, round(width * pixel_aspect))
            if _quarter_turns(frame) % 2:
                width, height = height, width
            first_ticks = _presentation_ticks(frame, 0, frame_rate)
            return VideoFile(
                path=path,
                width_px=width,
                height_px=height,
                frame_rate=frame_rate,
                frames_expected=stream.frames or None,
                has_audio=bool(container.streams.audio),
                start_shift_ticks=max(0, -first_ticks),
            )
    except av.FFmpegError as error:
        raise VideoFileError(f"{path}: not a video that can be read: {error_reason(error)}") from error


def _open_container(path: Path) -> av.container.InputContainer:
    # An absolute path is never taken for a protocol; the whitelist keeps a crafted file from opening addresses.
    return av.open(
        str(path.resolve()),
        mode="r",
        container_options={"protocol_whitelist": "file"},
        metadata_errors="replace",  # titles in old encodings are no reason to refuse a clip
    )


def _video_stream(container: av.container.InputContainer, path: Path) -> VideoStream:
    """The first video track that is not a cover picture."""
    if _NOT_A_VIDEO.intersection(container.format.name.split(",")):
        raise VideoFileError(f"{path}: not a video that can be read: it looks like {container.format.long_name}")
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    raise VideoFileError(f"{path}: no video track in it ({container.format.long_name})")


def _frame_rate(stream: VideoStream) -> Fraction:
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate and 0 < rate <= _MAX_FRAME_RATE:
            return rate.limit_denominator(1_000_000)
    return _DEFAULT_FRAME_RATE


def _presentation_ticks(frame: av.VideoFrame, number: int, frame_rate: Fraction) -> int:
    """Presentation time in 1/90000 s; from the frame's number where the file keeps no times."""
    if frame.pts is None or frame.time_base is None:
        return round(number * TICKS_PER_SECOND / frame_rate)
    return round(frame.pts * frame.time_base * TICKS_PER_SECOND)


def _quarter_turns(frame: av.VideoFrame) -> int:
    """Turns of 90 degrees against the clock that bring a frame upright, 0 to 3."""
    return round(frame.rotation / 90) % 4


def error_reason(error: av.FFmpegError) -> str:
    """What FFmpeg says is wrong, in a few words."""
    return (error.strerror or str(error)).rstrip(".").lower()
