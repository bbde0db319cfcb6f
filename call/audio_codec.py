"""Opus through PyAV (libopus): 48 kHz, mono, for speech, at a constant bitrate.

Constant, because a cap on the wire is a promise: with `vbr=constrained` frames of 60 ms at 6 kbit/s came out at 9.2.
FFmpeg's wrapper offers DTX (`dtx`), and ignores it at 48 kHz mono: silence still took 6 bytes a frame; so silence is
left out by `sender.audio_gate`. It writes in-band FEC (`fec`, `packet_loss`), but its decoder has no way to ask for it,
so lost frames are covered by repeats (`sender.audio_gather`) and concealment (`receiver.audio_concealment`).
"""

from __future__ import annotations

import av
import numpy as np
import numpy.typing as npt
from av.audio.codeccontext import AudioCodecContext

from adasr_core.bitstream.errors import BitstreamError
from receiver.audio_concealment import SAMPLE_RATE_HZ, Samples

LOOKAHEAD_S = 312 / SAMPLE_RATE_HZ
"""A decoded frame is so much older than the samples that its packet was made from."""

_FULL_SCALE = 32768.0


class OpusEncoder:
    """Turns frames of one duration into packets."""

    def __init__(self, frame_ms: int, bitrate_bps: int) -> None:
        """frame_ms: 20, 40 or 60. bitrate_bps: 6,000 to 64,000, kept exactly."""
        self.bitrate_bps = bitrate_bps
        self.frame_samples = SAMPLE_RATE_HZ * frame_ms // 1000
        context = av.CodecContext.create("libopus", "w")
        assert isinstance(context, AudioCodecContext)
        context.sample_rate = SAMPLE_RATE_HZ
        context.layout = "mono"
        context.format = "s16"
        context.bit_rate = bitrate_bps
        context.options = {"application": "voip", "frame_duration": str(frame_ms), "vbr": "off"}
        context.open()
        self._context = context
        self._pts = 0

    def encode(self, samples: Samples) -> bytes:
        """The packet of one frame, float32 [frame_samples], -1 to 1."""
        whole = to_int16(samples)
        assert whole.shape == (self.frame_samples,), "a frame has the encoder's own size"
        frame = av.AudioFrame.from_ndarray(whole[None], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE_HZ
        frame.pts = self._pts
        self._pts += self.frame_samples
        (packet,) = self._context.encode(frame)
        return bytes(packet)


class OpusDecoder:
    """Turns packets into samples; keeps the state of one direction."""

    def __init__(self) -> None:
        """Start without a packet."""
        context = av.CodecContext.create("libopus", "r")
        assert isinstance(context, AudioCodecContext)
        context.sample_rate = SAMPLE_RATE_HZ
        context.layout = "mono"
        self._context = context

    def decode(self, packet: bytes, frame_ms: int) -> Samples:
        """The samples of one packet, float32 [48 * frame_ms], -1 to 1.

        Raises:
            BitstreamError: no Opus packet of this duration.
        """
        try:
            frames = self._context.decode(av.Packet(packet))
        except (av.FFmpegError, ValueError) as error:
            raise BitstreamError(f"audio frame: no Opus packet ({error}); drop the frame") from error
        parts = [frame.to_ndarray().reshape(-1) for frame in frames if frame.layout.name == "mono"]
        samples = np.concatenate(parts).astype(np.float32) / _FULL_SCALE if parts else np.zeros(0, np.float32)
        if len(samples) != frame_ms * SAMPLE_RATE_HZ // 1000:
            raise BitstreamError(f"audio frame: got {len(samples)} samples, expected {frame_ms} ms; drop the frame")
        return samples


def to_int16(samples: Samples) -> npt.NDArray[np.int16]:
    """Samples of -1 to 1 as 16-bit numbers; what is louder is cut."""
    return np.clip(np.round(samples * _FULL_SCALE), -32768, 32767).astype(np.int16)
