"""Sound that arrives in messages becomes sound that never stops (pure: no I/O, no clock).

    messages --push--> frames by number --decode, when due--> pieces --pull--> blocks of any size
                            |                                   ^
                     late, double: counted           gap: carried on and faded
                                                     too early, too late: in a pause by waiting or skipping,
                                                     within sound by one pitch period more or less

The head is the capture time of the sample that is heard next; it shall be heard `AudioDelay.target_s` later. Drift of
the two clocks shows as a growing difference between the two and is taken up in the same way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from adasr_core.bitstream.audio_packet import AudioMessage
from adasr_core.bitstream.errors import BitstreamError
from receiver.audio_concealment import SAMPLE_RATE_HZ, Concealer, Samples, longer, shorter
from receiver.audio_delay import AudioDelay, AudioDelayConfig

_PIECE = SAMPLE_RATE_HZ // 100
_HISTORY = 1600
_MOST_WAITING = 64
_NEAR_S = 0.006
_TOO_EARLY_S = 0.004  # less than the margin of the delay: beyond that the next frame may not be there
_TOO_LATE_S = 0.02
_LONGEST_STEP_S = 0.015
_BEHIND_S = 0.15
_STRETCH_EVERY = 3
_JUMP_S = 2.0
_TIMES_KEPT = 100_000
_WRAP_MS = 1 << 16
_NEVER = -(1 << 40)


@dataclass(frozen=True, slots=True)
class AudioStatistics:
    """What was heard.

    Attributes:
        frames: frames decoded.
        late: frames that came too late to be heard.
        double: frames that were there already, repeats included.
        damaged: frames that could not be decoded.
        gaps: how often sound was carried on because the next frame was not there.
        stretched: pitch periods put in or left out.
        delays_ms: from capture to being heard, of every frame; the clocks' offset is in it; the latest 100,000.
    """

    frames: int
    late: int
    double: int
    damaged: int
    gaps: int
    stretched: int
    delays_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class AudioBlock:
    """samples: float32 [n], -1 to 1. capture_s: of the first, sender's clock unwrapped; None before any sound."""

    samples: Samples
    capture_s: float | None


@dataclass(frozen=True, slots=True)
class _Waiting:
    number: int
    capture_s: float
    frame_s: float
    packet: bytes


