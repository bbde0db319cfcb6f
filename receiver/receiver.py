"""From packets to frames.

    reference packet --> bank (picture, parameters, features) ---------------+
    motion message --> decode: reference, base --> playout --> concealment --+--> rebuild --> 512x512 picture
                          ^      |
                          +-- history --> feedback to the sender

No clock, no socket, no thread: times of arrival and of showing come in as arguments, seconds on one clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import numpy as np
import numpy.typing as npt

from adasr_core.bitstream import (
    AnchorPacket,
    BitstreamError,
    CodedFrame,
    MissingBaseError,
    MotionCodec,
    MotionFeedback,
    MotionMessage,
    is_anchor,
)
from adasr_core.bitstream.packets import PICTURE_KEPT, ReferencePacket
from adasr_core.engines import FaceModel
from receiver.anchors import Anchors
from receiver.bank import HeldReference, ReferenceBank, Standing
from receiver.concealment import Concealment, Sample
from receiver.due_frames import Arrival, Incoming, Known, Origin
from receiver.frame_history import FrameHistory
from receiver.kept_pictures import KeptPictures
from receiver.playout import PlayoutBuffer
from receiver.playout_config import PlayoutConfig

_ASK_AFTER_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceiverConfig:
    """How packets become frames."""

    playout: PlayoutConfig = field(default_factory=PlayoutConfig)
    """Waiting, ordering and filling of gaps."""
    refine: bool = True
    """Let the model's refiner paint frames from anchors, where it was loaded with one; else they are mixed."""


@dataclass(frozen=True, slots=True)
class ReferenceAcknowledgement:
    """Tells the sender that a reference is held: slot 0..15, generation 0..15."""

    slot: int
    generation: int


