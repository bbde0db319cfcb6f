"""Writing clips: H.264 pictures at their own times, and the sound of the same span as AAC."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter

from training.prepare.video_source import Picture, VideoSource, VideoSourceError, error_reason, open_container

CONSTANT_QUALITY = 14
"""x264's crf, 51 is worst: about 45 dB on a talking head, so that training does not learn the codec."""
_TICKS_PER_SECOND = 90000
_MATRIX_BT601 = 6
_AAC_RATES_HZ = (16000, 22050, 24000, 32000, 44100, 48000)
_AAC_BPS_PER_CHANNEL = 64000
_AAC_BLOCK = 1024
_SOUND_GAP_S = 0.05
_EXACT = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP


class ClipWriter:
    """Takes the pictures of one clip in order. Use `write_clip`, which finishes the file.

    No B-frames: frames are decoded in the order in which they are shown, and every reader counts the same.
    """

    def __init__(self, container: av.container.OutputContainer, size_px: int, frame_rate: Fraction) -> None:
        self._container = container
        self._reformatter = VideoReformatter()
        self._shape = (size_px, size_px, 3)
        self._stream = container.add_stream(
            "libx264",
            rate=frame_rate,
            options={"crf": str(CONSTANT_QUALITY), "preset": "veryfast", "bf": "0", "threads": "1"},
            width=size_px,
            height=size_px,
            time_base=Fraction(1, _TICKS_PER_SECOND),
        )
        context = self._stream.codec_context
        context.pix_fmt = "yuv420p"
        # Read alike by those who obey the tag and by those who assume BT.601 below 720 lines.
        context.colorspace = _MATRIX_BT601
        context.color_range = ColorRange.MPEG
        context.color_primaries = ColorPrimaries.BT709
        context.color_trc = ColorTrc.BT709

    def write(self, picture: Picture, time_s: Fraction) -> None:
        """Append one picture, uint8 [size, size, 3] RGB, shown from `time_s` (seconds from the clip's start) on."""
        if picture.shape != self._shape:
            raise ValueError(f"picture: got shape {picture.shape}, expected {self._shape}")
        frame = self._reformatter.reformat(
            av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU601,
            dst_color_range=ColorRange.MPEG,
            interpolation=_EXACT,
        )
        frame.pts = round(time_s * _TICKS_PER_SECOND)
        frame.time_base = Fraction(1, _TICKS_PER_SECOND)
        self._container.mux(self._stream.encode(frame))

    def flush(self) -> None:
        """Write what the encoder still holds."""
        self._container.mux(self._stream.encode())


@contextmanager
def write_clip(path: Path, *, size_px: int, frame_rate: Fraction) -> Iterator[ClipWriter]:
    """Open a silent clip for writing under exactly this name; the caller takes care of half-written files.

    Raises:
        OSError: the file cannot be written.
    """
    with av.open(str(path.resolve()), mode="w", format="mp4", options={"movflags": "+faststart"}) as container:
        writer = ClipWriter(container, size_px, frame_rate)
        yield writer
        writer.flush()


def add_sound(silent: Path, out: Path, video: VideoSource, start_s: Fraction, end_s: Fraction) -> None:
    """Copy a silent clip to `out` and lay the sound of `video` from start_s to end_s under it, as AAC.

    Where the video's sound begins late or ends early there is silence, so that sound and pictures last equally long.

    Raises:
        VideoSourceError: the sound is damaged or of an unknown codec.
    """
    samples, rate_hz = _read_sound(video, start_s, end_s)
    channels = samples.shape[0]
    with (
        open_container(silent) as source,
        av.open(str(out.resolve()), mode="w", format="mp4", options={"movflags": "+faststart"}) as container,
    ):
        pictures = source.streams.video[0]
        video_out = container.add_stream_from_template(pictures)
        audio_out = container.add_stream("aac", rate=rate_hz, bit_rate=_AAC_BPS_PER_CHANNEL * channels)
        audio_out.layout = "stereo" if channels == 2 else "mono"
        packets = [packet for packet in source.demux(pictures) if packet.size]
        for packet in packets:
            packet.stream = video_out
            container.mux(packet)
        for first in range(0, samples.shape[1], _AAC_BLOCK):
            block = np.ascontiguousarray(samples[:, first : first + _AAC_BLOCK])
            frame = AudioFrame.from_ndarray(block, format="fltp", layout=audio_out.layout.name)
            frame.sample_rate = rate_hz
            frame.pts = first
            frame.time_base = Fraction(1, rate_hz)
            container.mux(audio_out.encode(frame))
        container.mux(audio_out.encode(None))


def _read_sound(video: VideoSource, start_s: Fraction, end_s: Fraction) -> tuple[npt.NDArray[np.float32], int]:
    """Samples [channels, N] in [-1, 1] of a span, one or two channels, and their rate in Hz."""
    begin_s = start_s + video.first_time_s
    try:
        with open_container(video.path) as container:
            stream = container.streams.audio[0]
            # PyAV's stubs promise a context; a track of an unknown codec has none.
            context: AudioCodecContext | None = stream.codec_context
            if context is None or not context.sample_rate:
                raise VideoSourceError(f"{video.path}: its sound is of an unknown codec; leave it out with --no-audio")
            rate_hz = context.sample_rate if context.sample_rate in _AAC_RATES_HZ else 48000
            layout = "mono" if context.channels == 1 else "stereo"
            samples = np.zeros((1 if layout == "mono" else 2, round((end_s - start_s) * rate_hz)), np.float32)
            if start_s > 1:
                container.seek(int((begin_s - 1) * av.time_base), backward=True)
            resampler = AudioResampler(format="fltp", layout=layout, rate=rate_hz)
            at: int | None = None
            for frame in container.decode(stream):
                if frame.pts is None or frame.time_base is None:
                    continue
                due = round((frame.pts * Fraction(frame.time_base) - begin_s) * rate_hz)
                if due >= samples.shape[1]:
                    break
                # Containers round times; blocks follow each other without a gap unless they are really apart.
                at = due if at is None or abs(due - at) > _SOUND_GAP_S * rate_hz else at
                frame.pts = None
                for block in resampler.resample(frame):
                    values = np.asarray(block.to_ndarray(), np.float32)
                    first, last = max(at, 0), min(at + values.shape[1], samples.shape[1])
                    if last > first:
                        samples[:, first:last] = values[:, first - at : last - at]
                    at += values.shape[1]
    except av.FFmpegError as error:
        raise VideoSourceError(
            f"{video.path}: its sound cannot be read ({error_reason(error)}); leave it out with --no-audio"
        ) from error
    return samples, rate_hz
