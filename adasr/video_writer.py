"""Writing the mp4: H.264 pictures that lose nothing visible, and the sound that came with the clip, untouched."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream as AvAudioStream
from av.video.stream import VideoStream

from adasr.colour import RgbImage, YuvWriter, tag_colour
from adasr.video_file import VideoFileError, error_reason
from adasr_core.bitstream import TICKS_PER_SECOND, AudioPacket, AudioStream, AudioTrack

MP4_AUDIO_CODECS = frozenset({"aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"})
"""Sound that an mp4 file carries and common players play."""

RECORDED_HZ = 48_000
"""Sample rate of sound that a call records."""

_RECORDED_BPS = 64_000

CONSTANT_QUALITY = 12
"""x264's crf, 51 is worst. At 12 a talking head takes about 1 Mbit/s and lies 46 dB from the rebuilt picture, which
takes 0.07 dB from a rebuild at 28 dB."""


class Mp4Writer:
    """Writes frames at their own times. Use `write_mp4`, which finishes the file.

    No B-frames: decoding order is presentation order and the first time needs no edit list, so that every reader
    counts the same frames at the same times.
    """

    def __init__(
        self,
        container: av.container.OutputContainer,
        *,
        width_px: int,
        height_px: int,
        frame_rate: Fraction,
        audio: AudioTrack | None,
        records_sound: bool = False,
    ) -> None:
        self._container = container
        self._yuv = YuvWriter()
        self._size = (height_px, width_px, 3)
        self._video = _add_video(container, width_px, height_px, frame_rate)
        self._audio = _add_audio(container, audio.stream) if audio else None
        self._time_base = Fraction(*audio.stream.time_base) if audio else Fraction(1)
        self._packets: Sequence[AudioPacket] = audio.packets if audio else ()
        self._packets_written = 0
        self._audio_pts: int | None = None
        self._recorded = _add_recorded(container) if records_sound else None
        self._recorded_samples = 0

    def write(self, picture: RgbImage, ticks: int) -> None:
        """Append one picture, uint8 [H, W, 3] RGB, shown from `ticks` (1/90000 s, rising) on.

        Raises:
            ValueError: the picture's size is not the file's.
        """
        if picture.shape != self._size:
            raise ValueError(f"picture must have shape {self._size}, got {picture.shape}")
        self._write_audio_until(Fraction(ticks, TICKS_PER_SECOND))
        frame = self._yuv.write(picture)
        frame.pts = ticks
        frame.time_base = Fraction(1, TICKS_PER_SECOND)
        self._container.mux(self._video.encode(frame))

    def write_sound(self, samples: npt.NDArray[np.float32]) -> None:
        """Append sound, 48 kHz mono of -1 to 1, which begins with the first picture.

        Raises:
            ValueError: the file was opened without room for it.
        """
        if self._recorded is None:
            raise ValueError("sound: got some for a film without; open it with records_sound=True")
        if len(samples) == 0:
            return
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = RECORDED_HZ
        frame.pts = self._recorded_samples
        frame.time_base = Fraction(1, RECORDED_HZ)
        self._recorded_samples += len(samples)
        self._container.mux(self._recorded.encode(frame))

    def finish(self) -> None:
        """Flush the encoders and write what sound is left."""
        self._container.mux(self._video.encode())
        if self._recorded is not None and self._recorded_samples:
            self._container.mux(self._recorded.encode())
        self._write_audio_until(None)

    def _write_audio_until(self, time_s: Fraction | None) -> None:
        while self._audio is not None and self._packets_written < len(self._packets):
            source = self._packets[self._packets_written]
            if time_s is not None and source.pts * self._time_base > time_s:
                return
            packet = av.Packet(source.data)
            packet.stream = self._audio
            packet.time_base = self._time_base
            # mp4 wants rising times; some files repeat one where they round to milliseconds.
            self._audio_pts = source.pts if self._audio_pts is None else max(source.pts, self._audio_pts + 1)
            packet.pts = packet.dts = self._audio_pts
            packet.duration = source.duration
            self._container.mux(packet)
            self._packets_written += 1


@contextmanager
def write_mp4(
    path: Path,
    *,
    width_px: int,
    height_px: int,
    frame_rate: Fraction,
    audio: AudioTrack | None = None,
    records_sound: bool = False,
) -> Iterator[Mp4Writer]:
    """Open an mp4 file for writing under exactly this name; the caller takes care of half-written files.

    Args:
        path: the file.
        width_px: even.
        height_px: even.
        frame_rate: average frames/s, for the encoder; times come with the frames.
        audio: sound to copy, or None.
        records_sound: sound comes with `write_sound` and is compressed (AAC).

    Raises:
        ValueError: mp4 cannot carry the sound, or the size is odd.
        VideoFileError: the file cannot be written.
    """
    if width_px % 2 or height_px % 2:
        raise ValueError(f"H.264 needs even sizes, got {width_px}x{height_px}")
    if audio:
        check_audio(audio.stream)
    try:
        with av.open(str(path.resolve()), mode="w", format="mp4", options={"movflags": "+faststart"}) as container:
            writer = Mp4Writer(
                container,
                width_px=width_px,
                height_px=height_px,
                frame_rate=frame_rate,
                audio=audio,
                records_sound=records_sound,
            )
            yield writer
            writer.finish()
    except av.FFmpegError as error:
        sound = f", or its {audio.stream.codec_name} sound does not fit mp4" if audio else ""
        raise VideoFileError(f"the mp4 file cannot be written{sound}: {error_reason(error)}") from error


def check_audio(stream: AudioStream) -> None:
    """Find out whether mp4 carries this sound.

    Raises:
        ValueError: it does not; the message says what to do.
    """
    if stream.codec_name not in MP4_AUDIO_CODECS:
        known = ", ".join(sorted(MP4_AUDIO_CODECS))
        raise ValueError(
            f"audio codec {stream.codec_name}: an mp4 file cannot carry it (it carries {known}); "
            "convert the sound first, or leave it out with --no-audio"
        )


def _add_video(
    container: av.container.OutputContainer, width_px: int, height_px: int, frame_rate: Fraction
) -> VideoStream:
    stream = container.add_stream(
        "libx264",
        rate=frame_rate,
        options={"crf": str(CONSTANT_QUALITY), "preset": "veryfast", "bf": "0"},
        width=width_px,
        height=height_px,
        time_base=Fraction(1, TICKS_PER_SECOND),
    )
    stream.codec_context.pix_fmt = "yuv420p"
    tag_colour(stream.codec_context)
    return stream


def _add_recorded(container: av.container.OutputContainer) -> AvAudioStream:
    stream = container.add_stream("aac", rate=RECORDED_HZ, layout="mono")
    stream.codec_context.bit_rate = _RECORDED_BPS
    stream.time_base = Fraction(1, RECORDED_HZ)
    return stream


def _add_audio(container: av.container.OutputContainer, audio: AudioStream) -> AvAudioStream:
    """Add a track for packets that are already compressed.

    PyAV copies a track's parameters only from another track, so a scratch container lends one of the same codec; a
    track that came from a template is never opened as an encoder.
    """
    with av.open(io.BytesIO(), mode="w", format="matroska") as scratch:
        template = scratch.add_stream(audio.codec_name, rate=audio.sample_rate)
        if not isinstance(template, AvAudioStream):
            raise ValueError(f"audio codec must name an audio codec, got {audio.codec_name}")
        stream = container.add_stream_from_template(template, opaque=True)
    stream.codec_context.sample_rate = audio.sample_rate
    stream.codec_context.layout = audio.layout
    stream.codec_context.extradata = audio.extradata or None
    stream.time_base = Fraction(*audio.time_base)
    return stream
