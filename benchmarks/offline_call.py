"""A call without a network, a clock or a second process: the real sender and receiver, back to back.

    frames, capture times --> Sender --> line (bytes counted) --> Receiver --> what stands on the display at each frame
                                ^                                    |
                                +------ acknowledgements, feedback --+

Time is simulated and nothing is random but lost datagrams, which are seeded: one clip gives the same bytes and pictures
again. Where a call's loops skip the sender's own rebuilds on a slow machine, all of them are made here.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
import numpy.typing as npt

from adasr_core.bitstream import MotionCodec, MotionFeedback, unwrap_u16
from adasr_core.engines import FaceModel
from benchmarks.offline_line import OfflineLine, OfflineLineConfig, WireBytes
from receiver import Receiver, ReceiverConfig, ReceiverStatistics, ReferenceAcknowledgement
from sender import RatePlan, Sender, SenderConfig, SenderStatistics

Image = npt.NDArray[np.uint8]
Planner = Callable[[float, WireBytes], RatePlan]
"""Given the time and what is on the wire so far, what to do from now on; asked before every frame."""

_FEEDBACK_INTERVAL_S = 0.1
_REQUEST_INTERVAL_S = 0.5
_SAME_MOMENT_MS = 2
_TICK_S = 0.001
_LAST_PICTURES_S = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class OfflineCall:
    """What became of a clip.

    shown: for every source frame, uint8 [512, 512, 3], the newest picture whose capture time is not after the frame's:
    how late it came is not held against it. Before the first picture, the first one. fresh: whether it shows just that
    frame rather than an older one. wire: bytes by kind. frames_sent: frames that were coded. first_frame: the one whose
    picture was the first reference; first_head_bytes: of its packet beside the picture. anchor_times: capture times of
    frames whose pictures went out as anchors, seconds.
    """

    shown: tuple[Image, ...]
    fresh: tuple[bool, ...]
    wire: WireBytes
    frames_sent: int
    first_frame: int
    first_head_bytes: int
    anchor_times: tuple[float, ...]
    sending: SenderStatistics
    receiving: ReceiverStatistics


class _Kind(Enum):
    REFERENCE = "reference"
    MOTION = "motion"
    FEEDBACK = "feedback"
    ACKNOWLEDGEMENT = "acknowledgement"
    REQUEST = "request"


@dataclass(order=True, slots=True)
class _Event:
    time: float
    order: int
    kind: _Kind = field(compare=False)
    content: object = field(compare=False)


def run_offline_call(
    frames: Iterable[Image],
    times: Sequence[float],
    model: FaceModel,
    codec: MotionCodec,
    *,
    plan: RatePlan | Planner,
    sender_config: SenderConfig | None = None,
    receiver_config: ReceiverConfig | None = None,
    line: OfflineLineConfig | None = None,
    draw: bool = True,
) -> OfflineCall:
    """Send a clip and see what the other end shows.

    Args:
        frames: uint8 [H, W, 3] RGB.
        times: their capture times, seconds, rising.
        model: all parts of a model; both ends use it.
        codec: its motion codec.
        plan: what the sender may do, or who decides that as the call goes on.
        sender_config: how frames become packets.
        receiver_config: how packets become frames.
        line: what lies between; None is a line of 30 ms that carries everything.
        draw: False counts bytes alone: nothing is shown.

    Raises:
        ValueError: no frame, another number of frames than times, or times that do not rise.
        RuntimeError: nothing was ever shown.
    """
    if not times or any(later <= earlier for earlier, later in itertools.pairwise(times)):
        raise ValueError(f"times: got {len(times)} that do not rise, expected at least one, each after the one before")
    sender = Sender(model, codec, sender_config)
    receiver = Receiver(model, codec, receiver_config)
    call = _Call(sender, receiver, line if line is not None else OfflineLineConfig(), plan, draw)
    ends = [*times[1:], times[-1] + _LAST_PICTURES_S]
    for image, time, end in zip(frames, times, ends, strict=True):
        call.capture(image, time, last=time == times[-1])
        call.run(time, end)
    shown, fresh = call.display([round(time * 1000) for time in times]) if draw else ((), ())
    return OfflineCall(
        shown=shown,
        fresh=fresh,
        wire=call.line.wire,
        frames_sent=call.frames_sent,
        first_frame=times.index(call.first_reference[0]),
        first_head_bytes=call.first_reference[1],
        anchor_times=tuple(call.anchor_times),
        sending=sender.statistics,
        receiving=receiver.statistics,
    )


class _Call:
    def __init__(
        self, sender: Sender, receiver: Receiver, config: OfflineLineConfig, plan: RatePlan | Planner, draw: bool
    ) -> None:
        self.line = OfflineLine(config)
        self.frames_sent = 0
        self.anchor_times: list[float] = []
        self.first_reference = (0.0, 0)  # when, and bytes beside the picture
        self._sender, self._receiver = sender, receiver
        self._delay_s = config.delay_s
        self._draw = draw
        self._planner: Planner = (lambda time, wire: plan) if isinstance(plan, RatePlan) else plan
        self._plan: RatePlan | None = None
        self._coded_time: float | None = None
        self._reference_sent = False
        self._events: list[_Event] = []
        self._numbered = 0
        self._feedback_time = self._request_time = float("-inf")
        self._rendered: list[tuple[int, Image]] = []

    def capture(self, image: Image, time: float, *, last: bool) -> None:
        """Code a frame and put what it gave on the line."""
        plan = self._planner(time, self.line.wire)
        if plan != self._plan:
            self._sender.set_plan(plan)
            self._plan = plan
        if self._coded_time is None or time - self._coded_time >= plan.frame_interval_s - _TICK_S:
            self._coded_time = time
            self.frames_sent += 1
            output = self._sender.push_frame(image, time)
            if output.reference is not None:
                data = output.reference.pack()
                if self.line.send_reference(data, first=not self._reference_sent):
                    self._later(time, _Kind.REFERENCE, data)
                if not self._reference_sent:
                    self.first_reference = (time, len(data) - len(output.reference.picture))
                self._reference_sent = True
            messages, anchor = output.messages, output.anchor
            if anchor is not None:
                self.anchor_times.append(time)
        else:
            messages, anchor = (), None
        arrived = False
        for message in (*messages, *(self._sender.flush_motion() if last else ())):
            data = message.pack()
            arrived = self.line.send_motion(data)
            if arrived:
                self._later(time, _Kind.MOTION, data)
        if anchor is not None:
            data = anchor.pack()
            if self.line.send_anchor(data, with_motion=arrived):
                # Before its motion message: one datagram is read as a whole before the next picture is drawn.
                self._later(time, _Kind.REFERENCE, data, first=True)
        self._sender.close_loop()

    def run(self, since: float, until: float) -> None:
        """Let everything happen that happens before `until`."""
        for time, data in self.line.advance(since, until):
            self._later(time, _Kind.REFERENCE, data)
        now = since
        while True:
            arrival = self._events[0].time if self._events else None
            due = self._receiver.next_render_time() if self._draw else None
            due = None if due is None else max(due, now)
            moments = [moment for moment in (arrival, due) if moment is not None and moment < until]
            if not moments:
                return
            now = min(moments)
            if arrival is not None and arrival <= now:
                self._deliver(heapq.heappop(self._events))
            elif not self._render(now):
                now += _TICK_S  # due by a rounding error's breadth, or given up: look again a moment later

    def display(self, times_ms: Sequence[int]) -> tuple[tuple[Image, ...], tuple[bool, ...]]:
        """The picture that stands at each capture time, and whether it shows just that moment."""
        if not self._rendered:
            raise RuntimeError("offline call: nothing was shown, expected at least one picture; is a face in the clip?")
        shown, fresh = [], []
        position = 0
        for time_ms in times_ms:
            limit_ms = time_ms + _SAME_MOMENT_MS
            while position + 1 < len(self._rendered) and self._rendered[position + 1][0] <= limit_ms:
                position += 1
            shown_ms, picture = self._rendered[position]
            shown.append(picture)
            fresh.append(abs(shown_ms - time_ms) <= _SAME_MOMENT_MS)
        return tuple(shown), tuple(fresh)

    def _render(self, now: float) -> bool:
        frame = self._receiver.render(now)
        if frame is None:
            return False
        near = self._rendered[-1][0] if self._rendered else round(now * 1000)
        self._rendered.append((unwrap_u16(frame.capture_time_ms & 0xFFFF, near), frame.picture))
        return True

    def _later(self, time: float, kind: _Kind, content: object, *, first: bool = False) -> None:
        """It arrives at the other end after the line's delay; `first`: before all else of that moment."""
        self._numbered += 1
        order = -self._numbered if first else self._numbered
        heapq.heappush(self._events, _Event(time + self._delay_s, order, kind, content))

    def _deliver(self, event: _Event) -> None:
        now = event.time
        match event.content:
            case bytes(data) if event.kind is _Kind.REFERENCE:
                acknowledgement = self._receiver.receive_reference(data, now)
                if acknowledgement is not None:
                    self._later(now, _Kind.ACKNOWLEDGEMENT, acknowledgement)
            case bytes(data) if event.kind is _Kind.MOTION:
                self._receiver.receive_motion(data, now)
                self._give_feedback(now)
            case bytes(data):
                self._sender.take_feedback(MotionFeedback.unpack(data))
            case ReferenceAcknowledgement(slot=slot, generation=generation):
                self._sender.acknowledge_reference(slot, generation)
            case _:
                self._sender.request_reference()
        if self._receiver.wants_reference and now - self._request_time >= _REQUEST_INTERVAL_S:
            self._request_time = now
            self._later(now, _Kind.REQUEST, None)

    def _give_feedback(self, now: float) -> None:
        if now - self._feedback_time < _FEEDBACK_INTERVAL_S - _TICK_S:
            return
        feedback = self._receiver.feedback(now)
        if feedback is None:
            return
        self._feedback_time = now
        data = feedback.pack()
        if self.line.send_feedback(data):
            self._later(now, _Kind.FEEDBACK, data)
