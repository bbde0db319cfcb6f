"""Sound like speech, made here: a gliding voice in syllables, with pauses; and how alike two sounds are."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt

from call.audio_codec import to_int16

Samples = npt.NDArray[np.float32]

_HOP = 480


def speech(seconds: float, *, pauses: bool = True) -> Samples:
    """48 kHz mono: harmonics of 100 to 160 Hz, three syllables a second, 0.6 s of silence every 2 s."""
    t = np.arange(int(seconds * 48_000)) / 48_000
    phase = 2 * np.pi * np.cumsum(130 + 30 * np.sin(2 * np.pi * 0.7 * t)) / 48_000
    voice = np.sum([np.sin(number * phase) / number for number in range(1, 12)], axis=0)
    syllables = np.clip(np.sin(2 * np.pi * 3.1 * t) + 0.4, 0, 1)
    spoken = (t % 2.0 < 1.4) if pauses else np.ones(len(t), bool)
    made: Samples = (0.15 * syllables * spoken * voice).astype(np.float32)
    return made


def write_wav(path: Path, samples: Samples) -> Path:
    """A file of it."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(to_int16(samples).astype("<i2").tobytes())
    return path


def envelope(samples: Samples) -> npt.NDArray[np.float64]:
    """Loudness every 10 ms."""
    whole = samples[: len(samples) // _HOP * _HOP].astype(np.float64).reshape(-1, _HOP)
    loud: npt.NDArray[np.float64] = np.sqrt(np.mean(np.square(whole), axis=1))
    return loud


def likeness(sent: Samples, heard: Samples, longest_s: float = 1.0) -> tuple[float, float]:
    """Correlation of the two envelopes, and how far `heard` lies behind at the best of them, seconds."""
    a, b = envelope(sent), envelope(heard)
    best = (-1.0, 0.0)
    for shift in range(int(longest_s * 100)):
        count = min(len(a), len(b) - shift)
        if count > 50 and b[shift : shift + count].any():
            best = max(best, (float(np.corrcoef(a[:count], b[shift : shift + count])[0, 1]), shift / 100))
    return best