class AudioPlayout:
    """The jitter buffer of one direction; times are seconds on the clock of what is heard.

    A speaker that needs 30 ms hears at `now` what is pulled 30 ms before, so what arrives then counts as arrived `now`.
    """

    def __init__(self, decode: Callable[[bytes, int], Samples], config: AudioDelayConfig | None = None) -> None:
        """Begin empty.

        Args:
            decode: one Opus packet to float32 samples of exactly so many milliseconds; raises BitstreamError.
            config: how long sound waits.
        """
        self._decode = decode
        self._delay = AudioDelay(config if config is not None else AudioDelayConfig())
        self._frames: dict[int, _Waiting] = {}
        self._numbers: tuple[int, float, float] | None = None  # newest number, its capture time, its arrival
        self._played = _NEVER
        self._head_s: float | None = None
        self._pieces: deque[Samples] = deque()
        self._ready = 0
        self._history: Samples = np.zeros(0, np.float32)
        self._gap: Concealer | None = Concealer(self._history)
        self._gap_is_loss = False
        self._since_stretch = 0
        self._counts = dict.fromkeys(("frames", "late", "double", "damaged", "gaps", "stretched"), 0)
        self._delays_ms: deque[float] = deque(maxlen=_TIMES_KEPT)
        self._latest_delay_s: float | None = None

    @property
    def delay_s(self) -> float | None:
        """From capture to being heard, of the frame decoded last; None before one. The clocks' offset is in it."""
        return self._latest_delay_s

    def statistics(self) -> AudioStatistics:
        """Counts so far."""
        return AudioStatistics(**self._counts, delays_ms=tuple(self._delays_ms))

    def hold_to(self, delay_s: float | None) -> None:
        """Pictures are shown so long after their capture: sound shall not run ahead of them."""
        self._delay.hold_to(delay_s)

    def push(self, message: AudioMessage, now: float) -> None:
        """Take a message; what is pulled when it arrives is heard at `now`."""
        newest, capture_s = self._unwrap(message, now)
        frame_s = message.frame_ms / 1000
        transits = []
        for back, packet in enumerate(reversed(message.frames)):
            number = newest - back
            if not packet:
                continue
            if number in self._frames or number == self._played:
                self._counts["double"] += 1
                continue
            if number < self._played:
                # Repeats of what was heard long ago are no news of the line.
                self._counts["double"] += 1
                continue
            frame = _Waiting(number, capture_s - back * frame_s, frame_s, packet)
            transits.append(now - frame.capture_s)
            self._frames[number] = frame
        if transits:
            self._delay.arrived(transits, now)
        while len(self._frames) > _MOST_WAITING:
            del self._frames[min(self._frames)]
            self._counts["late"] += 1
        if self._head_s is None and self._frames:
            self._head_s = self._frames[min(self._frames)].capture_s

    def pull(self, count: int, now: float) -> AudioBlock:
        """The next `count` samples; the first will be heard at `now`."""
        while self._ready < count:
            piece = self._next(now + self._ready / SAMPLE_RATE_HZ)
            if len(piece):
                self._pieces.append(piece)
                self._ready += len(piece)
                self._history = np.concatenate([self._history, piece])[-_HISTORY:]
        capture_s = None if self._head_s is None else self._head_s - self._ready / SAMPLE_RATE_HZ
        joined = np.concatenate(self._pieces)
        self._pieces.clear()
        self._pieces.append(joined[count:])
        self._ready -= count
        return AudioBlock(joined[:count], capture_s)

    def _unwrap(self, message: AudioMessage, now: float) -> tuple[int, float]:
        """Number and capture time of a message's newest frame; a sender that began anew is noticed."""
        if self._numbers is None:
            capture_s, number = message.time_ms / 1000, message.sequence
        else:
            before, before_s, arrived_s = self._numbers
            passed_s = now - arrived_s
            expected_ms = (before_s + passed_s) * 1000
            ahead_ms = (message.time_ms - expected_ms + _WRAP_MS / 2) % _WRAP_MS - _WRAP_MS / 2
            capture_s = (expected_ms + ahead_ms) / 1000
            guess = before + round((capture_s - before_s) * 1000 / message.frame_ms)
            number = guess + (message.sequence - guess + _WRAP_MS // 2) % _WRAP_MS - _WRAP_MS // 2
            if abs(ahead_ms) > _JUMP_S * 1000 or abs(number - guess) > _JUMP_S * 1000 / message.frame_ms:
                self._frames.clear()
                self._delay.restart()
                self._played, self._head_s = _NEVER, None
                self._numbers = None
                return self._unwrap(message, now)
        if self._numbers is None or number > self._numbers[0]:
            self._numbers = (number, capture_s, now)
        return number, capture_s

    def _next(self, now: float) -> Samples:
        """The next piece, to be heard at `now`; empty when time was skipped."""
        if self._head_s is None:
            return np.zeros(_PIECE, np.float32)
        early_s = self._head_s + self._delay.target_s - now
        if early_s < -_BEHIND_S and self._gap is None:
            self._gap = Concealer(self._history)  # nobody pulled for a while: what is too late by now is left out
        frame = self._first(now)
        paused = self._gap is not None and self._gap.silent
        if frame is not None and self._follows(frame) and not (paused and early_s > _NEAR_S):
            return self._decoded(frame, early_s, now)
        room_s = frame.capture_s - self._head_s if frame is not None else float("inf")
        if paused and early_s > _NEAR_S:
            return np.zeros(min(round(early_s * SAMPLE_RATE_HZ), _PIECE), np.float32)
        if paused and early_s < -_NEAR_S and room_s > 0:
            self._head_s += min(-early_s, room_s)
            return np.zeros(0, np.float32)
        if self._gap is None:
            self._gap = Concealer(self._history)
            self._counts["gaps"] += 1
        count = max(min(_PIECE, round(room_s * SAMPLE_RATE_HZ) if room_s < 1 else _PIECE), 1)
        self._head_s += count / SAMPLE_RATE_HZ
        return self._gap.take(count)

    def _first(self, now: float) -> _Waiting | None:
        """The oldest frame that can still be heard."""
        while self._frames:
            frame = self._frames[min(self._frames)]
            late_s = now - frame.capture_s - self._delay.target_s
            if self._gap is None or late_s <= frame.frame_s / 2 + _NEAR_S:
                return frame
            del self._frames[frame.number]
            self._played = max(self._played, frame.number)
            self._counts["late"] += 1
            self._delay.arrived([now - frame.capture_s], now)
        return None

    def _follows(self, frame: _Waiting) -> bool:
        """Whether this frame is the next to be heard."""
        assert self._head_s is not None
        return (frame.number == self._played + 1 and self._gap is None) or frame.capture_s - self._head_s <= _NEAR_S

    def _decoded(self, frame: _Waiting, early_s: float, now: float) -> Samples:
        del self._frames[frame.number]
        self._played = frame.number
        self._head_s = frame.capture_s + frame.frame_s
        try:
            samples = self._decode(frame.packet, round(frame.frame_s * 1000))
        except BitstreamError:
            self._counts["damaged"] += 1
            self._gap = self._gap or Concealer(self._history)
            return self._gap.take(round(frame.frame_s * SAMPLE_RATE_HZ))
        self._counts["frames"] += 1
        self._latest_delay_s = now - frame.capture_s
        self._delays_ms.append(self._latest_delay_s * 1000)
        if self._gap is not None:
            samples = self._gap.join(samples)
            self._gap = None
        return self._at_its_pace(samples, early_s)

    def _at_its_pace(self, samples: Samples, early_s: float) -> Samples:
        """Draw sound out or shorten it where it runs ahead of its time, or behind."""
        self._since_stretch += 1
        if -_TOO_LATE_S <= early_s <= _TOO_EARLY_S or self._since_stretch < _STRETCH_EVERY:
            return samples
        most = round(_LONGEST_STEP_S * SAMPLE_RATE_HZ)
        changed = longer(samples, most) if early_s > 0 else shorter(samples, most)
        if len(changed) != len(samples):
            self._since_stretch = 0
            self._counts["stretched"] += 1
        return changed
