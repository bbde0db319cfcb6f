"""Messages of a motion stream, decoded by an end that holds what it was given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from adasr_core.bitstream import (
    CodedFrame,
    MissingBaseError,
    MotionCodec,
    MotionFeedback,
    MotionMessage,
    MotionTables,
)
from sender.motion_stream import MotionReference, MotionStream
from sender.rate_plan import RatePlan
from tests.sender.poses import KEYPOINTS, pose

INTERVAL_MS = 40
REFERENCE = MotionReference(slot=2, generation=5, parameters=pose())


@pytest.fixture
def codec(synthetic_tables: Callable[[int], MotionTables]) -> MotionCodec:
    return MotionCodec(synthetic_tables(KEYPOINTS), KEYPOINTS)


@dataclass
class OtherEnd:
    """Keeps originals, as a receiver does, and counts what it cannot read."""

    codec: MotionCodec
    held: dict[int, CodedFrame] = field(default_factory=dict)
    shown: dict[int, CodedFrame] = field(default_factory=dict)
    newest: CodedFrame | None = None
    missing: int = 0

    def take(self, message: MotionMessage) -> None:
        try:
            frames = self.codec.decode_message(message, REFERENCE.parameters, self.held.get)
        except MissingBaseError:
            self.missing += 1
            return
        for frame in frames:
            self.shown.setdefault(frame.sequence, frame)
            if frame.quality <= frames[-1].quality:
                self.held[frame.sequence] = frame
        self.newest = frames[-1]

    def feedback(self) -> MotionFeedback:
        assert self.newest is not None
        return MotionFeedback(
            sequence=self.newest.sequence,
            received=0,
            time_ms=self.newest.time_ms,
            transit_ms=0,
            held_ms=0,
            lost=0,
        )


def swaying(number: int) -> float:
    return 0.1 * float(np.sin(number / 9))


def push(stream: MotionStream, number: int, reference: MotionReference = REFERENCE) -> tuple[MotionMessage, ...]:
    return stream.push(reference, pose(x=swaying(number)), INTERVAL_MS * number)


def check(frame: CodedFrame, number: int) -> None:
    error = frame.parameters.keypoints - pose(x=swaying(number)).keypoints
    assert np.abs(error).max() < 0.15, "the frame that was pushed, up to the quantiser"
    assert frame.time_ms == (INTERVAL_MS * number) & 0xFFFF


@pytest.mark.parametrize("frames_per_message", [1, 2, 3, 4])
def test_frames_are_gathered_and_all_arrive(codec: MotionCodec, frames_per_message: int) -> None:
    stream = MotionStream(codec, RatePlan(frames_per_message=frames_per_message))
    end = OtherEnd(codec)
    for number in range(24):
        messages = push(stream, number)
        assert len(messages) == int(number % frames_per_message == frames_per_message - 1)
        for message in messages:
            assert message.sequence == number
            end.take(message)
    assert sorted(end.shown) == list(range(24))
    for number, frame in end.shown.items():
        check(frame, number)
    assert (stream.frames, stream.messages) == (24, 24 // frames_per_message)


def test_flushing_sends_what_is_there(codec: MotionCodec) -> None:
    stream = MotionStream(codec, RatePlan(frames_per_message=4))
    assert stream.flush() == ()
    push(stream, 0)
    push(stream, 1)
    (message,) = stream.flush()
    end = OtherEnd(codec)
    end.take(message)
    assert sorted(end.shown) == [0, 1]
    assert stream.flush() == ()


def test_another_reference_flushes_what_was_gathered_for_the_old_one(codec: MotionCodec) -> None:
    stream = MotionStream(codec, RatePlan(frames_per_message=3))
    push(stream, 0)
    push(stream, 1)
    other = MotionReference(slot=2, generation=6, parameters=pose(x=0.05))
    (old,) = push(stream, 2, other)
    assert (old.generation, old.sequence) == (5, 1)
    push(stream, 3, other)
    (new,) = push(stream, 4, other)
    assert (new.generation, new.sequence) == (6, 4)

    at_once = MotionStream(codec, RatePlan(frames_per_message=3))
    push(at_once, 0)
    at_once.set_plan(RatePlan(frames_per_message=1))
    both = push(at_once, 1, other)
    assert [(message.generation, message.sequence) for message in both] == [(5, 0), (6, 1)]


def test_a_frame_is_only_coded_against_one_that_feedback_named(codec: MotionCodec) -> None:
    stream = MotionStream(codec, RatePlan())
    end = OtherEnd(codec)
    alone = [len(message.body) for number in range(6) for message in push(stream, number)]
    stream.take_feedback(MotionFeedback(sequence=5, received=0, time_ms=200, transit_ms=0, held_ms=0, lost=0))
    (against,) = push(stream, 6)
    assert len(against.body) < 0.8 * alone[-1]
    end.take(against)
    assert end.missing == 1, "it does need frame 5"
    stream.forget_bases()
    (again,) = push(stream, 7)
    end.take(again)
    assert end.missing == 1


@pytest.mark.parametrize(
    ("sequence", "time_ms"), [(5, 201), (9, 200), (200, 200)], ids=["another time", "the future", "long ago"]
)
def test_feedback_that_cannot_be_true_has_no_effect(codec: MotionCodec, sequence: int, time_ms: int) -> None:
    stream, untouched = MotionStream(codec, RatePlan()), MotionStream(codec, RatePlan())
    for number in range(6):
        push(stream, number)
        push(untouched, number)
    stream.take_feedback(
        MotionFeedback(sequence=sequence, received=0, time_ms=time_ms, transit_ms=0, held_ms=0, lost=0)
    )
    assert push(stream, 6) == push(untouched, 6)


def test_old_feedback_does_not_take_the_base_back(codec: MotionCodec) -> None:
    stream, other = MotionStream(codec, RatePlan()), MotionStream(codec, RatePlan())
    for number in range(6):
        push(stream, number)
        push(other, number)
    for one, sequences in ((stream, (5, 2)), (other, (5,))):
        for sequence in sequences:
            one.take_feedback(
                MotionFeedback(sequence=sequence, received=0, time_ms=40 * sequence, transit_ms=0, held_ms=0, lost=0)
            )
    assert push(stream, 6) == push(other, 6)


def test_a_base_that_receivers_have_forgotten_is_not_used(codec: MotionCodec) -> None:
    for pause_ms, usable in ((2900, True), (3100, False), (65_536 + 40, False)):
        stream = MotionStream(codec, RatePlan())
        end = OtherEnd(codec)
        for message in push(stream, 0):
            end.take(message)
        stream.take_feedback(end.feedback())
        (message,) = stream.push(REFERENCE, pose(), pause_ms)
        without = OtherEnd(codec)
        without.take(message)
        assert without.missing == int(usable)


@pytest.mark.parametrize("frames_per_message", [1, 2, 3])
@pytest.mark.parametrize("redundant", [False, True])
def test_whatever_is_lost_what_arrives_is_right(codec: MotionCodec, frames_per_message: int, redundant: bool) -> None:
    """Loss, delayed and reordered feedback, 400 frames: sequence numbers wrap."""
    generator = np.random.default_rng(frames_per_message)
    stream = MotionStream(codec, RatePlan(frames_per_message=frames_per_message, redundant=redundant))
    end = OtherEnd(codec)
    on_the_way: list[tuple[int, MotionFeedback]] = []
    arrived = 0
    for number in range(400):
        for message in push(stream, number):
            if generator.random() < 0.3:
                continue
            end.shown.clear()
            end.take(message)
            arrived += 1
            for sequence, frame in end.shown.items():
                check(frame, number - ((number - sequence) & 0xFF))
            on_the_way.append((number + int(generator.integers(1, 12)), end.feedback()))
        for due in [item for item in on_the_way if item[0] <= number]:
            on_the_way.remove(due)
            stream.take_feedback(due[1])
    assert arrived > 0.5 * 400 / frames_per_message
    assert end.missing == 0, "the base was always there"


@pytest.mark.parametrize(("frames_per_message", "mended"), [(1, 1), (2, 2), (4, 4), (6, 2), (8, 0)])
def test_repeats_mend_a_lost_message_as_far_as_there_is_room(
    codec: MotionCodec, frames_per_message: int, mended: int
) -> None:
    stream = MotionStream(codec, RatePlan(frames_per_message=frames_per_message, redundant=True))
    end = OtherEnd(codec)
    messages = [message for number in range(3 * frames_per_message) for message in push(stream, number)]
    end.take(messages[0])
    end.take(messages[2])
    lost = set(range(frames_per_message, 2 * frames_per_message))
    there = lost & set(end.shown)
    assert there == set(sorted(lost)[frames_per_message - mended :])
    for number in there:
        check(end.shown[number], number)
        assert number not in end.held, "a repeat is no base"


def test_what_is_known_to_be_there_is_not_repeated(codec: MotionCodec) -> None:
    stream, plain = MotionStream(codec, RatePlan(redundant=True)), MotionStream(codec, RatePlan())
    end = OtherEnd(codec)
    for number in range(4):
        for message in push(plain, number):
            end.take(message)
        push(stream, number)
        if number == 3:
            plain.take_feedback(end.feedback())
            stream.take_feedback(end.feedback())
    assert len(push(stream, 4)[0].body) == len(push(plain, 4)[0].body)


def test_frames_far_apart_or_of_one_moment_do_not_share_a_message(codec: MotionCodec) -> None:
    for redundant in (False, True):
        stream = MotionStream(codec, RatePlan(frames_per_message=2, redundant=redundant))
        assert stream.push(REFERENCE, pose(), 1000) == ()
        assert len(stream.push(REFERENCE, pose(), 1000)) == 1, "the same moment"
        assert len(stream.push(REFERENCE, pose(), 2024)) == 1, "more than a second later"
        assert len(stream.push(REFERENCE, pose(), 3000)) == 1
        assert len(stream.flush()) == 0


def test_in_a_file_every_message_is_coded_against_the_one_before(codec: MotionCodec) -> None:
    stream = MotionStream(codec, RatePlan(frames_per_message=3, redundant=True), assume_decoded=True)
    alone = MotionStream(codec, RatePlan(frames_per_message=3))
    end = OtherEnd(codec)
    sizes = []
    sizes_alone = []
    for number in range(300):
        sizes_alone += [len(message.body) for message in push(alone, number)]
        for message in push(stream, number):
            end.take(message)
            sizes.append(len(message.body))
    assert end.missing == 0
    assert len(sizes) == 100
    assert np.mean(sizes) < 0.8 * np.mean(sizes_alone)
    fresh = OtherEnd(codec)
    for number in range(300, 303):
        for message in push(stream, number):
            fresh.take(message)
    assert fresh.missing == 1
