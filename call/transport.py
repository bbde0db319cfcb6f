"""One end of a call on the network: peer connection, handshake, liveness, goodbye.

States::

    start -> invitation out/in -> connecting -> handshake -> call -> ended
                                     |             |          |
                                  no path       refused    goodbye, silence, closed

Everything runs in one event loop. What happens is reported as values of ``call.messages``, in order; the last one is
``CallEnded``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from adasr_core.bitstream.feedback import MotionFeedback
from call.channels import ChannelConfig, Channels
from call.clock_offset import ClockOffset
from call.control import Bye, ControlMessage, Hello, Ping, Pong
from call.datagram_guard import guard_of, install_guard, use_loopback_only
from call.emulated_line import EmulatedLine, LineConfig
from call.handshake import Handshake, HandshakeState
from call.liveness import Liveness, LivenessConfig, PathQuality
from call.messages import (
    Accepted,
    CallEnded,
    FromTransport,
    LocalInvitation,
    ReceivedAudio,
    ReceivedControl,
    ReceivedFeedback,
    ReceivedMotion,
    ReceivedReference,
    TransportStatistics,
    WireMark,
)
from call.motion_delay import MotionDelay
from call.signalling import Invitation, InvitationError, InvitationKind, decode_invitation, encode_invitation
from sender.audio_gather import AudioFrame

_TICK_S = 0.1
_STATISTICS_S = 0.5
_CLOCK_PING_S = 10.0
_GOODBYE_S = 1.0
_LINGER_S = 0.3
_CLOSE_S = 3.0

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class TransportConfig:
    """What one end of the network needs to know."""

    offer: bool
    """True for the peer that makes the invitation, False for the one that answers it."""
    hello: Hello
    """What this peer speaks."""
    loopback_only: bool = False
    """Offer 127.0.0.1 alone: both peers on this machine, no network touched."""
    connect_timeout_s: float = 30.0
    """Time from the exchange of invitations to the end of the handshake."""
    channels: ChannelConfig = field(default_factory=ChannelConfig)
    """How the channels share the line."""
    liveness: LivenessConfig = field(default_factory=LivenessConfig)
    """When silence becomes a matter."""
    line: LineConfig | None = None
    """An emulated bad line for what this peer sends; None leaves the line as it is."""


class PeerTransport:
    """Holds one call; make it inside a running event loop."""

    def __init__(self, config: TransportConfig, emit: Callable[[FromTransport], None]) -> None:
        """Prepare the connection; nothing is sent yet.

        Args:
            config: what this end needs to know.
            emit: called in the event loop with everything that happens; must not block or raise.
        """
        install_guard()
        self._config = config
        self._emit = emit
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._channels = Channels(self._connection, config.channels, self)
        sctp = self._connection.sctp
        assert sctp is not None, "creating a data channel makes the SCTP transport"
        ice = sctp.transport.transport._connection
        if config.loopback_only:
            use_loopback_only(ice)
        self._guard = guard_of(ice)
        self._line = EmulatedLine(config.line) if config.line is not None else None
        self._guard.line = self._line
        self._handshake = Handshake(config.hello)
        self._liveness = Liveness(time.monotonic(), config.liveness)
        self._clock = ClockOffset()
        self._motion_delay = MotionDelay()
        self._deadline: float | None = None
        self._monitor: asyncio.Task[None] | None = None
        self._said_bye = False
        self._motion_received = 0
        self._audio_received = 0
        self._first_media: WireMark | None = None
        self._first_motion: WireMark | None = None
        self._last_motion: WireMark | None = None
        self.queue_dropped: Callable[[], int] = lambda: 0
        self.ended: asyncio.Future[CallEnded] = asyncio.get_running_loop().create_future()
        self._connection.on("connectionstatechange", self._connection_changed)

    async def start(self) -> None:
        """Begin; the offering peer reports its invitation."""
        self._monitor = asyncio.create_task(self._watch())
        if self._config.offer:
            await self._connection.setLocalDescription(await self._connection.createOffer())
            self._publish("offer")

    async def accept(self, text: str) -> None:
        """Take the other peer's invitation; a bad one ends the call with what is wrong with it."""
        kind: InvitationKind = "answer" if self._config.offer else "offer"
        try:
            invitation = decode_invitation(text, kind)
            await self._connection.setRemoteDescription(RTCSessionDescription(sdp=invitation.sdp, type=kind))
            self._deadline = time.monotonic() + self._config.connect_timeout_s
            if not self._config.offer:
                await self._connection.setLocalDescription(await self._connection.createAnswer())
                self._publish("answer")
        except InvitationError as error:
            self._finish(str(error), failed=True)
        except Exception as error:
            # aiortc's SDP parser raises whatever it stumbles over; to a person all of it is a bad invitation.
            _logger.debug("session description refused", exc_info=True)
            self._finish(f"invitation: its session description cannot be used ({error}); make a new one", failed=True)

    def send_motion(self, message: bytes, anchor: bytes | None = None) -> None:
        """Send one packed motion message of 1 to 2,200 bytes, or drop it when the line is busy; its anchor never."""
        if self._in_call:
            self._channels.send_motion(message, anchor)

    def send_reference(self, data: bytes) -> None:
        """Send one reference of 1 to 300,000 bytes: paced, acknowledged, in order."""
        if self._in_call:
            self._channels.send_reference(data)

    def send_feedback(self, data: bytes) -> None:
        """Send one packed feedback message of 1 to 64 bytes; a newer one replaces one that has not left."""
        if self._in_call:
            self._channels.send_feedback(data)

    def send_audio(self, frame: AudioFrame) -> None:
        """Send a frame of sound, with the next motion message if one comes in time."""
        if self._in_call:
            self._channels.send_audio(frame)

    def set_key_rate(self, bytes_per_s: float) -> None:
        """Pace references at another rate from now on, in bytes a second."""
        self._channels.set_key_rate(bytes_per_s)

    def send_control(self, message: ControlMessage) -> None:
        """Send one control message."""
        if self._in_call:
            self._channels.send_control(message)

    async def end(self, reason: str) -> None:
        """Say goodbye and wait a moment for the answer; ``reason`` is empty when all is well."""
        if self._in_call and not self._said_bye:
            self._said_bye = True
            self._channels.send_control(Bye(reason[:200]))
            await asyncio.wait([self.ended], timeout=_GOODBYE_S)
        self._finish(reason, failed=bool(reason))

    async def close(self) -> CallEnded:
        """Close sockets and tasks; returns how the call ended, with the last statistics."""
        self._finish("", failed=False)
        if self._channels.open:
            await asyncio.sleep(_LINGER_S)  # lets the last control messages leave
        if self._monitor is not None:
            self._monitor.cancel()
            await asyncio.wait([self._monitor])
        await self._channels.close()
        closing = asyncio.ensure_future(self._connection.close())
        await asyncio.wait([closing], timeout=_CLOSE_S)
        return self.ended.result()

    def statistics(self) -> TransportStatistics:
        """Totals so far."""
        return TransportStatistics(
            now=self._mark(),
            first_media=self._first_media,
            first_motion=self._first_motion,
            last_motion=self._last_motion,
            motion_sent=self._channels.motion_sent,
            motion_dropped=self._channels.motion_dropped,
            motion_received=self._motion_received,
            references_sent=self._channels.references_sent,
            malformed=self._channels.malformed,
            path=self._liveness.quality(time.monotonic()),
            rtt_ms=self._clock.rtt_ms,
            queue_dropped=self.queue_dropped(),
            references_failed=self._channels.references_failed,
            audio_sent=self._channels.audio_sent,
            audio_alone=self._channels.audio_alone,
            audio_bytes=self._channels.audio_bytes,
            audio_received=self._audio_received,
        )

    def on_open(self) -> None:
        """All channels are open: say hello."""
        self._channels.send_control(self._config.hello)

    def on_control(self, message: ControlMessage) -> None:
        """Handle the connection's own messages, pass the media's on."""
        if isinstance(message, Hello):
            self._judge(message)
        elif isinstance(message, Bye):
            self._answer_bye(message)
        elif not self._in_call:
            _logger.debug("dropped %s before the handshake", type(message).__name__)
        elif isinstance(message, Ping):
            self._channels.send_control(Pong(message.sent_us, _microseconds()))
        elif isinstance(message, Pong):
            first = self._clock.rtt_ms is None
            self._clock.add(message.sent_us, message.answered_us, _microseconds())
            if self._clock.rtt_ms is not None:
                self._channels.on_round_trip(self._clock.rtt_ms / 1000)
                if first:
                    self._emit(self.statistics())  # how large the first picture may be
        else:
            self._emit(ReceivedControl(message))

    def on_motion(self, message: bytes) -> None:
        """Pass a motion message on."""
        if self._in_call:
            self.before_media(motion=True)
            self._motion_received += 1
            self._emit(ReceivedMotion(message))
            self.after_motion()

    def on_feedback(self, data: bytes) -> None:
        """Pass a feedback message on, and slow references down when it tells of late motion.

        Raises:
            BitstreamError: it cannot be read.
        """
        if self._in_call:
            now = time.monotonic()
            self._channels.on_motion_delay(self._motion_delay.add(MotionFeedback.unpack(data), now))
            self._emit(ReceivedFeedback(data))

    def on_audio(self, message: bytes) -> None:
        """Pass a message of sound on."""
        if self._in_call:
            self._audio_received += 1
            self._emit(ReceivedAudio(message))

    def on_reference(self, data: bytes) -> None:
        """Pass a reference on."""
        if self._in_call:
            self.before_media(motion=False)
            self._emit(ReceivedReference(data))

    def on_closed(self) -> None:
        """The peer's transport ended under the call."""
        self._finish("the other side closed the connection without a goodbye", failed=not self._said_bye)

    def before_media(self, *, motion: bool) -> None:
        """Mark where the media begin on the wire."""
        if self._first_media is None:
            self._first_media = self._mark()
            if self._line is not None:
                self._line.media_began(self._first_media.time_s)
        if motion and self._first_motion is None:
            self._first_motion = self._mark()

    def after_motion(self) -> None:
        """Mark where the motion ends on the wire."""
        self._last_motion = self._mark()

    @property
    def _in_call(self) -> bool:
        return self._handshake.state is HandshakeState.ACCEPTED and not self.ended.done()

    def _mark(self) -> WireMark:
        return WireMark(time.monotonic(), self._guard.meter.count())

    def _publish(self, kind: InvitationKind) -> None:
        description = self._connection.localDescription
        assert description is not None, "setLocalDescription was awaited"
        if "a=candidate:" not in description.sdp:
            self._finish("this machine has no network address; for two peers on one machine use loopback", failed=True)
            return
        self._emit(LocalInvitation(encode_invitation(Invitation(kind, description.sdp))))

    def _judge(self, remote: Hello) -> None:
        if self._handshake.receive(remote) is HandshakeState.REFUSED:
            self._finish(f"call refused: {self._handshake.reason}", failed=True)
            return
        if self._line is not None:
            self._line.call_began()
        self._emit(Accepted(remote))
        for _ in range(3):
            self._channels.send_control(Ping(_microseconds()))

    def _answer_bye(self, message: Bye) -> None:
        if not self._said_bye:
            self._said_bye = True
            self._channels.send_control(Bye(""))
            detail = f": {message.reason}" if message.reason else ""
            self._finish(f"the other side ended the call{detail}", failed=bool(message.reason))
        else:
            self._finish("", failed=False)

    def _connection_changed(self) -> None:
        state = self._connection.connectionState
        if state == "failed":
            self._finish("no path to the other side: are both on a network that lets UDP through?", failed=True)
        elif state == "closed":
            self._finish("the other side closed the connection without a goodbye", failed=not self._said_bye)

    def _finish(self, reason: str, *, failed: bool) -> None:
        if not self.ended.done():
            self.ended.set_result(CallEnded(reason, failed, self.statistics()))

    async def _watch(self) -> None:
        clock_ping = statistics = time.monotonic()
        while True:
            await asyncio.sleep(_TICK_S)
            now = time.monotonic()
            if self._handshake.state is HandshakeState.WAITING:
                if self._deadline is not None and now > self._deadline:
                    self._finish(
                        f"the other side did not answer within {self._config.connect_timeout_s:g} s; "
                        "exchange new invitations while both sides run",
                        failed=True,
                    )
                continue
            self._liveness.heard(self._guard.last_received)
            if self._liveness.quality(now) is PathQuality.LOST:
                silence = self._config.liveness.lost_s
                self._finish(f"nothing heard from the other side for {silence:g} s: the call is lost", failed=True)
            if self._liveness.probe_due(now):
                self._channels.send_probe()
            elif now - clock_ping > _CLOCK_PING_S:
                clock_ping = now
                self.send_control(Ping(_microseconds()))
            if now - statistics >= _STATISTICS_S and not self.ended.done():
                statistics = now
                self._emit(self.statistics())


def _microseconds() -> int:
    return time.monotonic_ns() // 1000
