"""Videos with faces, made on the spot from the sample clip and scikit-image's astronaut."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import skimage.data

Picture = npt.NDArray[np.uint8]

WIDTH_PX, HEIGHT_PX = 960, 540
RATE_HZ = 25
PORTRAIT_PX = 440
SAMPLE_CLIP = Path(__file__).parents[3] / "adasr" / "sample" / "portrait.mp4"


def scale(picture: Picture, width_px: int, height_px: int) -> Picture:
    """A picture resized, averaging where it shrinks."""
    shrinks = width_px < picture.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (width_px, height_px), interpolation=method), np.uint8)


@cache
def portrait_pictures() -> tuple[Picture, ...]:
    """The first 60 frames of the sample clip, 512x512."""
    with av.open(str(SAMPLE_CLIP)) as container:
        frames = (frame for _, frame in zip(range(60), container.decode(video=0), strict=False))
        return tuple(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in frames)


@cache
def astronaut() -> Picture:
    """The astronaut's head, 540x540."""
    head = skimage.data.astronaut()[0:270, 90:360]
    return scale(head, 540, 540)


def background(seed: int) -> Picture:
    """A soft, coloured pattern without faces, [540, 960, 3]."""
    coarse = np.random.default_rng(seed).integers(30, 220, (6, 10, 3), dtype=np.uint8)
    return scale(coarse, WIDTH_PX, HEIGHT_PX)


def place(canvas: Picture, picture: Picture, x: int, y: int) -> Picture:
    """A copy of a canvas with a picture on it."""
    together = canvas.copy()
    together[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
    return together


def portrait_place(number: int) -> tuple[int, int]:
    """Left and top of the portrait in frame `number` of `portrait_shot`."""
    return 100 + 2 * number, 50


def portrait_shot(frames: int) -> list[Picture]:
    """The portrait moving slowly to the right over a still background."""
    canvas = background(1)
    pictures = []
    for number in range(frames):
        small = scale(portrait_pictures()[number], PORTRAIT_PX, PORTRAIT_PX)
        pictures.append(place(canvas, small, *portrait_place(number)))
    return pictures


def astronaut_shot(frames: int) -> list[Picture]:
    """The astronaut swaying over another background."""
    canvas = background(2)
    return [place(canvas, astronaut(), 250 + round(20 * np.sin(number / 8)), 0) for number in range(frames)]


def empty_shot(frames: int) -> list[Picture]:
    """Nobody."""
    return [background(3)] * frames


def two_faces_shot(frames: int) -> list[Picture]:
    """Portrait and astronaut side by side."""
    small, head = scale(portrait_pictures()[0], 440, 440), scale(astronaut(), 480, 480)
    return [place(place(background(4), small, 20, 50), head, 480, 30)] * frames


def add_burst(silent: Path, out: Path, *, seconds: float, burst_s: float) -> None:
    """Copy a clip's pictures and add sound: silence, and from `burst_s` on a loud tone for 0.2 s."""
    rate_hz = 48000
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    loud = (time_s >= burst_s) & (time_s < burst_s + 0.2)
    samples = (np.sin(time_s * 2 * np.pi * 880) * loud * 20000).astype(np.int16)
    with av.open(str(silent)) as source, av.open(str(out), mode="w") as container:
        pictures = source.streams.video[0]
        video = container.add_stream_from_template(pictures)
        sound = container.add_stream("pcm_s16le", rate=rate_hz)
        sound.layout = "mono"
        for packet in source.demux(pictures):
            if packet.size:
                packet.stream = video
                container.mux(packet)
        for first in range(0, len(samples), 1200):
            frame = av.AudioFrame.from_ndarray(samples[None, first : first + 1200], format="s16", layout="mono")
            frame.sample_rate = rate_hz
            frame.pts = first
            frame.time_base = Fraction(1, rate_hz)
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
