"""Small video files of every kind, made on the spot."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

Picture = npt.NDArray[np.uint8]


def numbered_pictures(count: int, width_px: int = 64, height_px: int = 64) -> list[Picture]:
    """Pictures that tell their number by their grey level, with a bright upper left quarter to tell which way is up."""
    pictures = []
    for number in range(count):
        picture = np.full((height_px, width_px, 3), 40 + 6 * (number % 20), np.uint8)
        picture[: height_px // 2, : width_px // 2] += 80
        pictures.append(picture)
    return pictures


def write_clip(
    path: Path,
    pictures: Sequence[Picture],
    *,
    rate: int | Fraction = 25,
    times: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 90_000),
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    audio_codec: str | None = None,
    rotation: float = 0.0,
    audio_s: float | None = None,
    preset: str = "ultrafast",
) -> None:
    """Write pictures as a video file; the container goes by the file's name.

    times: presentation times in `time_base` units; None spaces the pictures evenly.
    """
    height, width = pictures[0].shape[:2]
    spacing = 1 / Fraction(rate) / time_base
    with av.open(str(path), mode="w") as container:
        video = container.add_stream(codec, rate=rate, time_base=time_base)
        assert isinstance(video, VideoStream)
        video.width, video.height, video.pix_fmt = width, height, pixel_format
        if codec == "libx264":
            video.options = {"crf": "1", "preset": preset}
        if rotation:
            video.set_display_rotation(rotation)
        audio = _add_audio(container, audio_codec) if audio_codec else None
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixel_format)
            frame.pts = times[number] if times is not None else round(number * spacing)
            frame.time_base = time_base
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if audio is not None:
            _write_tone(container, audio, audio_s if audio_s is not None else len(pictures) / float(rate))


def _add_audio(container: av.container.OutputContainer, codec: str) -> AudioStream:
    stream = container.add_stream(codec, rate=48_000)
    assert isinstance(stream, AudioStream)
    stream.codec_context.layout = "mono"
    return stream


def _write_tone(container: av.container.OutputContainer, stream: AudioStream, seconds: float) -> None:
    samples_per_frame = 1024
    resampler: Any = None
    for start in range(0, int(seconds * 48_000), samples_per_frame):
        phase = np.arange(start, start + samples_per_frame) * (2 * np.pi * 440 / 48_000)
        frame = av.AudioFrame.from_ndarray(np.sin(phase, dtype=np.float32)[None], format="fltp", layout="mono")
        frame.sample_rate = 48_000
        frame.pts = start
        if resampler is None:
            context = stream.codec_context
            resampler = av.AudioResampler(
                format=context.format, layout="mono", rate=48_000, frame_size=context.frame_size or None
            )
        for converted in resampler.resample(frame):
            container.mux(stream.encode(converted))
    container.mux(stream.encode())
