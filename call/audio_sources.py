"""Where sound comes from: a file at its own pace, FFmpeg's capture devices, or a sound card through sounddevice.

A microphone yields blocks of 48 kHz mono as they are recorded. Devices open when the call sends; a missing one is
known before, by `check`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import av
import numpy as np
from av.audio.resampler import AudioResampler

from call.sound_card import SoundCard, open_input
from receiver.audio_concealment import SAMPLE_RATE_HZ, Samples

CAPTURE_FORMATS = ("alsa", "pulse", "avfoundation", "dshow")
"""FFmpeg's devices that record sound; which of them this build has, `check` finds out."""

_BLOCK = SAMPLE_RATE_HZ // 50
_POLL_S = 0.005


class MicrophoneError(OSError):
    """A microphone cannot be opened, or stopped giving sound."""


@dataclass(frozen=True, slots=True)
class SoundBlock:
    """samples: float32 [n], -1 to 1. end_s: when its last sample was recorded, monotonic; for a file, was due."""

    samples: Samples
    end_s: float


class Microphone(Protocol):
    """Gives sound in real time."""

    def check(self) -> None:
        """Find out before a call begins whether it can be opened. Raises MicrophoneError."""

    def blocks(self, stop: threading.Event, origin_s: float) -> Iterator[SoundBlock]:
        """Blocks as they are recorded, until it ends or ``stop`` is set; a file began at `origin_s`.

        Raises:
            MicrophoneError: it failed.
        """


@dataclass(frozen=True, slots=True)
class FileMicrophone:
    """Any file with sound, played at its own pace.

    Attributes:
        path: the file.
        repeat: start again at the end; a video's sound begins anew with its pictures.
    """

    path: Path
    repeat: bool = False

    def check(self) -> None:
        """Find out whether the file has sound.

        Raises:
            MicrophoneError: it cannot be read, or has none.
        """
        with _open(str(self.path), None) as container:
            if not container.streams.audio:
                raise MicrophoneError(f"{self.path}: no sound in this file; choose another, or leave --microphone out")

    def blocks(self, stop: threading.Event, origin_s: float) -> Iterator[SoundBlock]:
        """Blocks of 20 ms, each when it is due; what was due before the first call is skipped.

        Raises:
            MicrophoneError: the file cannot be read.
        """
        round_s = origin_s
        began_s = time.monotonic()
        while not stop.is_set():
            position = 0
            for samples, length_s in self._pieces():
                end_s = round_s + (position + len(samples)) / SAMPLE_RATE_HZ
                position += len(samples)
                if position / SAMPLE_RATE_HZ > length_s:
                    break
                if end_s < began_s:
                    continue
                if stop.wait(max(0.0, end_s - time.monotonic())):
                    return
                yield SoundBlock(samples, end_s)
            if not self.repeat or position == 0:
                return
            round_s += min(self._length_s(), 86_400.0)

    def _length_s(self) -> float:
        """How long one round takes: as long as the pictures, where there are some."""
        with _open(str(self.path), None) as container:
            for stream in (*container.streams.video, *container.streams.audio):
                if stream.duration is not None and stream.time_base is not None:
                    return float(stream.duration * stream.time_base)
            return float(container.duration or 0) / av.time_base

    def _pieces(self) -> Iterator[tuple[Samples, float]]:
        """All of the file in blocks of 20 ms, silence before sound that begins late, and how long a round takes."""
        length_s = self._length_s() if self.repeat else float("inf")
        rest = np.zeros(0, np.float32)
        first = True
        with _open(str(self.path), None) as container:
            for frame_s, samples in _decode(container, str(self.path)):
                if first and frame_s > 0:
                    rest = np.zeros(min(round(frame_s * SAMPLE_RATE_HZ), 60 * SAMPLE_RATE_HZ), np.float32)
                first = False
                rest = np.concatenate([rest, samples])
                while len(rest) >= _BLOCK:
                    yield rest[:_BLOCK], length_s
                    rest = rest[_BLOCK:]


