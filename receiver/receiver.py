"""From packets to frames.

    reference packet --> bank (picture, parameters, features) --+
    motion packet --> decode with its reference --> playout ----+--> rebuild --> 512x512 picture

No clock, no socket, no thread: times of arrival and of showing come in as arguments, seconds on one clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import numpy as np
import numpy.typing as npt

from adasr_core.bitstream.errors import BitstreamError
from adasr_core.bitstream.motion import MotionCodec
from adasr_core.bitstream.packets import MotionPacket, ReferencePacket
from adasr_core.engines import FaceModel
from adasr_core.geometry import MotionParameters, interpolate
from receiver.bank import HeldReference, ReferenceBank, Standing
from receiver.playout import Arrival, PlayoutBuffer, PlayoutConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceiverConfig:
    """How packets become frames."""

    playout: PlayoutConfig = field(default_factory=PlayoutConfig)
    """Waiting, ordering and filling of gaps."""


@dataclass(frozen=True, slots=True)
class ReferenceAcknowledgement:
    """Tells the sender that a reference is held: slot 0..15, generation 0..15."""

    slot: int
    generation: int


class MotionOutcome(Enum):
    """What became of a motion packet."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    LATE = "late"
    IMPLAUSIBLE_TIME = "implausible time"
    REPLACED_REFERENCE = "replaced reference"
    UNKNOWN_REFERENCE = "unknown reference"


_OUTCOMES = {
    Arrival.ACCEPTED: MotionOutcome.ACCEPTED,
    Arrival.DUPLICATE: MotionOutcome.DUPLICATE,
    Arrival.LATE: MotionOutcome.LATE,
    Arrival.IMPLAUSIBLE: MotionOutcome.IMPLAUSIBLE_TIME,
}


@dataclass(frozen=True, slots=True)
class RenderedFrame:
    """A rebuilt frame.

    picture: uint8 [512, 512, 3] RGB. capture_time_ms: the sender's capture time, unwrapped; equal modulo 65536 to
    what the packet said, and rising from frame to frame. interpolated: drawn between its neighbours, its packet being
    missing. buffered_ms: time from the arrival of the newest packet it needs to this showing. delay_ms: present
    playout delay.
    """

    picture: npt.NDArray[np.uint8]
    capture_time_ms: int
    interpolated: bool
    slot: int
    generation: int
    buffered_ms: float
    delay_ms: float


@dataclass(frozen=True, slots=True)
class ReceiverStatistics:
    """Counts since the start, and the present state of the playout.

    skipped: frames that were there but gave way to newer ones. loss: share of packets missing among the latest 128.
    """

    references: int
    motion_packets: int
    duplicates: int
    late: int
    unknown_reference: int
    replaced_reference: int
    malformed: int
    rendered: int
    interpolated: int
    skipped: int
    references_held: int
    loss: float
    delay_ms: float
    interval_ms: float


@dataclass(frozen=True, slots=True, eq=False)
class _Motion:
    driving: MotionParameters
    reference: HeldReference


class Receiver:
    """Turns the packets of one sender into frames."""

    def __init__(self, model: FaceModel, codec: MotionCodec, config: ReceiverConfig | None = None) -> None:
        self._model = model
        self._codec = codec
        self._config = config if config is not None else ReceiverConfig()
        self._bank = ReferenceBank(model, codec)
        self._playout: PlayoutBuffer[_Motion] = PlayoutBuffer(self._config.playout)
        self._outcomes = dict.fromkeys(MotionOutcome, 0)
        self._references = self._malformed = self._rendered = self._interpolated = 0
        self._wants_reference = False

    @property
    def wants_reference(self) -> bool:
        """Whether the sender should be asked for a reference: packets name one that never came here."""
        return self._wants_reference

    @property
    def statistics(self) -> ReceiverStatistics:
        """Counts up to now."""
        return ReceiverStatistics(
            references=self._references,
            motion_packets=sum(self._outcomes.values()),
            duplicates=self._outcomes[MotionOutcome.DUPLICATE],
            late=self._outcomes[MotionOutcome.LATE] + self._outcomes[MotionOutcome.IMPLAUSIBLE_TIME],
            unknown_reference=self._outcomes[MotionOutcome.UNKNOWN_REFERENCE],
            replaced_reference=self._outcomes[MotionOutcome.REPLACED_REFERENCE],
            malformed=self._malformed,
            rendered=self._rendered,
            interpolated=self._interpolated,
            skipped=self._playout.skipped,
            references_held=len(self._bank),
            loss=self._playout.loss,
            delay_ms=self._playout.delay_ms,
            interval_ms=self._playout.interval_ms,
        )

    def receive_reference(self, data: bytes, now: float) -> ReferenceAcknowledgement:
        """Take a reference packet. The acknowledgement goes to the sender; a repeated packet is acknowledged again.

        Raises:
            BitstreamError: the bytes are no valid reference for this model; nothing changed, and `wants_reference` is
            true.
        """
        try:
            held = self._bank.insert(ReferencePacket.unpack(data))
        except BitstreamError:
            self._malformed += 1
            self._wants_reference = True
            raise
        self._references += 1
        self._wants_reference = False
        return ReferenceAcknowledgement(slot=held.slot, generation=held.generation)

    def receive_motion(self, data: bytes, now: float) -> MotionOutcome:
        """Take a motion packet that arrived at `now`.

        Raises:
            BitstreamError: the bytes are no valid packet; nothing changed.
        """
        try:
            outcome = self._take_motion(data, now)
        except BitstreamError:
            self._malformed += 1
            raise
        self._outcomes[outcome] += 1
        return outcome

    def render(self, now: float) -> RenderedFrame | None:
        """The frame to show at `now`, or None while the shown one stands. At most one rebuild a call."""
        due = self._playout.pull(now)
        if due is None:
            return None
        driving = due.after.driving
        if due.before is not None:
            driving = interpolate(due.before.driving, driving, due.position)
        reference = due.after.reference
        picture = self._model.rebuild(reference.features, reference.parameters, driving)
        self._rendered += 1
        self._interpolated += due.interpolated
        return RenderedFrame(
            picture=picture,
            capture_time_ms=due.capture_ms,
            interpolated=due.interpolated,
            slot=reference.slot,
            generation=reference.generation,
            buffered_ms=due.buffered_ms,
            delay_ms=self._playout.delay_ms,
        )

    def next_render_time(self) -> float | None:
        """When `render` will have a frame (seconds on the clock of `now`), or None while no frame waits."""
        return self._playout.next_due()

    def _take_motion(self, data: bytes, now: float) -> MotionOutcome:
        packet = MotionPacket.unpack(data)
        reference = self._bank.find(packet.slot, packet.generation)
        if reference is None:
            if self._bank.standing(packet.slot, packet.generation) is Standing.REPLACED:
                return MotionOutcome.REPLACED_REFERENCE
            self._wants_reference = True
            return MotionOutcome.UNKNOWN_REFERENCE
        driving = self._codec.decode(packet.body, reference.parameters, packet.quality)
        motion = _Motion(driving=driving, reference=reference)
        return _OUTCOMES[self._playout.push(packet.sequence, packet.time_ms, motion, now)]
