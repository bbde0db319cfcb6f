"""Where sound goes: a wav file, a sound card, or the film that the pictures go into."""

from __future__ import annotations

import wave
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from call.audio_codec import to_int16
from call.sound_card import CardOutput, SoundCard, open_output
from receiver.audio_concealment import SAMPLE_RATE_HZ, Samples


@dataclass(frozen=True, slots=True)
class HeardBlock:
    """Sound as it is heard.

    Attributes:
        samples: float32 [n], 48 kHz mono, -1 to 1.
        capture_s: when the first of them was recorded, on the sender's clock unwrapped; None before any sound came.
        heard_s: our monotonic clock when the first of them is heard.
    """

    samples: Samples
    capture_s: float | None
    heard_s: float


class Speaker(Protocol):
    """Takes sound in real time."""

    @property
    def paces(self) -> bool:
        """Whether `play` waits for the device, whose clock then sets the pace."""

    @property
    def latency_s(self) -> float:
        """From `play` to being heard."""

    def play(self, block: HeardBlock) -> None:
        """Take the next block. Raises OSError when it failed."""

    def close(self) -> None:
        """Finish. Raises OSError when what was asked for could not be written."""


class WavSpeaker:
    """A wav file, 48 kHz mono 16 bits, from the first block that was pulled on."""

    paces = False
    latency_s = 0.0

    def __init__(self, path: Path, open_path: Callable[[Path], AbstractContextManager[Path]]) -> None:
        """Create the file.

        Args:
            path: its name when it is complete.
            open_path: lends the name to write to until then.

        Raises:
            OSError: it cannot be written.
        """
        with ExitStack() as stack:
            partial = stack.enter_context(open_path(path))
            self._file = stack.enter_context(wave.open(str(partial), "wb"))
            self._file.setnchannels(1)
            self._file.setsampwidth(2)
            self._file.setframerate(SAMPLE_RATE_HZ)
            self._open = stack.pop_all()

    def play(self, block: HeardBlock) -> None:
        """Append a block."""
        self._file.writeframes(to_int16(block.samples).astype("<i2").tobytes())

    def close(self) -> None:
        """Finish the file."""
        self._open.close()


class CardSpeaker:
    """A sound card through sounddevice."""

    paces = True

    def __init__(self, card: SoundCard) -> None:
        """Open it. Raises OSError when the library or the device is missing."""
        self._output: CardOutput = open_output(card)
        self.latency_s = self._output.latency_s

    def play(self, block: HeardBlock) -> None:
        """Play a block; waits while enough is waiting."""
        self._output.write(block.samples)

    def close(self) -> None:
        """Stop playing."""
        self._output.close()


class SoundTaker(Protocol):
    """A film that takes sound beside its pictures."""

    def hear(self, block: HeardBlock) -> None:
        """Take a block; must return quickly."""


class FilmSpeaker:
    """Hands sound to a film, and to another speaker if there is one."""

    def __init__(self, film: SoundTaker, other: Speaker | None = None) -> None:
        """film: not closed here. other: sets the pace, and is closed here."""
        self._film = film
        self._other = other

    @property
    def paces(self) -> bool:
        """As the other speaker."""
        return self._other is not None and self._other.paces

    @property
    def latency_s(self) -> float:
        """As the other speaker."""
        return self._other.latency_s if self._other is not None else 0.0

    def play(self, block: HeardBlock) -> None:
        """Take a block. Raises OSError when the other speaker failed."""
        self._film.hear(block)
        if self._other is not None:
            self._other.play(block)

    def close(self) -> None:
        """Finish the other speaker."""
        if self._other is not None:
            self._other.close()


def open_speaker(text: str, open_path: Callable[[Path], AbstractContextManager[Path]]) -> Speaker | None:
    """The speaker that ``--speaker`` names: a wav file, device[:NAME], or none.

    Raises:
        OSError: it cannot be opened.
        ValueError: no wav file.
    """
    head, _, name = text.partition(":")
    if text == "none":
        return None
    if head == "device":
        return CardSpeaker(SoundCard(name or None))
    path = Path(text)
    if path.suffix.lower() != ".wav":
        raise ValueError(f"--speaker: got {text}, expected a .wav file, device, device:NAME or none")
    return WavSpeaker(path, open_path)
