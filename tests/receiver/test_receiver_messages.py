"""Motion messages at a receiver with the real model: several frames in one, repeats, bases, broken chains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from adasr_core.bitstream import (
    BitstreamError,
    CodedFrame,
    FrameToCode,
    MotionMessage,
    ReferencePacket,
    encode_picture,
)
from adasr_core.geometry import MotionParameters
from receiver import MotionOutcome, Origin, Receiver, RenderedFrame
from tests.real_model import edge_codec, edge_model, head_shot

INTERVAL_MS = 40


@dataclass
class Source:
    """Codes a face that turns, frame by frame, and remembers what was coded."""

    reference: MotionParameters = field(default_factory=lambda: detected(0.0))
    coded: dict[int, CodedFrame] = field(default_factory=dict)

    def reference_packet(self, generation: int = 0) -> bytes:
        data = edge_codec().encode_reference(self.reference)
        self.reference = edge_codec().decode_reference(data)
        picture = encode_picture(head_shot(), 30)
        return ReferencePacket(
            slot=2, generation=generation, time_ms=0, frame_px=512, parameters=data, picture=picture
        ).pack()

    def message(
        self, numbers: Sequence[int], *, base: int | None = None, repeats: int = 0, generation: int = 0
    ) -> MotionMessage:
        frames = [FrameToCode(time_ms=n * INTERVAL_MS & 0xFFFF, parameters=self.pose(n)) for n in numbers]
        message, coded = edge_codec().encode_message(
            frames,
            self.reference,
            slot=2,
            generation=generation,
            sequence=numbers[-1] & 0xFF,
            quality=4,
            base=None if base is None else self.coded[base],
            repeats=repeats,
        )
        self.coded.update(zip(numbers[repeats:], coded[repeats:], strict=True))
        return message

    def pose(self, number: int) -> MotionParameters:
        shift = np.float32(0.03 * np.sin(number / 5))
        return MotionParameters(self.reference.keypoints + shift, self.reference.jacobians)


def detected(turn_degrees: float) -> MotionParameters:
    model = edge_model()
    picture = head_shot(turn_degrees)
    return model.detect(np.ascontiguousarray(picture[::2, ::2])).parameters.clamped()


def arrival_s(number: int) -> float:
    return 10 + number * INTERVAL_MS / 1000 + 0.03


def show(receiver: Receiver, until: float) -> list[RenderedFrame]:
    """Everything that is due until then, at its own time."""
    shown = []
    while (due := receiver.next_render_time()) is not None and due <= until:
        frame = receiver.render(due)
        assert frame is not None, "next_render_time promised one"
        shown.append(frame)
    return shown


def test_messages_of_three_frames_are_shown_evenly_and_repeats_fill_the_gap_of_a_lost_one() -> None:
    source, receiver = Source(), Receiver(edge_model(), edge_codec())
    receiver.receive_reference(source.reference_packet(), 9.0)
    shown: list[RenderedFrame] = []
    for first in range(0, 33, 3):
        numbers = [first, first + 1, first + 2]
        repeats = [first - 1] if first else []
        message = source.message([*repeats, *numbers], repeats=len(repeats))
        shown += show(receiver, arrival_s(first + 2) - 1e-6)
        if first in (12, 24):
            continue
        assert receiver.receive_motion(message.pack(), arrival_s(first + 2)) is MotionOutcome.ACCEPTED
        again = receiver.receive_motion(message.pack(), arrival_s(first + 2))
        assert again is MotionOutcome.DUPLICATE
    feedback = receiver.feedback(arrival_s(32) + 0.01)
    shown += show(receiver, arrival_s(50))
    sent = [frame.capture_time_ms // INTERVAL_MS for frame in shown if frame.origin is Origin.SENT]
    # For the first loss nothing waited; from then on there is time for the repeat of 26.
    assert sent == [number for number in range(33) if number not in (12, 13, 14, 24, 25)]
    times = [frame.capture_time_ms for frame in shown]
    assert times == sorted(set(times))
    statistics = receiver.statistics
    assert (statistics.frames, statistics.repeats_used, statistics.duplicates) == (27, 1, 9)
    assert (statistics.malformed, statistics.missing_base) == (0, 0)
    assert statistics.delay_ms == pytest.approx(2 * INTERVAL_MS + 50, abs=1), "a message's span, and some for the loss"
    assert statistics.extrapolated + statistics.interpolated == len(shown) - len(sent)
    assert feedback is not None
    assert feedback.sequence == 32
    missing = {31 - bit for bit in range(32) if not feedback.received >> bit & 1}
    assert missing == {12, 13, 14, 24, 25, 26}, "a repeat is not what was sent first"
    assert feedback.held_ms == 10
    assert statistics.lost == 3, "the later ones may still come"


def test_frames_that_build_on_others_need_them_and_only_them() -> None:
    source, receiver = Source(), Receiver(edge_model(), edge_codec())
    receiver.receive_reference(source.reference_packet(), 9.0)
    first, second = source.message([0]), source.message([1])
    on_first, on_second = source.message([2, 3], base=0), source.message([4], base=1)
    assert receiver.receive_motion(first.pack(), arrival_s(0)) is MotionOutcome.ACCEPTED
    assert receiver.receive_motion(on_first.pack(), arrival_s(3)) is MotionOutcome.ACCEPTED
    told = receiver.feedback(arrival_s(3))
    assert told is not None
    assert receiver.feedback(arrival_s(3) + 0.01) is None
    assert receiver.receive_motion(on_second.pack(), arrival_s(4)) is MotionOutcome.MISSING_BASE
    again = receiver.feedback(arrival_s(4))
    assert again is not None
    assert (again.sequence, again.received) == (told.sequence, told.received), "the sender hears at once what is here"
    assert receiver.receive_motion(second.pack(), arrival_s(4)) is MotionOutcome.ACCEPTED, "late, but it came"
    assert receiver.receive_motion(on_second.pack(), arrival_s(4)) is MotionOutcome.ACCEPTED
    assert receiver.statistics.missing_base == 1
    assert not receiver.wants_reference
    decoded = {frame.capture_time_ms for frame in show(receiver, arrival_s(20)) if frame.origin is Origin.SENT}
    assert 4 * INTERVAL_MS in decoded


def test_a_receiver_that_can_use_nothing_for_a_second_asks_for_a_reference() -> None:
    source, receiver = Source(), Receiver(edge_model(), edge_codec())
    receiver.receive_reference(source.reference_packet(), 9.0)
    source.message([0])
    for number in range(1, 30):
        message = source.message([number], base=0)
        assert receiver.receive_motion(message.pack(), arrival_s(number)) is MotionOutcome.MISSING_BASE
        assert receiver.wants_reference == (number > 26)
    assert receiver.feedback(arrival_s(30)) is None, "nothing is here that could be told of"
    receiver.receive_reference(source.reference_packet(generation=1), arrival_s(30))
    assert not receiver.wants_reference
    fresh = source.message([31], generation=1)
    assert receiver.receive_motion(fresh.pack(), arrival_s(31)) is MotionOutcome.ACCEPTED


def test_a_base_from_before_the_sender_began_anew_is_not_used() -> None:
    source, receiver = Source(), Receiver(edge_model(), edge_codec())
    receiver.receive_reference(source.reference_packet(), 9.0)
    for number in range(10):
        receiver.receive_motion(source.message([number]).pack(), arrival_s(number))
    # A sender with another clock and its count at 300: the fifth such message is believed.
    outcomes = []
    for number in range(300, 306):
        now = arrival_s(10 + number - 300)
        outcomes.append(receiver.receive_motion(source.message([number]).pack(), now))
    assert outcomes[:4] == [MotionOutcome.IMPLAUSIBLE_TIME] * 4
    assert outcomes[4:] == [MotionOutcome.ACCEPTED] * 2
    on_old = source.message([9 + 256 + 42], base=305)
    source.coded[300 + 256] = source.coded[9]
    stale = source.message([307], base=303)
    assert receiver.receive_motion(stale.pack(), arrival_s(17)) is MotionOutcome.MISSING_BASE
    assert receiver.receive_motion(on_old.pack(), arrival_s(17)) is MotionOutcome.ACCEPTED


def test_a_reference_whose_base_never_came_is_refused_and_asked_for_again() -> None:
    source, receiver = Source(), Receiver(edge_model(), edge_codec())
    data = source.reference_packet()
    first = ReferencePacket.unpack(data)
    second = ReferencePacket(
        slot=3,
        generation=0,
        time_ms=40,
        frame_px=512,
        parameters=edge_codec().encode_reference(source.pose(3), source.reference),
        picture=first.picture,
        base=(2, 0),
    )
    with pytest.raises(BitstreamError, match="base"):
        receiver.receive_reference(second.pack(), 9.0)
    assert receiver.wants_reference
    assert receiver.statistics.references_held == 0
    receiver.receive_reference(data, 9.1)
    answer = receiver.receive_reference(second.pack(), 9.2)
    assert answer is not None
    assert (answer.slot, answer.generation) == (3, 0)
    assert receiver.statistics.references_held == 2