class MotionOutcome(Enum):
    """What became of a motion message, that is, of its newest frame."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    LATE = "late"
    MISSING_BASE = "missing base"
    IMPLAUSIBLE_TIME = "implausible time"
    REPLACED_REFERENCE = "replaced reference"
    UNKNOWN_REFERENCE = "unknown reference"


_OUTCOMES = {
    Arrival.ACCEPTED: MotionOutcome.ACCEPTED,
    Arrival.DUPLICATE: MotionOutcome.DUPLICATE,
    Arrival.LATE: MotionOutcome.LATE,
    Arrival.REPEAT: MotionOutcome.DUPLICATE,
}


@dataclass(frozen=True, slots=True)
class RenderedFrame:
    """A rebuilt frame.

    picture: uint8 [512, 512, 3] RGB. capture_time_ms: the sender's capture time, unwrapped, and rising from frame to
    frame; of a frame that was sent it is equal modulo 65536 to what its message said. origin: sent, or drawn between
    its neighbours or by carrying motion on. buffered_ms: time from the arrival of the newest frame it needs to this
    showing. delay_ms: present playout delay.
    """

    picture: npt.NDArray[np.uint8]
    capture_time_ms: int
    origin: Origin
    slot: int
    generation: int
    buffered_ms: float
    delay_ms: float

    @property
    def interpolated(self) -> bool:
        """Whether the frame was made up from others instead of sent."""
        return self.origin is not Origin.SENT


@dataclass(frozen=True, slots=True)
class ReceiverStatistics:
    """Counts since the start, and the present state of the playout.

    anchors: pictures between which frames were drawn. motion_messages: all that could be read. duplicates, late,
    missing_base, unknown_reference, replaced_reference: those of them that were of no use, by the reason. frames:
    decoded, without repeats. repeats_used: repeats that came before, or instead of, the frame that they repeat. lost:
    frames given up as lost, repeats or not. rendered: frames shown, of which interpolated were drawn between others and
    extrapolated by carrying motion on. skipped: frames that were there but gave way to newer ones. loss: share of
    frames missing among the latest 128.
    """

    references: int
    anchors: int
    motion_messages: int
    duplicates: int
    late: int
    missing_base: int
    unknown_reference: int
    replaced_reference: int
    malformed: int
    frames: int
    repeats_used: int
    lost: int
    rendered: int
    interpolated: int
    extrapolated: int
    skipped: int
    references_held: int
    loss: float
    delay_ms: float
    interval_ms: float


@dataclass(frozen=True, slots=True, eq=False)
class _Motion:
    frame: CodedFrame
    reference: HeldReference


class Receiver:
    """Turns the packets of one sender into frames."""

    def __init__(
        self,
        model: FaceModel,
        codec: MotionCodec,
        config: ReceiverConfig | None = None,
        kept: KeptPictures | None = None,
    ) -> None:
        """Begin with nothing. kept: pictures of earlier calls, which the sender may name; None: nothing is kept."""
        self._model = model
        self._codec = codec
        config = config if config is not None else ReceiverConfig()
        self._bank = ReferenceBank(model, codec, kept)
        self._anchors = Anchors(model, refine=config.refine)
        self._history = FrameHistory()
        self._playout: PlayoutBuffer[_Motion] = PlayoutBuffer(
            config.playout, continues=lambda before, after: before.reference is after.reference
        )
        self._concealment = Concealment(config.playout.concealment)
        self._outcomes = dict.fromkeys(MotionOutcome, 0)
        self._shown = dict.fromkeys(Origin, 0)
        self._references = self._anchor_count = self._malformed = self._frames = self._repeats_used = 0
        self._wants_reference = False
        self._undecodable_since: float | None = None

    @property
    def wants_reference(self) -> bool:
        """Whether the sender should be asked for a reference.

        So when messages name one that never came here, when one could not be decoded (a link of its chain of pictures
        is missing), and when for a second all messages built on frames that are not here.
        """
        return self._wants_reference

    @property
    def statistics(self) -> ReceiverStatistics:
        """Counts up to now."""
        return ReceiverStatistics(
            references=self._references,
            anchors=self._anchor_count,
            motion_messages=sum(self._outcomes.values()),
            duplicates=self._outcomes[MotionOutcome.DUPLICATE],
            late=self._outcomes[MotionOutcome.LATE] + self._outcomes[MotionOutcome.IMPLAUSIBLE_TIME],
            missing_base=self._outcomes[MotionOutcome.MISSING_BASE],
            unknown_reference=self._outcomes[MotionOutcome.UNKNOWN_REFERENCE],
            replaced_reference=self._outcomes[MotionOutcome.REPLACED_REFERENCE],
            malformed=self._malformed,
            frames=self._frames,
            repeats_used=self._repeats_used,
            lost=self._history.lost,
            rendered=sum(self._shown.values()),
            interpolated=self._shown[Origin.INTERPOLATED],
            extrapolated=self._shown[Origin.EXTRAPOLATED],
            skipped=self._playout.skipped,
            references_held=len(self._bank),
            loss=self._playout.loss,
            delay_ms=self._playout.delay_ms,
            interval_ms=self._playout.interval_ms,
        )

    def receive_reference(self, data: bytes, now: float) -> ReferenceAcknowledgement | None:
        """Take a reference packet or an anchor packet.

        A reference's acknowledgement goes to the sender; a repeated packet is acknowledged again. An anchor needs none:
        None.

        Raises:
            BitstreamError: the bytes are no valid packet for this model, or need a picture that is not here; nothing
            changed, and `wants_reference` is true.
        """
        try:
            if is_anchor(data):
                anchor = AnchorPacket.unpack(data)
                self._anchors.add(anchor, self._bank.decode_anchor(anchor))
                self._anchor_count += 1
                return None
            held = self._bank.insert(ReferencePacket.unpack(data))
        except BitstreamError:
            self._malformed += 1
            self._wants_reference = True
            raise
        if held.packet.picture_codec != PICTURE_KEPT:
            # A picture of another call, in another light, is no neighbour to mix with one of this moment.
            self._anchors.add_reference(held.time_ms, held.picture, held.parameters, held.features)
        self._references += 1
        self._wants_reference = False
        self._undecodable_since = None
        return ReferenceAcknowledgement(slot=held.slot, generation=held.generation)

    def receive_motion(self, data: bytes, now: float) -> MotionOutcome:
        """Take a motion message that arrived at `now`: all its frames. A duplicate is no error.

        Raises:
            BitstreamError: the bytes are no valid message; nothing changed.
        """
        try:
            outcome = self._take_motion(MotionMessage.unpack(data), now)
        except BitstreamError:
            self._malformed += 1
            raise
        self._outcomes[outcome] += 1
        return outcome

    def feedback(self, now: float) -> MotionFeedback | None:
        """What the sender should know at `now`; None before the first frame and while nothing new came."""
        return self._history.feedback(now)

    def render(self, now: float) -> RenderedFrame | None:
        """The frame to show at `now`, or None while the shown one stands. At most one rebuild a call."""
        due = self._playout.pull(now)
        if due is None:
            return None
        known = due.earlier if due.later is None else (*due.earlier, due.later)
        driving = self._concealment.parameters(
            [_sample(one) for one in known], due.capture_ms, due.missed, self._playout.interval_ms
        )
        reference = known[-1].payload.reference
        picture = self._anchors.draw(due.capture_ms, driving)
        if picture is None:
            picture = self._anchors.rebuild(due.capture_ms, driving)
        if picture is None:
            picture = self._model.rebuild(reference.features, reference.parameters, driving)
        self._shown[due.origin] += 1
        return RenderedFrame(
            picture=picture,
            capture_time_ms=due.capture_ms,
            origin=due.origin,
            slot=reference.slot,
            generation=reference.generation,
            buffered_ms=due.buffered_ms,
            delay_ms=self._playout.delay_ms,
        )

    def next_render_time(self) -> float | None:
        """When `render` has a frame next (seconds on the clock of `now`), or None until a message comes.

        Exact until then: `render` gives nothing before that time, and a frame at it.
        """
        return self._playout.next_due()

    def _take_motion(self, message: MotionMessage, now: float) -> MotionOutcome:
        reference = self._bank.find(message.slot, message.generation)
        if reference is None:
            if self._bank.standing(message.slot, message.generation) is Standing.REPLACED:
                return MotionOutcome.REPLACED_REFERENCE
            self._wants_reference = True
            return MotionOutcome.UNKNOWN_REFERENCE
        try:
            frames = self._codec.decode_message(
                message, reference.parameters, lambda sequence: self._history.find_base(sequence, now)
            )
        except MissingBaseError:
            self._note_missing_base(now)
            return MotionOutcome.MISSING_BASE
        self._undecodable_since = None
        return self._place(frames, reference, now)

    def _place(self, frames: tuple[CodedFrame, ...], reference: HeldReference, now: float) -> MotionOutcome:
        """Hand decoded frames, oldest first, to the playout and to the history."""
        repeats = [frame.repeat for frame in frames]
        restarts = self._playout.restarts
        placed = self._playout.push(
            [
                Incoming(frame.sequence, frame.time_ms, _Motion(frame, reference), repeat)
                for frame, repeat in zip(frames, repeats, strict=True)
            ],
            now,
        )
        if not placed:
            return MotionOutcome.IMPLAUSIBLE_TIME
        if self._playout.restarts != restarts:
            self._history.restart()
            self._anchors.forget()
        outcome = _OUTCOMES[placed[-1][1]]
        if outcome is not MotionOutcome.DUPLICATE:
            fresh = [
                (stamp, frame)
                for (stamp, arrival), frame, repeat in zip(placed, frames, repeats, strict=True)
                if not repeat and arrival is not Arrival.DUPLICATE
            ]
            self._history.add(fresh, now)
            self._anchors.note_frames(frame for _, frame in fresh)
            self._frames += len(fresh)
            self._repeats_used += sum(
                repeat and arrival is Arrival.ACCEPTED for repeat, (_, arrival) in zip(repeats, placed, strict=True)
            )
        return outcome

    def _note_missing_base(self, now: float) -> None:
        """Tell the sender at once what is here; when nothing has helped for long, ask for a reference to begin from."""
        self._history.base_was_missing()
        if self._undecodable_since is None:
            self._undecodable_since = now
        elif now - self._undecodable_since > _ASK_AFTER_S:
            self._wants_reference = True


def _sample(known: Known[_Motion]) -> Sample:
    motion = known.payload
    return Sample(float(known.stamp.capture_ms), motion.frame.parameters.vector(), motion.reference)
