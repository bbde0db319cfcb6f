"""Sound in the demo: kept exactly for the film, and measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from call.audio_codec import to_int16
from call.audio_sinks import HeardBlock
from call.peer_config import CallReport
from call.sound_track import SoundTrack
from receiver.audio_concealment import Samples

_WRAP_MS = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundFigures:
    """What the sound of a demo took; both peers read one clock.

    Attributes:
        seconds_sent: of sound that was no silence.
        seconds: recorded in all.
        payload_kbps: of sound messages before any transport header, mean over all that was recorded.
        messages: messages of sound.
        messages_alone: of these, those that left without a motion message.
        mouth_to_ear_ms_p50: from recording a sample to handing it to the speaker, median; None when nothing was heard.
        mouth_to_ear_ms_p95: the same, 95th percentile.
        skew_ms_p50: how much later than its picture sound was heard, median; None without pictures.
        gaps: how often sound was carried on because nothing was there, pauses included.
        late: frames that came too late to be heard.
    """

    seconds_sent: float
    seconds: float
    payload_kbps: float
    messages: int
    messages_alone: int
    mouth_to_ear_ms_p50: float | None
    mouth_to_ear_ms_p95: float | None
    skew_ms_p50: float | None
    gaps: int
    late: int


def measure_sound(sending: CallReport, receiving: CallReport) -> SoundFigures | None:
    """Work out the figures; None when no sound was sent."""
    sent, heard, totals = sending.sound_sent, receiving.sound_heard, sending.statistics
    if sent is None or heard is None or totals is None:
        return None
    seconds = sent.frames * sent.frame_ms / 1000
    delays = [delay % _WRAP_MS for delay in heard.statistics.delays_ms]
    return SoundFigures(
        seconds_sent=sent.frames_sent * sent.frame_ms / 1000,
        seconds=seconds,
        payload_kbps=totals.audio_bytes * 8 / 1000 / seconds if seconds else 0.0,
        messages=totals.audio_sent,
        messages_alone=totals.audio_alone,
        mouth_to_ear_ms_p50=float(np.percentile(delays, 50)) if delays else None,
        mouth_to_ear_ms_p95=float(np.percentile(delays, 95)) if delays else None,
        skew_ms_p50=float(np.percentile(heard.skews_ms, 50)) if heard.skews_ms else None,
        gaps=heard.statistics.gaps,
        late=heard.statistics.late,
    )


class SoundStore:
    """A speaker that keeps all sound in a temporary file, at its capture times."""

    paces = False
    latency_s = 0.0

    def __init__(self, path: Path) -> None:
        """Create the file."""
        self.begin_s: float | None = None
        self._file = path.open("wb")
        self._track: SoundTrack | None = None

    def play(self, block: HeardBlock) -> None:
        """Append a block; what comes before the first sound is left out."""
        if block.capture_s is None:
            return
        if self._track is None:
            self.begin_s = block.capture_s
            self._track = SoundTrack(block.capture_s)
        self._file.write(to_int16(self._track.place(block.samples, block.capture_s)).tobytes())

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


@dataclass(frozen=True, slots=True)
class StoredSound:
    """Where the sound of a demo lies. path: 16-bit numbers, 48 kHz mono. begin_s: capture time of the first."""

    path: Path
    begin_s: float

    def beside(self, first_picture_ms: int) -> Samples:
        """All of it as it belongs beside pictures that begin at this capture time, float32 [n]."""
        stored: npt.NDArray[np.int16] = np.fromfile(self.path, np.int16)
        samples = (stored / np.float32(32768)).astype(np.float32)
        return SoundTrack(first_picture_ms / 1000).place(samples, self.begin_s)
