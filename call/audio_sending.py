"""The microphone's half of a media process: sound to coded frames (one thread).

    microphone --blocks--> frames --gate--> silence: nothing
                                     +----> Opus --> transport, where frames wait for motion
              SendingLoop.sound_view --> bitrate, repeats --> SendingLoop.keep_for_sound

Sound never ends a call: whatever goes wrong here is logged once, kept for the report, and the pictures go on.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from call.audio_codec import LOOKAHEAD_S, OpusEncoder
from call.audio_sources import Microphone
from call.messages import SendAudio, ToTransport
from call.sending import SoundView
from receiver.audio_concealment import SAMPLE_RATE_HZ, Samples
from sender.audio_clock import AudioClock
from sender.audio_gate import AudioGate
from sender.audio_gather import AudioFrame
from sender.audio_rate import AudioRate, audio_rules
from sender.plan_choice import DelayMode

_SILENT_S = 5.0
_JOIN_S = 1.0

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioSendingReport:
    """What was sent of sound.

    Attributes:
        frames: frames recorded.
        frames_sent: of these, those with sound in them.
        frame_ms: duration of each.
        bytes: of their Opus packets.
        bitrate_bps: of the codec, at the end.
        trouble: what went wrong; empty when nothing did.
    """

    frames: int
    frames_sent: int
    frame_ms: int
    bytes: int
    bitrate_bps: int
    trouble: str


class AudioSendingLoop:
    """Records, codes and sends until the microphone ends or it is stopped."""

    def __init__(
        self,
        microphone: Microphone,
        mode: DelayMode,
        send: Callable[[ToTransport], None],
        *,
        view: Callable[[], SoundView | None] = lambda: None,
        keep: Callable[[float, float], None] = lambda bps, longest_message_s: None,
    ) -> None:
        """Prepare; ``start`` begins.

        Args:
            microphone: where sound comes from.
            mode: what the other end shall have first.
            send: hands a message to the transport; must not block.
            view: what is known of the line; None while nothing is.
            keep: tells the video how much of the line to leave to sound, bits a second, and how far apart motion
                messages may be, seconds.
        """
        self._microphone = microphone
        self._send = send
        self._view = view
        self._keep = keep
        self._rules = audio_rules(mode)
        self._rate = AudioRate(self._rules)
        self._gate = AudioGate(self._rules.frame_ms / 1000)
        self._clock = AudioClock(self._rules.frame_ms / 1000)
        self._encoder = OpusEncoder(self._rules.frame_ms, self._rate.bitrate_bps)
        self._stop = threading.Event()
        self._frames = self._frames_sent = self._bytes = 0
        self._heard_s = 0.0
        self._origin_s = 0.0
        self._trouble = ""
        self._thread = threading.Thread(target=self._guarded, name="microphone", daemon=True)

    @property
    def started(self) -> bool:
        """True once ``start`` was called."""
        return self._thread.ident is not None

    def start(self, origin_s: float) -> None:
        """Begin; a file began at `origin_s`, monotonic seconds."""
        self._origin_s = origin_s
        self._heard_s = time.monotonic()
        self._thread.start()

    def check(self, now: float) -> None:
        """Say once that the microphone gives nothing: an unplugged one may just stop."""
        if self._thread.is_alive() and now - self._heard_s > _SILENT_S:
            self._fail(f"the microphone gave nothing for {_SILENT_S:g} s; is it still connected?")
            self._stop.set()

    def stop(self) -> None:
        """Stop; a microphone that hangs is left behind (its thread is a daemon)."""
        self._stop.set()
        if self.started:
            self._thread.join(_JOIN_S)
        self._keep(0.0, math.inf)

    def report(self) -> AudioSendingReport:
        """What was done so far."""
        return AudioSendingReport(
            frames=self._frames,
            frames_sent=self._frames_sent,
            frame_ms=self._rules.frame_ms,
            bytes=self._bytes,
            bitrate_bps=self._rate.bitrate_bps,
            trouble=self._trouble,
        )

    def _fail(self, reason: str) -> None:
        if not self._trouble:
            self._trouble = reason
            _logger.warning("sound is not sent any more, the call goes on without it: %s", reason)

    def _guarded(self) -> None:
        try:
            self._record()
        except Exception as error:  # noqa: BLE001 - sound must not end the pictures
            self._fail(str(error))
        finally:
            self._keep(0.0, math.inf)

    def _record(self) -> None:
        rest: Samples = np.zeros(0, np.float32)
        size = self._encoder.frame_samples
        for block in self._microphone.blocks(self._stop, self._origin_s):
            self._heard_s = time.monotonic()
            rest = np.concatenate([rest, block.samples])
            while len(rest) >= size:
                end_s = block.end_s - (len(rest) - size) / SAMPLE_RATE_HZ
                self._code(rest[:size], end_s)
                rest = rest[size:]

    def _code(self, samples: Samples, end_s: float) -> None:
        now = time.monotonic()
        number, began_s = self._clock.frame(end_s)
        self._frames += 1
        repeats = self._follow_line(now)
        # Coded whether it is sent or not: the coder's state stays that of the sound.
        packet = self._encoder.encode(samples)
        if not self._gate.passes(samples):
            return
        self._rate.spoke(now)
        self._frames_sent += 1
        self._bytes += len(packet)
        frame = AudioFrame(
            frame_ms=self._rules.frame_ms,
            sequence=number,
            time_s=began_s - LOOKAHEAD_S,
            packet=packet,
            patience_s=self._rules.patience_s,
            repeats=repeats,
        )
        self._send(SendAudio(frame))

    def _follow_line(self, now: float) -> int:
        """Choose the bitrate for what the line carries; returns how many frames are repeated."""
        view = self._view()
        if view is None:
            self._reserve(0, alone=True, now=now)
            return 0
        self._rate.follow(view.shared_bps, lossy=view.lossy, now=now)
        if self._rate.bitrate_bps != self._encoder.bitrate_bps:
            self._encoder = OpusEncoder(self._rules.frame_ms, self._rate.bitrate_bps)
        repeats = self._rate.repeats(view.shared_bps, lossy=view.lossy)
        self._reserve(repeats, alone=not view.moving, now=now)
        return repeats

    def _reserve(self, repeats: int, *, alone: bool, now: float) -> None:
        bps = self._rate.reserve_bps(repeats=repeats, alone=alone, now=now)
        self._keep(bps, self._rules.longest_message_s if bps else math.inf)
