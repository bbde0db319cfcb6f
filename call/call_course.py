"""The course of one call in its media process: transport process, loops, and what happens between them."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

from adasr_core.adapter import Adapter
from adasr_core.bitstream import BITSTREAM_VERSION, MotionCodec
from adasr_core.bundle import ModelBundle
from adasr_core.engines import FaceModel
from call.audio_sinks import Speaker
from call.call_sound import CallSound
from call.control import Hello, Kept, Ready, ReferenceAck, ReferenceRequest, Sound
from call.kept_calls import KeptCalls
from call.liveness import PathQuality
from call.messages import (
    Accepted,
    AcceptInvitation,
    CallEnded,
    EndCall,
    LinkMessage,
    LocalInvitation,
    ReceivedAudio,
    ReceivedControl,
    ReceivedFeedback,
    ReceivedMotion,
    ReceivedReference,
    SendControl,
    ToTransport,
    TransportStatistics,
)
from call.peer_config import CallProgress, CallReport, PeerConfig, Signalling
from call.receiving import ReceivingLoop, make_inbox, put_media
from call.sending import SendingLoop
from call.sinks import FrameSink, PictureStore
from call.transport import TransportConfig
from call.transport_process import TransportProcess
from receiver import Receiver
from sender import Sender

_PING_WAIT_S = 0.4
_POLL_S = 0.1
_PROGRESS_S = 0.25
_LAST_PACKETS_S = 0.3
_CLOSING_S = 6.0


class CallCourse:
    """The state of one call in its media process; all methods run in the thread that holds the call."""

    def __init__(
        self,
        config: PeerConfig,
        bundle: ModelBundle,
        adapter: Adapter | None,
        sink: FrameSink | None,
        speaker: Speaker | None,
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
        self._sound = CallSound(config.microphone, speaker, config.rate, self._send, self._picture_lag)
        self._remote: Hello | None = None
        self._kept_calls = KeptCalls(config.remember, bundle) if config.remember is not None else None
        self._kept_heard = False
        self._remembered = (0, 0)
        self._remote_ready = False
        self._ready_since: float | None = None
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
            0 if config.rate.cap_bps is None else round(config.rate.cap_bps / 1000),
        )
        self._transport = TransportProcess(
            TransportConfig(
                offer=config.offer,
                hello=hello,
                loopback_only=config.loopback_only,
                connect_timeout_s=config.connect_timeout_s,
                channels=config.channels,
                liveness=config.liveness,
                line=config.line,
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
        """Stop the loops and the transport process, and write what is kept for later calls."""
        self._sound.stop()
        if self._sending is not None:
            self._sending.stop()
        if self._receiving is not None:
            self._receiving.stop()
        self._transport.close()
        if self._kept_calls is not None:
            self._remembered = self._kept_calls.close()

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
            self._remembered,
            *self._sound.reports(),
        )

    def _on_message(self, message: LinkMessage) -> None:
        """In the link's reader thread."""
        if isinstance(message, ReceivedMotion | ReceivedReference):
            put_media(self._inbox, message)
        elif isinstance(message, ReceivedAudio):
            self._sound.hear(message.data)
        elif isinstance(message, ReceivedFeedback):
            if self._sending is not None:
                self._sending.hear(message)
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
            kept_references = self._kept_calls.for_sender() if self._kept_calls is not None else None
            sender = Sender(model, codec, config.sender, kept_references)
            self._sending = SendingLoop(config.source, sender, self._transport.send, self._recording, config.rate)
        if config.receives and self._sink is not None:
            refines = config.receiver.refine and self._bundle.has("refiner")
            model = FaceModel.load(
                self._bundle,
                engine=config.engine,
                device=config.device,
                threads=config.receiving_threads,
                parts=("encoder", "motion", "generator", *(("refiner",) if refines else ())),
                adapter=self._adapter,
            )
            kept_pictures = self._kept_calls.for_receiver() if self._kept_calls is not None else None
            receiver = Receiver(model, codec, config.receiver, kept_pictures)
            duplex = config.source is not None
            self._receiving = ReceivingLoop(receiver, self._sink, self._transport.send, self._inbox, duplex=duplex)

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
                if self._sending is not None:
                    self._sending.hear(message)
            case Accepted():
                self._remote = message.remote
                if self._receiving is not None and message.remote.sends:
                    self._announce()
                if self._sound.offer is not None:
                    self._transport.send(SendControl(self._sound.offer))
                self._transport.send(SendControl(Ready()))
                if self._receiving is not None and message.remote.sends:
                    self._receiving.start()
            case ReceivedControl(Sound() as sound):
                self._sound.agree(sound)
            case ReceivedControl(Ready()):
                self._remote_ready = True
            case ReceivedControl(Kept() as kept):
                # One that comes late, or again, changes nothing: names would be answered by requests.
                if self._sending is not None and not self._kept_heard and not self._remote_ready:
                    self._kept_heard = True
                    self._sending.hear(kept)
            case ReceivedControl(ReferenceAck() | ReferenceRequest() as feedback):
                if self._sending is not None:
                    self._sending.hear(feedback)
            case _:
                raise AssertionError(f"a transport process does not send {type(message).__name__} here")

    def _line_tried(self, now: float) -> bool:
        """Whether a ping was answered, which says how large a first picture may be; waited for no longer than 0.4 s."""
        if self._sending is None or (self._statistics is not None and self._statistics.rtt_ms is not None):
            return True
        self._ready_since = now if self._ready_since is None else self._ready_since
        return now - self._ready_since >= _PING_WAIT_S

    def _send(self, message: ToTransport) -> None:
        self._transport.send(message)

    def _picture_lag(self) -> float | None:
        return self._receiving.picture_lag_s if self._receiving is not None else None

    def _announce(self) -> None:
        """Say which pictures are kept here, in front of the word that video may come; nothing when none are."""
        kept = self._kept_calls.announcement() if self._kept_calls is not None else None
        if kept is not None:
            self._transport.send(SendControl(kept))

    def _check(self, now: float) -> None:
        if self._remote is None:
            if self._hang_up.is_set():
                self._end("", now)
            return
        if self._remote_ready and self._media_began is None and self._line_tried(now):
            self._media_began = now
            if self._sending is not None and self._remote.receives:
                self._sending.start(self._remote.max_kbps * 1000.0 or None)
        if self._media_began is not None and self._ending_since is None:
            self._sound.follow(self._sending, self._remote, now)
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
            self._sound.stop_sending()
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
