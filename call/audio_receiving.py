"""The loudspeaker's half of a media process: messages to sound (one thread).

    transport --link's reader thread--> bounded queue --> AudioPlayout --10 ms at a time--> speaker
                       ReceivingLoop.picture_lag_s ----------^

Sound never ends a call: whatever goes wrong here is logged once, kept for the report, and the pictures go on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from adasr_core.bitstream.audio_packet import AudioMessage
from adasr_core.bitstream.errors import BitstreamError
from call.audio_codec import OpusDecoder
from call.audio_sinks import HeardBlock, Speaker
from call.drop_oldest import DropOldestQueue
from receiver.audio_concealment import SAMPLE_RATE_HZ
from receiver.audio_playout import AudioPlayout, AudioStatistics

_BLOCK = SAMPLE_RATE_HZ // 100
_BLOCK_S = _BLOCK / SAMPLE_RATE_HZ
_WAITING = 64
_BEHIND_S = 0.3
_JOIN_S = 1.0
_SKEW_EVERY_S = 0.1
_SKEWS_KEPT = 36_000
_AHEAD_S = 0.08
_WRAP_S = 65.536

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioReceivingReport:
    """What was heard.

    Attributes:
        messages: messages received.
        malformed: of these, those that could not be read.
        seconds: of sound given to the speaker, silence included.
        skews_ms: how much later than its picture sound was heard, ten times a second while both went on.
        statistics: the jitter buffer's own counts.
        trouble: what went wrong; empty when nothing did.
    """

    messages: int
    malformed: int
    seconds: float
    skews_ms: tuple[float, ...]
    statistics: AudioStatistics
    trouble: str


class AudioReceivingLoop:
    """Receives, decodes and plays until it is stopped."""

    def __init__(self, speaker: Speaker, picture_lag: Callable[[], float | None] = lambda: None) -> None:
        """Prepare; ``start`` begins.

        Args:
            speaker: takes the sound; not closed here.
            picture_lag: from a picture's capture to its showing, seconds; None while nothing is shown.
        """
        self._speaker = speaker
        self._picture_lag = picture_lag
        self._playout = AudioPlayout(OpusDecoder().decode)
        self._inbox: DropOldestQueue[tuple[bytes, float]] = DropOldestQueue(_WAITING)
        self._stop = threading.Event()
        self._messages = self._malformed = self._blocks = 0
        self._skews_ms: deque[float] = deque(maxlen=_SKEWS_KEPT)
        self._compared_s = 0.0
        self._trouble = ""
        self._thread = threading.Thread(target=self._guarded, name="loudspeaker", daemon=True)

    def start(self) -> None:
        """Begin playing."""
        self._thread.start()

    def hear(self, data: bytes) -> None:
        """Take a message that arrives now; from any thread, never blocks."""
        self._inbox.put((data, time.monotonic()))

    def stop(self) -> None:
        """Stop; a device that hangs is left behind (its thread is a daemon)."""
        self._stop.set()
        self._inbox.close()
        if self._thread.ident is not None:
            self._thread.join(_JOIN_S)

    def report(self) -> AudioReceivingReport:
        """What was done so far."""
        return AudioReceivingReport(
            messages=self._messages,
            malformed=self._malformed,
            seconds=self._blocks * _BLOCK_S,
            skews_ms=tuple(self._skews_ms),
            statistics=self._playout.statistics(),
            trouble=self._trouble,
        )

    def _guarded(self) -> None:
        try:
            self._play()
        except Exception as error:  # noqa: BLE001 - sound must not end the pictures
            self._trouble = str(error)
            _logger.warning("sound is not played any more, the call goes on without it: %s", error)

    def _play(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            self._take_until(due)
            now = time.monotonic()
            # What a device does not take in time is late anyway; a thread that was held up does not hurry after.
            due = now if self._speaker.paces or now - due > _BEHIND_S else due
            self._follow_pictures(due)
            heard_s = due + self._speaker.latency_s
            block = self._playout.pull(_BLOCK, heard_s)
            self._speaker.play(HeardBlock(block.samples, block.capture_s, heard_s))
            self._blocks += 1
            due += 0.0 if self._speaker.paces else _BLOCK_S

    def _take_until(self, due: float) -> None:
        """Take what arrives until the next block is due; a flood does not hold it up."""
        overdue = 0
        while not self._stop.is_set():
            patience_s = due - time.monotonic()
            overdue += patience_s <= 0
            entry = self._inbox.take(max(patience_s, 0.0)) if overdue <= _WAITING else None
            if entry is None:
                return
            data, arrived_s = entry
            self._messages += 1
            try:
                self._playout.push(AudioMessage.unpack(data), arrived_s + self._speaker.latency_s)
            except BitstreamError:
                self._malformed += 1

    def _follow_pictures(self, now: float) -> None:
        """Let sound wait for pictures that are later than it, and note how far they are apart."""
        if now - self._compared_s < _SKEW_EVERY_S:
            return
        self._compared_s = now
        lag, delay = self._picture_lag(), self._playout.delay_s
        if lag is None or delay is None:
            return
        # Both clocks are known modulo 65.536 s only.
        apart = (delay - lag + _WRAP_S / 2) % _WRAP_S - _WRAP_S / 2
        self._skews_ms.append(apart * 1000)
        self._playout.hold_to(delay - apart - _AHEAD_S)
