"""The five data channels of a call, negotiated by number so that nothing is announced in band.

======== == ============================= ==================================================
name     id delivery                      carries
======== == ============================= ==================================================
control  0  reliable, ordered             msgpack messages (call.control)
key      1  unordered, never repeated     references in acknowledged chunks (call.key_transfer)
motion   2  unordered, never repeated     one motion message a datagram
feedback 3  unordered, never repeated     what the receiver decoded, one message a datagram
audio    4  unordered, never repeated     frames of sound (adasr_core.bitstream.audio_packet)
======== == ============================= ==================================================

What leaves in one turn of the event loop shares a datagram (call.sctp_tuning), so a feedback message and, at low rates,
a chunk of a reference wait up to 40 ms for a motion message that is expected by then: that saves 77 bytes of headers.
Sound waits for the next motion message as long as its sender allows.

What the peer sends is caught here: a malformed message is counted and dropped. No handler may raise, because aiortc
closes the connection when one does.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from aiortc import RTCDataChannel, RTCPeerConnection
from aiortc.exceptions import InvalidStateError

from adasr_core.bitstream.audio_packet import MAX_AUDIO_MESSAGE_BYTES
from adasr_core.bitstream.errors import BitstreamError
from adasr_core.bitstream.motion_message import MAX_MESSAGE_BYTES
from call.control import ControlMessage, pack_control, unpack_control
from call.key_receiver import KeyReceiver
from call.key_sender import KeySender, KeySenderConfig, TransferResult
from call.key_transfer import PROBE, KeyChunk, unpack_key_message
from call.motion_rhythm import MotionRhythm
from call.sctp_guard import guard_sctp
from call.sctp_tuning import SctpTuning, tune_sctp
from sender.audio_gather import AudioFrame, AudioGather

CONTROL_ID, KEY_ID, MOTION_ID, FEEDBACK_ID, AUDIO_ID = 0, 1, 2, 3, 4
MAX_MOTION_BYTES = MAX_MESSAGE_BYTES
MAX_FEEDBACK_BYTES = 64

_COMPANY_S = 0.04
_COMPANY_BYTES_PER_S = 25_000.0
_TURN_S = 0.005
_GATE_POLL_S = 0.004
_MOST_AT_ONCE = 4

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelConfig:
    """How the channels share the line."""

    key: KeySenderConfig = field(default_factory=KeySenderConfig)
    """How references go out."""
    sctp: SctpTuning = field(default_factory=SctpTuning)
    """How the transport under the channels behaves."""


class ChannelListener(Protocol):
    """What the channels report; every method is called in the event loop and must not block."""

    def on_open(self) -> None:
        """All channels are open."""

    def on_control(self, message: ControlMessage) -> None:
        """A control message arrived."""

    def on_motion(self, message: bytes) -> None:
        """A motion message arrived."""

    def on_reference(self, data: bytes) -> None:
        """A whole reference arrived."""

    def on_feedback(self, data: bytes) -> None:
        """A feedback message arrived."""

    def on_audio(self, message: bytes) -> None:
        """A message of sound arrived."""

    def on_closed(self) -> None:
        """The transport under the channels was closed."""

    def before_media(self, *, motion: bool) -> None:
        """A reference or motion message is about to be sent."""

    def after_motion(self) -> None:
        """A motion message was sent."""


class Channels:
    """Sends and receives on the five channels of one peer connection."""

    def __init__(self, connection: RTCPeerConnection, config: ChannelConfig, listener: ChannelListener) -> None:
        """Create the channels; call inside the event loop, before the session description is made."""
        self._listener = listener
        self._control = connection.createDataChannel("control", negotiated=True, id=CONTROL_ID)
        self._key, self._motion, self._feedback, self._audio = (
            connection.createDataChannel(name, negotiated=True, id=number, ordered=False, maxRetransmits=0)
            for name, number in (
                ("key", KEY_ID),
                ("motion", MOTION_ID),
                ("feedback", FEEDBACK_ID),
                ("audio", AUDIO_ID),
            )
        )
        self._all = (self._control, self._key, self._motion, self._feedback, self._audio)
        assert connection.sctp is not None, "creating a data channel makes the SCTP transport"
        self._guarded = guard_sctp(connection.sctp, frozenset({CONTROL_ID, KEY_ID, MOTION_ID, FEEDBACK_ID, AUDIO_ID}))
        self.tuned = self._guarded is not None and tune_sctp(
            self._guarded, config.sctp, frozenset({MOTION_ID, FEEDBACK_ID, AUDIO_ID})
        )
        self._references = KeySender(config.key, time.monotonic())
        self._assembly = KeyReceiver()
        self._pump_timer: asyncio.TimerHandle | None = None
        self._rhythm = MotionRhythm()
        self._waiting_feedback: bytes | None = None
        self._feedback_timer: asyncio.TimerHandle | None = None
        self._gather = AudioGather()
        self._audio_timer: asyncio.TimerHandle | None = None
        self._malformed = 0
        self.audio_sent = 0
        self.audio_alone = 0
        self.audio_bytes = 0
        self.motion_sent = 0
        self.motion_dropped = 0
        self.references_sent = 0
        self.references_failed = 0
        for channel in self._all:
            channel.on("open", self._opened)
            channel.on("message", self._receiver(channel))
        self._control.on("close", listener.on_closed)

    @property
    def open(self) -> bool:
        """True while all channels can carry data."""
        return all(channel.readyState == "open" for channel in self._all)

    @property
    def malformed(self) -> int:
        """Messages and packets of the peer that could not be read."""
        return self._malformed + (self._guarded.malformed if self._guarded is not None else 0)

    def send_control(self, message: ControlMessage) -> None:
        """Send a control message; dropped when the channel is closed, which ends the call anyway."""
        self._send(self._control, pack_control(message))

    def send_motion(self, message: bytes, anchor: bytes | None = None) -> None:
        """Send a motion message of 1 to 2,200 bytes; dropped rather than queued when the line is busy.

        anchor: goes as `send_reference` would send it, but in the message's datagram where it fits, and before it: what
        the message's frames are drawn from is there when they are.

        Raises:
            ValueError: the message is empty or too long.
        """
        if not 0 < len(message) <= MAX_MOTION_BYTES:
            raise ValueError(f"motion message: {len(message)} bytes, expected 1 to {MAX_MOTION_BYTES}")
        now = time.monotonic()
        if anchor is not None:
            self._references.offer(anchor)
        # What was sent within this turn of the event loop has had no chance to leave yet.
        queued = self._motion.bufferedAmount
        stale = queued > 0 and now - self._rhythm.latest > _TURN_S
        if self._motion.readyState != "open" or stale or queued > MAX_MOTION_BYTES:
            self.motion_dropped += 1
            self._pump()
            return
        self._listener.before_media(motion=True)
        if anchor is not None:
            self._pump(in_company=True)
        self._send(self._motion, message)
        self._rhythm.sent(now)
        self.motion_sent += 1
        self._send_audio_now()
        self._send_feedback_now()
        if anchor is None:
            self._pump(in_company=True)
        self._listener.after_motion()

    def send_feedback(self, data: bytes) -> None:
        """Send a feedback message of 1 to 64 bytes, with the next motion message if one is near; the newest counts.

        Raises:
            ValueError: the message is empty or too long.
        """
        if not 0 < len(data) <= MAX_FEEDBACK_BYTES:
            raise ValueError(f"feedback: {len(data)} bytes, expected 1 to {MAX_FEEDBACK_BYTES}")
        self._waiting_feedback = data
        if self._feedback_timer is not None:
            return
        wait = self._rhythm.wait(time.monotonic(), _COMPANY_S)
        if wait > 0:
            self._feedback_timer = asyncio.get_running_loop().call_later(wait, self._send_feedback_now)
        else:
            self._send_feedback_now()
            self._pump(in_company=True)

    def send_audio(self, frame: AudioFrame) -> None:
        """Send a frame of sound: with the next motion message, or alone when it has waited as long as it may."""
        now = time.monotonic()
        full = self._gather.add(frame, now)
        if full is not None:
            self._put_audio(full)
        deadline = self._gather.deadline()
        if self._audio_timer is None and deadline is not None:
            wait = max(deadline - now, 0.0)
            self._audio_timer = asyncio.get_running_loop().call_later(wait, self._audio_waited)

    def send_reference(self, data: bytes) -> None:
        """Send a reference of 1 to 300,000 bytes: paced, acknowledged, in order.

        Raises:
            ValueError: it is empty or too long.
        """
        self._references.offer(data)
        self._listener.before_media(motion=False)
        self._pump()

    def set_key_rate(self, bytes_per_s: float) -> None:
        """Pace references at another rate from now on.

        Raises:
            ValueError: a rate that is not positive.
        """
        self._references.set_rate(bytes_per_s, time.monotonic())
        self._pump()

    def on_motion_delay(self, above_base_ms: float) -> None:
        """Learn how much later than at best our motion arrives: references slow down when it is much."""
        self._references.motion_delay(above_base_ms, time.monotonic())

    def on_round_trip(self, rtt_s: float) -> None:
        """Learn a ping's round trip in seconds: what the answer to a reference may be expected to take."""
        self._references.round_trip(rtt_s)

    def send_probe(self) -> None:
        """Make the peer's transport answer, to learn whether the path is there."""
        self._send(self._key, PROBE)

    async def close(self) -> None:
        """Stop the timers."""
        for timer in (self._pump_timer, self._feedback_timer, self._audio_timer):
            if timer is not None:
                timer.cancel()

    def _audio_waited(self) -> None:
        """No motion message came in time: sound leaves alone, and what waits for company with it."""
        self._send_audio_now(alone=True)
        self._send_feedback_now()
        self._pump(in_company=True)

    def _send_audio_now(self, *, alone: bool = False) -> None:
        if self._audio_timer is not None:
            self._audio_timer.cancel()
            self._audio_timer = None
        data = self._gather.take()
        if data is not None:
            self.audio_alone += alone
            self._put_audio(data)

    def _put_audio(self, data: bytes) -> None:
        # Sound that the line does not take is out of date before it leaves.
        if self._audio.bufferedAmount <= MAX_AUDIO_MESSAGE_BYTES:
            self._listener.before_media(motion=False)
            self.audio_sent += 1
            self.audio_bytes += len(data)
            self._send(self._audio, data)

    def _send_feedback_now(self) -> None:
        if self._feedback_timer is not None:
            self._feedback_timer.cancel()
            self._feedback_timer = None
        data, self._waiting_feedback = self._waiting_feedback, None
        if data is not None and self._feedback.bufferedAmount <= MAX_FEEDBACK_BYTES:
            self._send(self._feedback, data)

    def _pump(self, *, in_company: bool = False) -> None:
        """Send what of the key channel is due, and set the timer for what comes next.

        Args:
            in_company: a motion message or something else leaves in this turn anyway.
        """
        now = time.monotonic()
        if self._pump_timer is not None:
            self._pump_timer.cancel()
            self._pump_timer = None
        if self._key.readyState != "open":
            return
        for message in self._assembly.datagrams_to_send(now, early=in_company):
            self._send(self._key, message)
        deadline = self._references.next_deadline(now)
        if deadline is not None and deadline <= now:
            deadline = self._send_chunks(now, in_company)
        self._count_results()
        acknowledgement = self._assembly.next_deadline()
        deadlines = [when for when in (deadline, acknowledgement) if when is not None]
        if deadlines:
            wait = max(0.0, min(deadlines) - now)
            self._pump_timer = asyncio.get_running_loop().call_later(wait, self._pump)

    def _send_chunks(self, now: float, in_company: bool) -> float | None:
        """Send the chunks that are due; returns when to come back."""
        if self._references.bytes_per_s < _COMPANY_BYTES_PER_S and not in_company:
            wait = self._rhythm.wait(now, _COMPANY_S)
            if wait > 0:
                return now + wait
        if self._crowded():
            return now + _GATE_POLL_S
        for message in self._references.datagrams_to_send(now, _MOST_AT_ONCE):
            self._send(self._key, message)
        return self._references.next_deadline(now)

    def _crowded(self) -> bool:
        """True while so much is in flight that a chunk could make motion wait."""
        if self._key.bufferedAmount > 0 or self._guarded is None:
            return self._key.bufferedAmount > 0
        return 2 * self._guarded._flight_size >= self._guarded._cwnd

    def _count_results(self) -> None:
        for result in self._references.take_results():
            if result is TransferResult.DELIVERED:
                self.references_sent += 1
            else:
                self.references_failed += 1
                _logger.warning("a reference did not get through: %s", result.value)

    def _send(self, channel: RTCDataChannel, data: bytes) -> None:
        try:
            channel.send(data)
        except InvalidStateError:
            _logger.debug("channel %s is %s, dropped %d bytes", channel.label, channel.readyState, len(data))

    def _opened(self) -> None:
        if self.open:
            self._listener.on_open()

    def _receiver(self, channel: RTCDataChannel) -> Callable[[bytes | str], None]:
        def receive(message: bytes | str) -> None:
            try:
                if isinstance(message, str):
                    raise BitstreamError(f"channel {channel.label}: got text, expected binary")
                self._received(channel, message)
            except BitstreamError as error:
                self._malformed += 1
                _logger.debug("dropped a message: %s", error)

        return receive

    def _received(self, channel: RTCDataChannel, message: bytes) -> None:
        if channel is self._motion:
            _check_length("motion message", message, MAX_MOTION_BYTES)
            self._listener.on_motion(message)
        elif channel is self._feedback:
            _check_length("feedback", message, MAX_FEEDBACK_BYTES)
            self._listener.on_feedback(message)
        elif channel is self._audio:
            _check_length("audio message", message, MAX_AUDIO_MESSAGE_BYTES)
            self._listener.on_audio(message)
        elif channel is self._control:
            self._listener.on_control(unpack_control(message))
        else:
            self._received_key(message)

    def _received_key(self, message: bytes) -> None:
        now = time.monotonic()
        content = unpack_key_message(message)
        if content is None:
            return
        try:
            if isinstance(content, KeyChunk):
                data = self._assembly.receive(content, now)
                if data is not None:
                    self._listener.on_reference(data)
            else:
                self._references.acknowledged(content, now)
        finally:
            self._pump()


def _check_length(name: str, message: bytes, most: int) -> None:
    if not 0 < len(message) <= most:
        raise BitstreamError(f"{name}: {len(message)} bytes, expected 1 to {most}")
