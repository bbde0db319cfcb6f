"""One peer of a call: its transport process, its loops, and the course of the call from invitation to goodbye."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from adasr_core.adapter import Adapter, open_adapter
from adasr_core.bitstream import BITSTREAM_VERSION, MotionCodec
from adasr_core.bundle import ModelBundle, open_bundle
from adasr_core.engines import FaceModel
from adasr_core.engines.runner import EngineName
from call.channels import ChannelConfig
from call.control import Hello, Ready, ReferenceAck, ReferenceRequest
from call.liveness import LivenessConfig, PathQuality
from call.messages import (
    Accepted,
    AcceptInvitation,
    CallEnded,
    EndCall,
    LinkMessage,
    LocalInvitation,
    ReceivedControl,
    ReceivedMotion,
    ReceivedReference,
    SendControl,
    TransportStatistics,
)
from call.receiving import ReceivingLoop, ReceivingReport, make_inbox, put_media
from call.sending import SendingLoop, SendingReport
from call.signalling import InvitationKind
from call.sinks import FrameSink, PictureStore
from call.sources import FrameSource
from call.transport import TransportConfig
from call.transport_process import TransportProcess
from receiver import Receiver, ReceiverConfig
from sender import Sender, SenderConfig

_POLL_S = 0.1
_PROGRESS_S = 0.25
_LAST_PACKETS_S = 0.3
_CLOSING_S = 6.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PeerConfig:
    """What one peer does in a call."""

    offer: bool
    """True for the peer that makes the invitation, False for the one that answers it."""
    model: str = "edge"
    """Name or folder of the model."""
    engine: EngineName = "openvino"
    """What runs the networks."""
    device: str | None = None
    """The engine's device; None for the processor."""
    adapter: Path | None = None
    """Adapter of the person whom this peer will see."""
    sending_threads: int = 1
    """Threads of the sender's networks: the detector is small, and the other cores are busy rebuilding."""
    receiving_threads: int | None = 2
    """Threads of the receiver's networks; None for all cores."""
    source: FrameSource | None = None
    """Where frames come from; None sends nothing."""
    receives: bool = True
    """Rebuild what the other peer sends."""
    seconds: float | None = None
    """End the call so long after media began; None goes on until somebody hangs up or the source ends."""
    loopback_only: bool = False
    """Both peers are on this machine."""
    connect_timeout_s: float = 30.0
    """Time from the exchange of invitations to the end of the handshake."""
    channels: ChannelConfig = field(default_factory=ChannelConfig)
    """How the channels share the line."""
    liveness: LivenessConfig = field(default_factory=LivenessConfig)
    """When silence becomes a matter."""
    sender: SenderConfig = field(default_factory=SenderConfig)
    """How frames become packets."""
    receiver: ReceiverConfig = field(default_factory=ReceiverConfig)
    """How packets become frames."""


class Signalling(Protocol):
    """Carries the two invitations between people or programs."""

    def publish(self, kind: InvitationKind, text: str) -> None:
        """Hand our half to the other peer."""

    def obtain(self, kind: InvitationKind) -> str:
        """Wait for the other peer's half. Raises OSError or ValueError when it will not come."""


@dataclass(frozen=True, slots=True)
class CallProgress:
    """How a call stands, for people.

    Attributes:
        seconds: since media began; 0 before.
        frames_sent: frames sent so far.
        frames_shown: frames rebuilt so far.
        path: quality of the path.
        sent_bytes: bytes on the wire, headers included.
        received_bytes: the same for the other direction.
    """

    seconds: float
    frames_sent: int
    frames_shown: int
    path: PathQuality
    sent_bytes: int
    received_bytes: int


@dataclass(frozen=True, slots=True)
class CallReport:
    """How a call went.

    Attributes:
        reason: why it ended; empty when it just ended.
        failed: it did not end by a goodbye in good order.
        remote: what the other peer spoke; None when the handshake was not reached.
        sending: what was sent; None when nothing was to be.
        receiving: what was rebuilt; None when nothing was to be.
        statistics: the transport's last totals.
    """

    reason: str
    failed: bool
    remote: Hello | None
    sending: SendingReport | None
    receiving: ReceivingReport | None
    statistics: TransportStatistics | None


