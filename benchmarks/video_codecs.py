"""Ordinary video encoders as a call would run them: low delay, one pass, one packet out for every picture in.

    picture 0, step, 2 step, ... of the source --> encoder --> packet --> decoder --> shown until the next

Quality is constant over a clip (crf): with all of the clip's bits at its disposal this is the most favourable rate
control for the encoder, a call's constant-rate control would need more. Pictures are planar 4:2:0,
uint8 [3 H / 2, W], in and out; colour is the caller's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType

import av
import numpy as np
import numpy.typing as npt
from av.video.codeccontext import VideoCodecContext

from adasr_core.thread_scheduling import ordinary_scheduling
from benchmarks.rtp_cost import PayloadFormat, payload_bytes

YuvPicture = npt.NDArray[np.uint8]

_ENDLESS = "9999"


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoCodec:
    """An encoder with its settings, and the decoder that reads it."""

    name: str
    """As the tables call it."""
    encoder: str
    """FFmpeg's name of the encoder."""
    decoder: str
    """FFmpeg's name of the decoder."""
    form: PayloadFormat
    """How its bytes become RTP payload."""
    best: float
    """Lowest crf that is tried: the finest picture."""
    worst: float
    """Highest crf that the encoder takes."""
    step: float
    """Smallest difference of crf that the encoder knows."""
    options: Mapping[str, str]
    """Options of the encoder; ``{crf}`` stands for the quality."""

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        if not 0 <= self.best < self.worst or self.step <= 0:
            raise ValueError(
                f"{self.name}: got crf {self.best}..{self.worst} in steps of {self.step}, expected a rising range"
            )
        if not any("{crf}" in value for value in self.options.values()):
            raise ValueError(f"{self.name}: options: got no '{{crf}}', expected it where the quality goes")

    @property
    def settings(self) -> str:
        """The options in one line, for reports."""
        return " ".join([self.encoder, *(f"{key}={value}" for key, value in self.options.items())])


VIDEO_CODECS: Mapping[str, VideoCodec] = MappingProxyType(
    {
        codec.name: codec
        for codec in (
            VideoCodec(
                name="svt-av1",
                encoder="libsvtav1",
                decoder="libdav1d",
                form=PayloadFormat.AV1,
                best=20,
                worst=70,
                step=0.25,
                options={
                    "preset": "7",
                    "svtav1-params": "crf={crf}:pred-struct=1:lookahead=0:keyint=-1:scd=0:lp=1",
                },
            ),
            VideoCodec(
                name="x265",
                encoder="libx265",
                decoder="hevc",
                form=PayloadFormat.HEVC,
                best=15,
                worst=51,
                step=0.25,
                options={
                    "preset": "slow",
                    "tune": "zerolatency",
                    "crf": "{crf}",
                    "x265-params": "keyint=-1:scenecut=0:aq-mode=0:psy-rd=0:psy-rdoq=0:info=0:pools=none"
                    ":frame-threads=1:log-level=error",
                },
            ),
            VideoCodec(
                name="vp9",
                encoder="libvpx-vp9",
                decoder="vp9",
                form=PayloadFormat.VP9,
                best=15,
                worst=63,
                step=1,
                options={
                    "deadline": "good",
                    "cpu-used": "2",
                    "lag-in-frames": "0",
                    "auto-alt-ref": "0",
                    "b": "0",
                    "g": _ENDLESS,
                    "crf": "{crf}",
                },
            ),
            VideoCodec(
                name="x264",
                encoder="libx264",
                decoder="h264",
                form=PayloadFormat.H264,
                best=15,
                worst=51,
                step=0.25,
                options={
                    "preset": "slower",
                    "tune": "psnr,zerolatency",
                    "crf": "{crf}",
                    "x264-params": "keyint=infinite:scenecut=0",
                },
            ),
        )
    }
)
"""The encoders of the comparison, each at the slowest preset that codes a frame in about 25 ms on one core."""


@dataclass(frozen=True, slots=True)
class CodedVideo:
    """A clip as an encoder made it.

    packets: one for each coded picture. payloads: bytes of each as RTP carries them. step: every so many source
    frames one was coded.
    """

    codec: VideoCodec
    crf: float
    step: int
    packets: tuple[bytes, ...]
    payloads: tuple[int, ...]

    def decode(self) -> list[YuvPicture]:
        """The coded pictures, planar 4:2:0.

        Raises:
            RuntimeError: the decoder gives another number of pictures.
        """
        decoder = _context(self.codec.decoder, "r")
        pictures: list[YuvPicture] = []
        for packet in [*(av.Packet(data) for data in self.packets), None]:
            pictures.extend(np.asarray(frame.to_ndarray(), np.uint8) for frame in decoder.decode(packet))
        if len(pictures) != len(self.packets):
            raise RuntimeError(f"{self.codec.decoder}: got {len(pictures)} pictures, expected {len(self.packets)}")
        return pictures


def code_video(
    pictures: Sequence[YuvPicture], codec: VideoCodec, crf: float, frame_rate: Fraction, *, step: int = 1
) -> CodedVideo:
    """Code every `step`-th picture of a clip.

    Args:
        pictures: planar 4:2:0, uint8 [3 H / 2, W], all alike; H and W even.
        codec: the encoder and its settings.
        crf: constant quality, in the encoder's own scale.
        frame_rate: of the clip, pictures/s.
        step: 1 codes all, n every n-th.

    Raises:
        ValueError: no picture, or a step below 1.
        RuntimeError: the encoder holds pictures back: it is not set to low delay.
    """
    if not pictures or step < 1:
        raise ValueError(f"pictures, step: got {len(pictures)}, {step}, expected at least 1 of each")
    interval = step / frame_rate
    encoder = _context(codec.encoder, "w")
    encoder.width, encoder.height = pictures[0].shape[1], pictures[0].shape[0] * 2 // 3
    encoder.pix_fmt = "yuv420p"
    encoder.time_base, encoder.framerate = interval, 1 / interval
    encoder.thread_count = 1
    encoder.options = {key: value.replace("{crf}", f"{crf:g}") for key, value in codec.options.items()}
    with ordinary_scheduling():
        encoder.open()
    packets = []
    for number, picture in enumerate(pictures[::step]):
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts, frame.time_base = number, interval
        out = encoder.encode(frame)
        if len(out) != 1:
            raise RuntimeError(f"{codec.encoder}: got {len(out)} packets for a picture, expected 1 at once (low delay)")
        packets.append(bytes(out[0]))
    if encoder.encode(None):
        raise RuntimeError(f"{codec.encoder}: got packets after the last picture, expected none (low delay)")
    return CodedVideo(codec, crf, step, tuple(packets), tuple(payload_bytes(data, codec.form) for data in packets))


def held_pictures(coded: Sequence[YuvPicture], step: int, frames: int) -> list[YuvPicture]:
    """What stands on the display at each of `frames` source frames: the newest coded picture, of any form.

    Raises:
        ValueError: too few or too many pictures for so many frames.
    """
    if len(coded) != -(-frames // step):
        raise ValueError(f"coded: got {len(coded)} pictures, expected {-(-frames // step)} for {frames} frames")
    return [coded[number // step] for number in range(frames)]


def _context(name: str, mode: str) -> VideoCodecContext:
    # SVT-AV1 prints its settings on standard error unless its environment says otherwise; 1 leaves errors.
    os.environ.setdefault("SVT_LOG", "1")
    context = av.codec.CodecContext.create(name, "w" if mode == "w" else "r")
    assert isinstance(context, VideoCodecContext)
    return context
