"""Sound cards through the library sounddevice (PortAudio), which is optional: pip install 'adasr[audio]'."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from receiver.audio_concealment import SAMPLE_RATE_HZ, Samples

_BLOCK = SAMPLE_RATE_HZ // 100


@dataclass(frozen=True, slots=True)
class SoundCard:
    """name: part of the device's name, or its number as sounddevice counts; None for the system's default."""

    name: str | None = None

    def device(self) -> str | int | None:
        """As sounddevice wants it."""
        return int(self.name) if self.name is not None and self.name.isdecimal() else self.name


class CardInput:
    """An open microphone."""

    def __init__(self, stream: Any) -> None:
        """Use ``open_input`` instead."""
        self._stream = stream
        self.latency_s = float(stream.latency)

    def read(self, count: int) -> Samples:
        """Wait for the next samples, float32 [count]. Raises OSError when the device failed."""
        try:
            data, _ = self._stream.read(count)
        except Exception as error:
            raise OSError(f"the sound card stopped ({error}); plug it in again") from error
        samples: Samples = np.array(data, np.float32).reshape(-1)
        return samples

    def close(self) -> None:
        """Stop recording."""
        self._stream.close()


class CardOutput:
    """An open loudspeaker."""

    def __init__(self, stream: Any) -> None:
        """Use ``open_output`` instead."""
        self._stream = stream
        self.latency_s = float(stream.latency)

    def write(self, samples: Samples) -> None:
        """Play samples, float32 [n]; waits while enough are waiting. Raises OSError when the device failed."""
        try:
            self._stream.write(samples.reshape(-1, 1))
        except Exception as error:
            raise OSError(f"the sound card stopped ({error}); plug it in again") from error

    def close(self) -> None:
        """Stop playing."""
        self._stream.close()


def open_input(card: SoundCard) -> CardInput:
    """Open a microphone. Raises OSError when the library or the device is missing."""
    return CardInput(_open(card, "InputStream"))


def open_output(card: SoundCard) -> CardOutput:
    """Open a loudspeaker. Raises OSError when the library or the device is missing."""
    return CardOutput(_open(card, "OutputStream"))


def _open(card: SoundCard, kind: str) -> Any:
    try:
        library = importlib.import_module("sounddevice")
    except (ImportError, OSError) as error:  # OSError: PortAudio itself is missing
        raise OSError(
            f"sound cards need the library sounddevice ({error}); run pip install 'adasr[audio]', on Linux also "
            "install libportaudio2, or name a file"
        ) from error
    try:
        stream = getattr(library, kind)(
            samplerate=SAMPLE_RATE_HZ,
            channels=1,
            dtype="float32",
            blocksize=_BLOCK,
            latency="low",
            device=card.device(),
        )
        stream.start()
    except Exception as error:
        # PortAudio's errors have a class of their own, which only the library names.
        raise OSError(
            f"sound card {card.name or 'default'}: cannot be opened ({error}); is it plugged in, allowed, and free?"
        ) from error
    return stream
