"""Frames become messages: gathering, bases that the receiver is known to hold, repeats for lossy lines.

    push(frame) --> gathered [17 18 19] --> message: base 12 | repeats 15 16 | 17 18 19
                                                     ^
    take_feedback("newest decoded: 12") -------------+

A base is a frame that some feedback named as its newest: the newest frame of a message, as it was coded first. A repeat
is coarser than its original, so a message coded against the one would decode to something else from the other.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from adasr_core.bitstream.feedback import MotionFeedback
from adasr_core.bitstream.message_head import MAX_INTERVAL_MS
from adasr_core.bitstream.motion import MotionCodec
from adasr_core.bitstream.motion_message import MAX_MESSAGE_FRAMES, CodedFrame, FrameToCode, MotionMessage
from adasr_core.bitstream.packets import unwrap_u8
from adasr_core.bitstream.prediction import MAX_DISTANCE
from adasr_core.geometry import MotionParameters
from sender.rate_plan import RatePlan

_LONGEST_BASE_MS = 3000
"""Receivers hold frames for 4 s; the message needs some of that to arrive."""


@dataclass(frozen=True, slots=True, eq=False)
class MotionReference:
    """What frames are coded against. slot, generation: its place. parameters: as the receiver decoded them."""

    slot: int
    generation: int
    parameters: MotionParameters


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    """time_ms: of capture, not wrapped."""

    time_ms: int
    parameters: MotionParameters

    def to_code(self) -> FrameToCode:
        return FrameToCode(time_ms=self.time_ms & 0xFFFF, parameters=self.parameters)


@dataclass(frozen=True, slots=True, eq=False)
class _Sent:
    time_ms: int
    coded: CodedFrame


class MotionStream:
    """Codes the motion of one video. Sequence numbers count frames; here they are unwrapped."""

    def __init__(self, codec: MotionCodec, plan: RatePlan, *, assume_decoded: bool = False) -> None:
        """Begin with no frame.

        assume_decoded: every message counts as decoded when it is made: for files.
        """
        self._codec = codec
        self._plan = plan
        self._assume_decoded = assume_decoded
        self._gathered: list[_Frame] = []
        self._reference: MotionReference | None = None
        self._next = 0
        self._previous: Sequence[_Frame] = ()
        self._sent: OrderedDict[int, _Sent] = OrderedDict()
        self._decoded: int | None = None
        self.frames = 0
        self.messages = 0
        self.message_bytes = 0

    @property
    def gathered(self) -> int:
        """Frames that wait for company."""
        return len(self._gathered)

    def set_plan(self, plan: RatePlan) -> None:
        """How to code from the next frame on."""
        self._plan = plan

    def push(self, reference: MotionReference, parameters: MotionParameters, time_ms: int) -> tuple[MotionMessage, ...]:
        """Add a frame. The messages that are ready, oldest first: with a new reference there may be two.

        time_ms: of capture, on a clock that does not run backward; not wrapped.
        """
        ready: tuple[MotionMessage, ...] = ()
        held = self._reference
        if held is not None and (held.slot, held.generation) != (reference.slot, reference.generation):
            ready = self.flush()
        if self._gathered and not _may_share(self._gathered[-1].time_ms, time_ms):
            ready += self.flush()
        self._reference = reference
        self._gathered.append(_Frame(time_ms, parameters))
        return ready + (self.flush() if len(self._gathered) >= self._plan.frames_per_message else ())

    def flush(self) -> tuple[MotionMessage, ...]:
        """A message of what is gathered, at once; none when there is nothing."""
        if not self._gathered:
            return ()
        assert self._reference is not None  # there is one since the first frame
        new = self._gathered
        self._gathered = []
        newest = self._next + len(new) - 1
        repeats = self._repeats(new)
        frames = [*repeats, *new]
        message, coded = self._codec.encode_message(
            [frame.to_code() for frame in frames],
            self._reference.parameters,
            slot=self._reference.slot,
            generation=self._reference.generation,
            sequence=newest & 0xFF,
            quality=self._plan.motion_quality,
            base=self._base(newest, len(frames), new[-1].time_ms),
            repeats=len(repeats),
        )
        self._next = newest + 1
        self._previous = new
        self._sent[newest] = _Sent(new[-1].time_ms, coded[-1])
        while len(self._sent) > MAX_DISTANCE + 1:
            self._sent.popitem(last=False)
        if self._assume_decoded:
            self._decoded = newest
        self.frames += len(new)
        self.messages += 1
        self.message_bytes += len(message.pack())
        return (message,)

    def take_feedback(self, feedback: MotionFeedback) -> None:
        """The receiver decoded the frame that `feedback` names as its newest. What cannot be true has no effect."""
        number = unwrap_u8(feedback.sequence, self._next - 1)
        sent = self._sent.get(number)
        if sent is None or sent.coded.time_ms != feedback.time_ms:
            return
        if self._decoded is None or number > self._decoded:
            self._decoded = number

    def forget_bases(self) -> None:
        """The receiver may have begun anew: nothing sent so far is a base."""
        self._sent.clear()
        self._decoded = None

    def _repeats(self, new: Sequence[_Frame]) -> Sequence[_Frame]:
        """The newest frames of the message before that the receiver is not known to have, as far as there is room."""
        before = self._previous
        if not self._plan.redundant or self._assume_decoded or not before:
            return ()
        if not _may_share(before[-1].time_ms, new[0].time_ms):
            return ()
        unknown = self._next - 1 - (-1 if self._decoded is None else self._decoded)
        count = min(len(before), MAX_MESSAGE_FRAMES - len(new), unknown)
        return before[len(before) - count :] if count > 0 else ()

    def _base(self, newest: int, frames: int, time_ms: int) -> CodedFrame | None:
        """The newest frame that the receiver holds, if it is older than all of the message and near enough."""
        if self._decoded is None or not frames <= newest - self._decoded <= MAX_DISTANCE:
            return None
        sent = self._sent.get(self._decoded)
        # In a file nothing is forgotten.
        if sent is None or (not self._assume_decoded and time_ms - sent.time_ms > _LONGEST_BASE_MS):
            return None
        return sent.coded


def _may_share(earlier_ms: int, later_ms: int) -> bool:
    """Whether two neighbouring frames may go in one message."""
    return 1 <= later_ms - earlier_ms <= MAX_INTERVAL_MS