def hold_call(
    config: PeerConfig,
    signalling: Signalling,
    *,
    sink: FrameSink | None = None,
    recording: PictureStore | None = None,
    on_progress: Callable[[CallProgress], None] | None = None,
    hang_up: threading.Event | None = None,
) -> CallReport:
    """Hold one call, from invitation to goodbye; returns when it is over.

    Args:
        config: what this peer does.
        signalling: carries the invitations.
        sink: takes the rebuilt frames; needed when the peer receives. Not closed here.
        recording: keeps the pictures sent, for measuring. Not closed here.
        on_progress: called about four times a second in the calling thread.
        hang_up: set it from any thread to end the call.

    Raises:
        BundleError: the model cannot be used.
        AdapterError: the adapter cannot be used with it.
        SourceError: the source failed; the other peer was told.
        KeyboardInterrupt: before the call was connected; afterwards Ctrl-C hangs up.
    """
    bundle = open_bundle(config.model)
    adapter = open_adapter(config.adapter, bundle)
    call = _Call(config, bundle, adapter, sink, recording, hang_up or threading.Event())
    try:
        call.connect(signalling)
        call.run(on_progress)
    finally:
        call.close()
    return call.report()


class _Call:
    """The state of one call in its media process; all methods run in the thread that holds the call."""

    def __init__(
        self,
        config: PeerConfig,
        bundle: ModelBundle,
        adapter: Adapter | None,
        sink: FrameSink | None,
        recording: PictureStore | None,
        hang_up: threading.Event,
    ) -> None:
        if config.receives and sink is None:
            raise ValueError("sink: got None, expected a sink for a peer that receives")
        self._config = config
        self._bundle = bundle
        self._adapter = adapter
        self._sink = sink
        self._recording = recording
        self._hang_up = hang_up
        self._events: queue.Queue[LinkMessage | None] = queue.Queue()
        self._inbox = make_inbox()
        self._sending: SendingLoop | None = None
        self._receiving: ReceivingLoop | None = None
        self._remote: Hello | None = None
        self._remote_ready = False
        self._media_began: float | None = None
        self._ended: CallEnded | None = None
        self._ending_since: float | None = None
        self._statistics: TransportStatistics | None = None
        manifest = bundle.manifest
        hello = Hello(
            BITSTREAM_VERSION,
            bundle.codec_id,
            f"{manifest.name} {manifest.version}",
            manifest.frame_px,
            config.source is not None,
            config.receives,
        )
        self._transport = TransportProcess(
            TransportConfig(
                offer=config.offer,
                hello=hello,
                loopback_only=config.loopback_only,
                connect_timeout_s=config.connect_timeout_s,
                channels=config.channels,
                liveness=config.liveness,
            ),
            self._on_message,
            lambda: self._events.put(None),
        )

    def connect(self, signalling: Signalling) -> None:
        """Exchange invitations and load the networks meanwhile."""
        if self._config.offer:
            signalling.publish("offer", self._local_invitation())
            self._load()
            self._transport.send(AcceptInvitation(signalling.obtain("answer")))
        else:
            self._transport.send(AcceptInvitation(signalling.obtain("offer")))
            text = self._local_invitation()
            if text:
                signalling.publish("answer", text)
                self._load()

    def run(self, on_progress: Callable[[CallProgress], None] | None) -> None:
        """Follow the call until it is over."""
        reported = 0.0
        while self._ended is None:
            try:
                self._take_event()
                now = time.monotonic()
                self._check(now)
                if on_progress is not None and now - reported >= _PROGRESS_S:
                    reported = now
                    on_progress(self._progress(now))
            except KeyboardInterrupt:
                if self._remote is None:
                    raise
                self._hang_up.set()

    def close(self) -> None:
        """Stop the loops and the transport process."""
        if self._sending is not None:
            self._sending.stop()
        if self._receiving is not None:
            self._receiving.stop()
        self._transport.close()

    def report(self) -> CallReport:
        """How the call went.

        Raises:
            Exception: what made one of the loops fail.
        """
        for loop in (self._sending, self._receiving):
            if loop is not None and loop.failure is not None:
                raise loop.failure
        assert self._ended is not None, "run() returns when the call is over"
        return CallReport(
            self._ended.reason,
            self._ended.failed,
            self._remote,
            self._sending.report() if self._sending else None,
            self._receiving.report() if self._receiving else None,
            self._ended.statistics or self._statistics,
        )

    def _on_message(self, message: LinkMessage) -> None:
        """In the link's reader thread."""
        if isinstance(message, ReceivedMotion | ReceivedReference):
            put_media(self._inbox, message)
        else:
            self._events.put(message)

    def _local_invitation(self) -> str:
        """Our half; empty when the call ended before it was made."""
        while self._ended is None:
            message = self._events.get()
            if isinstance(message, LocalInvitation):
                return message.text
            self._handle(message)
        return ""

    def _load(self) -> None:
        """Load the networks that this peer needs; the slow part of a call's beginning."""
        config = self._config
        codec = MotionCodec(self._bundle.tables(), self._bundle.manifest.keypoints)
        if config.source is not None:
            closed_loop = config.sender.closed_loop_interval_frames is not None
            model = FaceModel.load(
                self._bundle,
                engine=config.engine,
                device=config.device,
                threads=config.sending_threads,
                parts=("detector", "encoder", "motion", "generator") if closed_loop else ("detector",),
            )
            sender = Sender(model, codec, config.sender)
            self._sending = SendingLoop(config.source, sender, self._transport.send, self._recording)
        if config.receives and self._sink is not None:
            model = FaceModel.load(
                self._bundle,
                engine=config.engine,
                device=config.device,
                threads=config.receiving_threads,
                parts=("encoder", "motion", "generator"),
                adapter=self._adapter,
            )
            receiver = Receiver(model, codec, config.receiver)
            self._receiving = ReceivingLoop(receiver, self._sink, self._transport.send, self._inbox)

    def _take_event(self) -> None:
        try:
            message = self._events.get(timeout=_POLL_S)
        except queue.Empty:
            return
        self._handle(message)

    def _handle(self, message: LinkMessage | None) -> None:
        match message:
            case None:
                self._ended = self._ended or CallEnded(
                    "the transport process stopped unexpectedly; start the call again", True, self._statistics
                )
            case CallEnded():
                self._ended = message
            case TransportStatistics():
                self._statistics = message
            case Accepted():
                self._remote = message.remote
                self._transport.send(SendControl(Ready()))
                if self._receiving is not None and message.remote.sends:
                    self._receiving.start()
            case ReceivedControl(Ready()):
                self._remote_ready = True
            case ReceivedControl(ReferenceAck() | ReferenceRequest() as feedback):
                if self._sending is not None:
                    self._sending.feedback(feedback)
            case _:
                raise AssertionError(f"a transport process does not send {type(message).__name__} here")

    def _check(self, now: float) -> None:
        if self._remote is None:
            if self._hang_up.is_set():
                self._end("", now)
            return
        if self._remote_ready and self._media_began is None:
            self._media_began = now
            if self._sending is not None and self._remote.receives:
                self._sending.start()
        reason = self._failure(now)
        over = self._hang_up.is_set() or reason != ""
        if self._media_began is not None:
            over = over or (self._config.seconds is not None and now - self._media_began >= self._config.seconds)
            over = over or (self._sending is not None and self._remote.receives and self._sending.finished)
        if over:
            self._end(reason, now)

    def _failure(self, now: float) -> str:
        if self._sending is not None and self._media_began is not None and self._remote is not None:
            if self._remote.receives:
                self._sending.check_source(now)
            if self._sending.failure is not None:
                return f"its source failed: {self._sending.failure}"
        if self._receiving is not None and self._receiving.failure is not None:
            return "its receiver failed"
        return ""

    def _end(self, reason: str, now: float) -> None:
        if self._ending_since is None:
            self._ending_since = now
            if self._sending is not None:
                self._sending.stop()
            time.sleep(_LAST_PACKETS_S)
            self._transport.send(EndCall("".join(c for c in reason if c.isprintable())[:200]))
        elif now - self._ending_since > _CLOSING_S:
            self._ended = CallEnded("the transport process did not end in time", True, self._statistics)

    def _progress(self, now: float) -> CallProgress:
        statistics = self._statistics
        return CallProgress(
            now - self._media_began if self._media_began is not None else 0.0,
            self._sending.frames_sent if self._sending else 0,
            self._receiving.frames_shown if self._receiving else 0,
            statistics.path if statistics else PathQuality.GOOD,
            statistics.now.count.sent_bytes if statistics else 0,
            statistics.now.count.received_bytes if statistics else 0,
        )
