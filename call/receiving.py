"""The receiving half of a media process: packets to frames.

    transport --link's reader thread--> bounded lanes --showing thread--> Receiver --> sink
        ^                                                     |
        +--- acknowledgements, requests, feedback ------------+

Lanes that are full forget their oldest packet. A failure ends the loop and is kept for the thread that owns the call.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from adasr_core.bitstream import BitstreamError
from call.control import ReferenceAck, ReferenceRequest
from call.drop_oldest import DropOldestQueue
from call.feedback_pace import FeedbackPace
from call.messages import (
    LANE_CAPACITIES,
    MOTION_LANE,
    ReceivedMotion,
    ReceivedReference,
    SendControl,
    SendFeedback,
    ToTransport,
    lane_of,
)
from call.sinks import FrameSink, ShownFrame
from receiver import MotionOutcome, Receiver, ReceiverStatistics

_LONGEST_POLL_S = 0.02
_SHORTEST_POLL_S = 0.001
_DRAIN_S = 0.5
_REQUEST_INTERVAL_S = 1.0
_JOIN_S = 5.0
_TIMES_KEPT = 100_000
_LAGS_KEPT = 25
_MOTION_WAITING = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceivingReport:
    """What a receiving loop did.

    Attributes:
        frames_shown: frames rebuilt and shown, interpolated ones included.
        frames_made_up: of these, drawn between others or by carrying motion on.
        references: references received.
        malformed: packets that could not be read.
        feedback_sent: how often the sender was told what came.
        queue_dropped: packets forgotten because rebuilding did not keep up.
        capture_times_ms: capture times of the frames shown, on the sender's clock modulo 65,536 ms, the latest 100,000.
        shown_times_s: our monotonic clock when each of them was complete.
        made_up: whether each of them was made up rather than sent.
        rebuild_ms: time that each rebuild took.
        statistics: the receiver's own counts.
    """

    frames_shown: int
    frames_made_up: int
    references: int
    malformed: int
    feedback_sent: int
    queue_dropped: int
    capture_times_ms: tuple[int, ...]
    shown_times_s: tuple[float, ...]
    made_up: tuple[bool, ...]
    rebuild_ms: tuple[float, ...]
    statistics: ReceiverStatistics


@dataclass(frozen=True, slots=True)
class Arrival:
    """A packet and when it came (monotonic seconds): waiting for a rebuild must not pass for jitter of the line."""

    message: ReceivedMotion | ReceivedReference
    time_s: float


class ReceivingLoop:
    """Receives, rebuilds and shows until it is stopped."""

    def __init__(
        self,
        receiver: Receiver,
        sink: FrameSink,
        send: Callable[[ToTransport], None],
        inbox: DropOldestQueue[Arrival],
        *,
        duplex: bool = False,
    ) -> None:
        """Prepare; ``start`` begins.

        Args:
            receiver: used by the showing thread alone from here on.
            sink: takes the frames; not closed here.
            send: hands a message to the transport; must not block.
            inbox: references and motion messages that arrived; closed when the call ends.
            duplex: this peer sends video as well.
        """
        self._receiver = receiver
        self._sink = sink
        self._send = send
        self._inbox = inbox
        self._stop = threading.Event()
        self._shown = 0
        self._pace = FeedbackPace(duplex=duplex)
        self._urgent = False
        self._feedback_sent = 0
        self._made_up: deque[bool] = deque(maxlen=_TIMES_KEPT)
        self._frames_made_up = 0
        self._references = 0
        self._malformed = 0
        self._requested_at = 0.0
        self._capture_ms: deque[int] = deque(maxlen=_TIMES_KEPT)
        self._shown_s: deque[float] = deque(maxlen=_TIMES_KEPT)
        self._rebuild_ms: deque[float] = deque(maxlen=_TIMES_KEPT)
        self._lags_s: deque[float] = deque(maxlen=_LAGS_KEPT)
        self.failure: Exception | None = None
        self._thread = threading.Thread(target=self._guarded, name="showing", daemon=True)

    @property
    def frames_shown(self) -> int:
        """Frames rebuilt and shown so far."""
        return self._shown

    @property
    def picture_lag_s(self) -> float | None:
        """From capture (the sender's clock) to showing (ours), median of the latest pictures; None before one."""
        lags = sorted(self._lags_s.copy())
        return lags[len(lags) // 2] if lags else None

    def start(self) -> None:
        """Begin showing."""
        self._thread.start()

    def stop(self) -> None:
        """Show what has arrived, for half a second at most, then stop."""
        self._inbox.close()
        if self._thread.ident is not None:
            self._thread.join(_DRAIN_S + _JOIN_S)
        self._stop.set()

    def report(self) -> ReceivingReport:
        """What was done so far."""
        return ReceivingReport(
            frames_shown=self._shown,
            frames_made_up=self._frames_made_up,
            references=self._references,
            malformed=self._malformed,
            feedback_sent=self._feedback_sent,
            queue_dropped=self._inbox.dropped,
            capture_times_ms=tuple(self._capture_ms),
            shown_times_s=tuple(self._shown_s),
            made_up=tuple(self._made_up),
            rebuild_ms=tuple(self._rebuild_ms),
            statistics=self._receiver.statistics,
        )

    def _guarded(self) -> None:
        try:
            self._show()
        except Exception as error:  # noqa: BLE001 - carried over to the thread that owns the call
            self.failure = error

    def _show(self) -> None:
        drained: float | None = None
        while not self._stop.is_set():
            arrival = self._inbox.take(self._pause())
            while arrival is not None:
                self._receive(arrival)
                arrival = self._inbox.take(0)
            self._tell_what_came()
            shown = self._render()
            now = time.monotonic()
            if self._inbox.closed:
                drained = now if drained is None or shown else drained
                if now - drained > _DRAIN_S:
                    return

    def _pause(self) -> float:
        due = self._receiver.next_render_time()
        if self._inbox.closed:
            time.sleep(_SHORTEST_POLL_S)  # a closed queue no longer waits
        if due is None:
            return _LONGEST_POLL_S
        return min(max(due - time.monotonic(), _SHORTEST_POLL_S), _LONGEST_POLL_S)

    def _receive(self, arrival: Arrival) -> None:
        message, now = arrival.message, arrival.time_s
        try:
            if isinstance(message, ReceivedReference):
                acknowledgement = self._receiver.receive_reference(message.data, now)
                if acknowledgement is not None:
                    self._references += 1
                    self._send(SendControl(ReferenceAck(acknowledgement.slot, acknowledgement.generation)))
            elif isinstance(message, ReceivedMotion):
                self._pace.motion_arrived(now)
                outcome = self._receiver.receive_motion(message.packet, now)
                self._urgent = self._urgent or outcome is MotionOutcome.MISSING_BASE
        except BitstreamError:
            self._malformed += 1
        if self._receiver.wants_reference and now - self._requested_at > _REQUEST_INTERVAL_S:
            self._requested_at = now
            self._send(SendControl(ReferenceRequest()))

    def _tell_what_came(self) -> None:
        now = time.monotonic()
        if not self._pace.due(now, urgent=self._urgent):
            return
        feedback = self._receiver.feedback(now)
        if feedback is not None:
            self._pace.sent(now)
            self._urgent = False
            self._feedback_sent += 1
            self._send(SendFeedback(feedback.pack()))

    def _render(self) -> bool:
        started = time.monotonic()
        frame = self._receiver.render(started)
        if frame is None:
            return False
        now = time.monotonic()
        self._shown += 1
        self._frames_made_up += frame.interpolated
        self._made_up.append(frame.interpolated)
        self._capture_ms.append(frame.capture_time_ms & 0xFFFF)
        self._shown_s.append(now)
        self._lags_s.append(now - frame.capture_time_ms / 1000)
        self._rebuild_ms.append((now - started) * 1000)
        self._sink.show(ShownFrame(frame.picture, frame.capture_time_ms, now, frame.interpolated))
        return True


def make_inbox() -> DropOldestQueue[Arrival]:
    """The bounded queue between the link's reader thread and a receiving loop.

    It holds more than a second of motion: reading a message takes a hundredth of a rebuild, and one that is forgotten
    because a rebuild took long would look like a loss of the line, and be missed by those that build on it.
    """
    capacities = list(LANE_CAPACITIES)
    capacities[MOTION_LANE] = _MOTION_WAITING
    return DropOldestQueue(*capacities)


def put_media(inbox: DropOldestQueue[Arrival], message: ReceivedMotion | ReceivedReference) -> None:
    """Queue a reference or motion packet in its lane, with the time."""
    inbox.put(Arrival(message, time.monotonic()), lane_of(message))