@dataclass(frozen=True, slots=True)
class CaptureMicrophone:
    """A recording device of FFmpeg's.

    Attributes:
        device_format: one of `CAPTURE_FORMATS`.
        device: the system's name for it, as ``default`` (alsa) or ``:0`` (avfoundation).
    """

    device_format: str
    device: str

    def check(self) -> None:
        """Open the device and close it again.

        Raises:
            MicrophoneError: there is no such device, or it is in use.
        """
        _open(self.device, self.device_format).close()

    def blocks(self, stop: threading.Event, origin_s: float) -> Iterator[SoundBlock]:
        """Blocks as the device gives them.

        Raises:
            MicrophoneError: the device stopped.
        """
        name = f"{self.device_format}:{self.device}"
        with _open(self.device, self.device_format) as container:
            while not stop.is_set():
                try:
                    for _, samples in _decode(container, name):
                        yield SoundBlock(samples, time.monotonic())
                        if stop.is_set():
                            return
                except av.BlockingIOError:  # nothing recorded yet
                    stop.wait(_POLL_S)
                    continue
                break
        if not stop.is_set():
            raise MicrophoneError(f"microphone {name}: it gave no more sound; plug it in again")


@dataclass(frozen=True, slots=True)
class SoundCardMicrophone:
    """A microphone through the library sounddevice (PortAudio).

    Attributes:
        card: which one.
    """

    card: SoundCard

    def check(self) -> None:
        """Open it and close it again.

        Raises:
            MicrophoneError: the library or the device is missing, or in use.
        """
        try:
            open_input(self.card).close()
        except OSError as error:
            raise MicrophoneError(f"microphone: {error}") from error

    def blocks(self, stop: threading.Event, origin_s: float) -> Iterator[SoundBlock]:
        """Blocks of 20 ms as they are recorded.

        Raises:
            MicrophoneError: the device failed.
        """
        try:
            stream = open_input(self.card)
            try:
                while not stop.is_set():
                    samples = stream.read(_BLOCK)
                    yield SoundBlock(samples, time.monotonic() - stream.latency_s)
            finally:
                stream.close()
        except OSError as error:
            raise MicrophoneError(f"microphone: {error}") from error


def parse_microphone(text: str, video: Path | None, *, repeat: bool) -> Microphone | None:
    """The microphone that ``--microphone`` names: a file, source, device[:NAME], FORMAT:NAME, or none.

    Args:
        text: as the user wrote it.
        video: the video file that is sent, for ``source``.
        repeat: that video begins again at its end.

    Raises:
        MicrophoneError: it cannot be opened.
        ValueError: ``source`` without a video file.
    """
    head, _, name = text.partition(":")
    microphone: Microphone
    if text == "none":
        return None
    if text == "source":
        if video is None:
            raise ValueError("--microphone source: got no video file to take it from; name a file in --source")
        microphone = FileMicrophone(video, repeat)
    elif head == "device":
        microphone = SoundCardMicrophone(SoundCard(name or None))
    elif head in CAPTURE_FORMATS and name:
        microphone = CaptureMicrophone(head, name)
    else:
        microphone = FileMicrophone(Path(text))
    microphone.check()
    return microphone


def _open(name: str, device_format: str | None) -> av.container.InputContainer:
    try:
        return av.open(name, format=device_format)
    except (av.FFmpegError, OSError, ValueError) as error:
        what = name if device_format is None else f"{device_format}:{name}"
        reason = getattr(error, "strerror", None) or str(error)
        raise MicrophoneError(f"microphone {what}: cannot be opened ({reason}); is it there and not in use?") from error


def _decode(container: av.container.InputContainer, name: str) -> Iterator[tuple[float, Samples]]:
    """Sound as 48 kHz mono with its time in seconds."""
    resampler = AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE_HZ)
    try:
        for frame in container.decode(audio=0):
            when = frame.time or 0.0
            for piece in resampler.resample(frame):
                yield when, piece.to_ndarray().reshape(-1).astype(np.float32, copy=False)
    except av.BlockingIOError:
        raise
    except (av.FFmpegError, OSError, ValueError, IndexError) as error:
        raise MicrophoneError(f"microphone {name}: cannot be read ({error}); choose another") from error
