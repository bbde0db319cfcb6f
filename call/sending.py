"""The sending half of a media process: frames to packets.

    source --capture thread--> newest 2 frames --coding thread--> Sender --> transport
                                                   ^      |
             feedback, wire totals --> RateController ----+--> plan, pace of references

Neither thread blocks the other: a frame that coding did not get to gives way to a newer one, and one that the plan's
frame rate leaves out costs no coding at all. The sender's closed loop runs between frames: after a frame's packets are
on their way, and not while newer frames wait, except once a second. A failure ends the loop and is kept for the thread
that owns the call.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from adasr_core.bitstream import PICTURE_KEPT, BitstreamError, MotionFeedback, MotionMessage
from call.control import Kept, ReferenceAck, ReferenceRequest
from call.drop_oldest import DropOldestQueue
from call.gathered_frames import GatheredFrame, GatheredFrames
from call.key_sender import KeySenderConfig
from call.messages import (
    ReceivedFeedback,
    SendMotion,
    SendReference,
    SetKeyRate,
    ToTransport,
    TransportStatistics,
)
from call.sending_report import SendingReport, SendingTally
from call.sinks import PictureStore
from call.sources import CapturedFrame, FrameSource, SourceError
from sender import CropMode, RatePlan, ReferencePolicyConfig, Sender, SenderConfig, TrackerConfig
from sender.rate_control import RateControlConfig, RateController

LineNews = Kept | ReferenceAck | ReferenceRequest | ReceivedFeedback | TransportStatistics
"""What a sending loop hears from the other side and from its transport."""

_NEWEST_FRAMES = 2
_NEWS_WAITING = 64
_SOURCE_SILENT_S = 5.0
_JOIN_S = 5.0
_CLOSED_LOOP_FRAMES = 25
_CLOSED_LOOP_OVERDUE_S = 1.0
_PARTIAL_MESSAGE_S = 0.15
_KEY_RATE_INTERVAL_S = 0.25
_KEY_RATE_CHANGE = 0.1
PICTURES_UNDER_WAY = 5
"""Anchors wait while more pictures than that are not known to have arrived; the transport tells twice a second."""


def call_sender_config(crop: CropMode) -> SenderConfig:
    """How frames become packets in a call.

    A measurement took 34 to 38 ms beside other work, and coding 10 ms of a frame's 40: the next frame goes out late.
    The demo's median latency at one frame in 25 was 11 ms below that at one in 20 and 17 ms below that at one in 15;
    in calls of 30 s, 20 and 25 were alike in latency, references and PSNR.

    A reference counts as lost only when the key channel has given it up: on a slow line the first one takes seconds.
    """
    return SenderConfig(
        tracker=TrackerConfig(mode=crop),
        policy=ReferencePolicyConfig(acknowledgement_timeout_s=KeySenderConfig().stall_s),
        closed_loop_interval_frames=_CLOSED_LOOP_FRAMES,
    )


@dataclass(frozen=True, slots=True)
class SoundView:
    """What sound needs to know of the line.

    shared_bps: what sound and video may have together, bits a second on the wire. lossy: the line loses messages.
    moving: motion messages leave.
    """

    shared_bps: float
    lossy: bool
    moving: bool


class SendingLoop:
    """Captures, codes and sends until its source ends or it is stopped."""

    def __init__(
        self,
        source: FrameSource,
        sender: Sender,
        send: Callable[[ToTransport], None],
        recording: PictureStore | None = None,
        rate: RateControlConfig | None = None,
    ) -> None:
        """Prepare; ``start`` begins.

        Args:
            source: where frames come from.
            sender: used by the coding thread alone from here on.
            send: hands a message to the transport; must not block.
            recording: keeps the picture of every frame sent, for measuring.
            rate: what the video may take of the line; None takes the default.
        """
        self._source = source
        self._sender = sender
        self._send = send
        self._recording = recording
        self._rate = rate if rate is not None else RateControlConfig()
        self._controller = RateController(self._rate)
        self._stop = threading.Event()
        self._newest: DropOldestQueue[CapturedFrame] = DropOldestQueue(_NEWEST_FRAMES)
        self._news: DropOldestQueue[tuple[LineNews, float]] = DropOldestQueue(_NEWS_WAITING)
        self._gathered = GatheredFrames()
        self._tally = SendingTally()
        self._captured_at = self._loop_closed_at = time.monotonic()
        self._line = self._controller.figures(self._captured_at)  # as of the latest frame, for other threads to read
        self._plan: RatePlan | None = None
        self._coded_s: float | None = None
        self._key_rate = (0.0, 0.0)  # bytes a second, when it was told
        self._sound = (self._rate.audio_bps, math.inf)
        self._sound_view: SoundView | None = None
        self._first_reference: tuple[float, int, bool] | None = None  # when it left, its bytes, a name alone
        self._first_acknowledged = False
        self.failure: Exception | None = None
        self._threads = [
            threading.Thread(target=self._guarded, args=(self._capture,), name="capture", daemon=True),
            threading.Thread(target=self._guarded, args=(self._code,), name="coding", daemon=True),
        ]

    @property
    def frames_sent(self) -> int:
        """Frames that left in a motion message so far."""
        return self._tally.frames_sent

    @property
    def began_s(self) -> float | None:
        """Capture time of the first frame, on the monotonic clock; None before it."""
        return self._tally.first_capture_s

    @property
    def sound_view(self) -> SoundView | None:
        """What sound needs to know, as of the latest frame; None before the first one."""
        return self._sound_view

    def keep_for_sound(self, bps: float, longest_message_s: float) -> None:
        """Leave so much of the wire to sound from the next frame on (`RateController.set_audio`); from any thread."""
        self._sound = (bps, longest_message_s)

    @property
    def finished(self) -> bool:
        """True when the source has ended and every frame is coded, or something failed."""
        return self.failure is not None or not any(thread.is_alive() for thread in self._threads)

    def start(self, peer_cap_bps: float | None = None) -> None:
        """Begin capturing and coding.

        Args:
            peer_cap_bps: the other side wants no more than this, bits a second; None when it does not mind.
        """
        if peer_cap_bps is not None:
            self._controller = RateController(self._rate.capped(peer_cap_bps))
        self._captured_at = self._loop_closed_at = time.monotonic()
        for thread in self._threads:
            thread.start()

    def hear(self, news: LineNews) -> None:
        """Take what the receiver says, or the transport's totals; from any thread."""
        self._news.put((news, time.monotonic()))

    def check_source(self, now: float) -> None:
        """Note as a failure that the source is silent: an unplugged camera may just stop."""
        silent = now - self._captured_at
        if silent > _SOURCE_SILENT_S and self._threads[0].is_alive() and self.failure is None:
            self.failure = SourceError(f"the source gave no frame for {silent:.0f} s; is the camera still connected?")

    def stop(self) -> None:
        """Stop both threads; a source that hangs is left behind (its thread is a daemon)."""
        self._stop.set()
        self._newest.close()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(_JOIN_S)

    def report(self) -> SendingReport:
        """What was done so far."""
        return self._tally.report(self._newest.dropped, self._line)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - carried over to the thread that owns the call
            self.failure = self.failure or error
            self._stop.set()
        finally:
            self._newest.close()

    def _capture(self) -> None:
        for frame in self._source.frames(self._stop):
            self._tally.captured(frame.time_s)
            self._captured_at = time.monotonic()
            self._newest.put(frame)

    def _code(self) -> None:
        while not (self._newest.closed and len(self._newest) == 0):
            patience_s = _PARTIAL_MESSAGE_S + (self._plan.frame_interval_s if self._plan is not None else 0.0)
            frame = self._newest.take(patience_s if len(self._gathered) else None)
            self._hear_all()
            if frame is None:
                # The camera paused, or the call ends: frames do not wait for company that does not come.
                for message in self._sender.flush_motion():
                    self._send_motion(message)
                continue
            self._follow_line(frame.time_s)
            if self._left_out(frame.time_s):
                self._tally.left_out()
                continue
            self._code_frame(frame)
            self._close_loop()

    def _code_frame(self, frame: CapturedFrame) -> None:
        output = self._sender.push_frame(frame.image, frame.time_s)
        self._tally.coded(face_found=output.face_found)
        if output.coded:
            picture = output.picture if self._recording is not None else None
            self._gathered.add(GatheredFrame(frame.time_s, picture))
        anchor = output.anchor.pack() if output.anchor is not None else None
        if anchor is not None:
            self._tally.sent_anchor(len(anchor))
        for message in output.messages:
            self._send_motion(message, anchor if message is output.messages[-1] else None)
        if output.reference is not None and output.reason is not None:
            data = output.reference.pack()
            self._send(SendReference(data))
            named = output.reference.picture_codec == PICTURE_KEPT
            self._tally.sent_reference(len(data), output.reason.value, named=named)
            if self._first_reference is None:
                self._first_reference = (time.monotonic(), len(data), named)

    def _send_motion(self, message: MotionMessage, anchor: bytes | None = None) -> None:
        packed = message.pack()
        self._send(SendMotion(packed, anchor))
        now = time.monotonic()
        frames = self._gathered.take(message)
        self._controller.on_sent(message.sequence, len(frames), len(packed), frames[-1].time_s, now)
        self._tally.sent_message(len(packed), [frame.time_s for frame in frames], now)
        if self._recording is not None:
            for frame in frames:
                if frame.picture is not None:
                    self._recording.add(frame.picture, round(frame.time_s * 1000))

    def _hear_all(self) -> None:
        while (entry := self._news.take(0)) is not None:
            news, when = entry
            match news:
                case ReferenceAck():
                    self._sender.acknowledge_reference(news.slot, news.generation)
                    self._note_first_acknowledgement(when)
                case ReferenceRequest():
                    self._sender.request_reference()
                case Kept():
                    self._sender.take_kept_marks(news.salt, news.marks)
                case ReceivedFeedback():
                    self._take_feedback(news.data, when)
                case TransportStatistics():
                    self._controller.on_wire(news.now.count.sent_bytes, news.now.time_s)
                    settled = news.references_sent + news.references_failed
                    self._sender.hold_anchors(self._tally.pictures_sent - settled > PICTURES_UNDER_WAY)
                    if news.rtt_ms is not None:
                        self._controller.on_round_trip(news.rtt_ms / 1000, when)

    def _take_feedback(self, data: bytes, when: float) -> None:
        try:
            feedback = MotionFeedback.unpack(data)
        except BitstreamError:
            self._tally.malformed()
            return
        self._sender.take_feedback(feedback)
        self._controller.on_feedback(feedback, when)

    def _note_first_acknowledgement(self, when: float) -> None:
        if self._first_reference is not None and not self._first_acknowledged:
            self._first_acknowledged = True
            left_s, size, named = self._first_reference
            self._controller.on_first_reference(size, when - left_s, when, named=named)

    def _follow_line(self, time_s: float) -> None:
        """Take the plan for this frame to the sender, and the pace of references to the transport."""
        now = time.monotonic()
        self._controller.on_capture(time_s)
        self._controller.set_audio(*self._sound)
        plan = self._controller.plan(now)
        if plan != self._plan:
            self._plan = plan
            self._sender.set_plan(plan)
        self._line = self._controller.figures(now)
        self._sound_view = SoundView(self._controller.shared_bps, plan.redundant, self._tally.frames_sent > 0)
        rate = self._controller.key_bytes_per_s(now)
        told, told_s = self._key_rate
        if abs(rate - told) > _KEY_RATE_CHANGE * told and now - told_s >= _KEY_RATE_INTERVAL_S:
            self._key_rate = (rate, now)
            self._send(SetKeyRate(rate))

    def _left_out(self, time_s: float) -> bool:
        """Whether the plan's frame rate has no room for a frame captured at this time."""
        assert self._plan is not None  # made before the first frame is judged
        if self._coded_s is not None and time_s - self._coded_s < self._plan.frame_interval_s:
            return True
        self._coded_s = time_s
        return False

    def _close_loop(self) -> None:
        """Let the sender rebuild a frame while none waits; on a machine that never catches up, once a second."""
        now = time.monotonic()
        if len(self._newest) == 0 or now - self._loop_closed_at >= _CLOSED_LOOP_OVERDUE_S:
            self._loop_closed_at = now
            self._sender.close_loop()
