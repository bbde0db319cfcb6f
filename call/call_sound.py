"""Sound in the course of a call: who sends, who hears, when it begins (no thread of its own).

Sound is extra: a peer that says nothing of it has none, and nothing that happens to it ends the call.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from call.audio_receiving import AudioReceivingLoop, AudioReceivingReport
from call.audio_sending import AudioSendingLoop, AudioSendingReport
from call.audio_sinks import Speaker
from call.audio_sources import Microphone
from call.control import Hello, Sound
from call.messages import ToTransport
from call.sending import SendingLoop, SoundView
from sender.audio_rate import LEAST_CAP_BPS
from sender.rate_control import RateControlConfig

_logger = logging.getLogger(__name__)


class CallSound:
    """The two directions of sound of one call; all methods but ``hear`` run in the thread that holds the call."""

    def __init__(
        self,
        microphone: Microphone | None,
        speaker: Speaker | None,
        rate: RateControlConfig,
        send: Callable[[ToTransport], None],
        picture_lag: Callable[[], float | None],
    ) -> None:
        """Prepare both directions.

        Args:
            microphone: where our sound comes from; None sends none.
            speaker: takes the other side's; None plays none.
            rate: of the call.
            send: hands a message to the transport; must not block.
            picture_lag: from capture to showing of the other side's pictures; None while none are shown.
        """
        self._video: SendingLoop | None = None
        self._agreed: Sound | None = None
        self._refused = False
        self._sending = (
            AudioSendingLoop(microphone, rate.mode, send, view=self._view, keep=self._keep)
            if microphone is not None
            else None
        )
        self._receiving = AudioReceivingLoop(speaker, picture_lag) if speaker is not None else None

    @property
    def offer(self) -> Sound | None:
        """What we tell the other side; None when we have no sound at all, which needs no word."""
        if self._sending is None and self._receiving is None:
            return None
        return Sound(self._sending is not None, self._receiving is not None)

    def agree(self, remote: Sound) -> None:
        """Take what the other side does with sound; a second word changes nothing."""
        if self._agreed is not None:
            return
        self._agreed = remote
        if remote.sends and self._receiving is not None:
            self._receiving.start()

    def hear(self, data: bytes) -> None:
        """Take a message of sound; from any thread."""
        if self._receiving is not None and self._agreed is not None:
            self._receiving.hear(data)

    def follow(self, video: SendingLoop | None, remote: Hello | None, now: float) -> None:
        """Begin when both sides are ready, a file's sound with its pictures; later watch the microphone."""
        if self._sending is None or self._refused:
            return
        if self._sending.started:
            self._sending.check(now)
            return
        if self._agreed is None or not self._agreed.receives:
            self._refuse("the other side does not play sound")
            return
        if remote is not None and 0 < remote.max_kbps * 1000 < LEAST_CAP_BPS:
            self._refuse(f"the other side takes no more than {remote.max_kbps} kbps, which the picture needs")
            return
        shown = video if video is not None and remote is not None and remote.receives else None
        origin_s = now if shown is None else shown.began_s
        if origin_s is not None:
            self._video = shown
            self._sending.start(origin_s)

    def stop_sending(self) -> None:
        """Stop the microphone."""
        if self._sending is not None:
            self._sending.stop()

    def stop(self) -> None:
        """Stop both directions."""
        self.stop_sending()
        if self._receiving is not None:
            self._receiving.stop()

    def reports(self) -> tuple[AudioSendingReport | None, AudioReceivingReport | None]:
        """What was sent and what was heard."""
        return (
            self._sending.report() if self._sending is not None else None,
            self._receiving.report() if self._receiving is not None else None,
        )

    def _refuse(self, reason: str) -> None:
        self._refused = True
        _logger.warning("sound is not sent: %s", reason)

    def _view(self) -> SoundView | None:
        return self._video.sound_view if self._video is not None else None

    def _keep(self, bps: float, longest_message_s: float) -> None:
        if self._video is not None:
            self._video.keep_for_sound(bps, longest_message_s)
