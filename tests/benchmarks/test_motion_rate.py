"""Bytes of motion on a schedule: they are those of the messages, and its parts add up."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from adasr_core.bitstream import CodedFrame, FrameToCode, MotionCodec, MotionTables
from adasr_core.geometry import MotionParameters
from benchmarks.motion_rate import SCHEDULES, Schedule, code_motion
from tests.adasr_core.motion_material import assert_same, made_reference, walk

Build = Callable[[int], MotionTables]
K = 10
FRAMES = 42
TIMES = [1000 + 40 * number for number in range(FRAMES)]


@pytest.fixture(scope="module")
def codec(synthetic_tables: Build) -> MotionCodec:
    return MotionCodec(synthetic_tables(K), K)


@pytest.fixture(scope="module")
def reference(codec: MotionCodec) -> MotionParameters:
    return codec.decode_reference(codec.encode_reference(made_reference(K)))


@pytest.fixture(scope="module")
def frames(reference: MotionParameters) -> list[MotionParameters]:
    return walk(reference, FRAMES, 0.004)


def test_a_file_s_schedule_is_what_a_file_does(
    codec: MotionCodec, reference: MotionParameters, frames: list[MotionParameters]
) -> None:
    """Every message against the one before, four frames each, two bytes of record."""
    total = 0
    base: CodedFrame | None = None
    decoded = []
    for start in range(0, FRAMES, 4):
        group = [FrameToCode(TIMES[n], frames[n]) for n in range(start, min(start + 4, FRAMES))]
        message, coded = codec.encode_message(
            group, reference, slot=0, generation=0, sequence=start + len(group) - 1, quality=4, base=base
        )
        total += len(message.pack()) + 2
        base = coded[-1]
        decoded += [frame.parameters for frame in coded]
    result = code_motion(frames, TIMES, reference, codec, 4, SCHEDULES[0])
    assert result.rate.bytes_per_frame == pytest.approx(total / FRAMES)
    for one, other in zip(result.frames, decoded, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: schedule.name)
def test_parts_add_up_to_the_whole(
    codec: MotionCodec, reference: MotionParameters, frames: list[MotionParameters], schedule: Schedule
) -> None:
    rate = code_motion(frames, TIMES, reference, codec, 4, schedule).rate
    parts = rate.header_bytes + rate.keypoint_bytes + rate.jacobian_bytes
    assert parts == pytest.approx(rate.bytes_per_frame)
    assert min(rate.keypoint_bytes, rate.jacobian_bytes) > 0
    # Place, sequence, time; the body's head and rounding are a few bits to three bytes a message.
    own = (4 + schedule.extra_bytes) / schedule.frames_per_message
    assert own < rate.header_bytes < own + 4 / schedule.frames_per_message + 0.5


def test_what_does_not_move_costs_nothing(codec: MotionCodec, reference: MotionParameters) -> None:
    """Bits fall to what a coefficient is made of: where keypoints stand still, most are the Jacobians'."""
    rng = np.random.default_rng(0)
    turning = [
        MotionParameters.create(reference.keypoints, reference.jacobians + rng.normal(0, 0.05, (K, 2, 2)))
        for _ in range(8)
    ]
    rate = code_motion(turning, TIMES[:8], reference, codec, 4, SCHEDULES[0]).rate
    assert rate.jacobian_bytes > rate.keypoint_bytes


def test_schedules_in_order(codec: MotionCodec, reference: MotionParameters, frames: list[MotionParameters]) -> None:
    """More frames together cost less each; a base that comes late costs more."""
    sizes = {
        schedule.name: code_motion(frames, TIMES, reference, codec, 4, schedule).rate.bytes_per_frame
        for schedule in SCHEDULES
    }
    calls = [sizes[schedule.name] for schedule in SCHEDULES[1:]]
    assert calls == sorted(calls)

    def late(milliseconds: int) -> float:
        schedule = Schedule(name="late", frames_per_message=1, acknowledged_after_ms=milliseconds)
        return code_motion(frames, TIMES, reference, codec, 4, schedule).rate.bytes_per_frame

    assert late(0) < late(400) < late(100_000)


def test_one_frame_a_message_at_once_is_the_frame_before(
    codec: MotionCodec, reference: MotionParameters, frames: list[MotionParameters]
) -> None:
    """Acknowledged after 120 ms: the base is the third frame before, not a newer one."""
    schedule = Schedule(name="x", frames_per_message=1, acknowledged_after_ms=120)
    result = code_motion(frames[:8], TIMES[:8], reference, codec, 4, schedule)
    sent: list[CodedFrame] = []
    total = 0
    for number, frame in enumerate(frames[:8]):
        message, (coded,) = codec.encode_message(
            [FrameToCode(TIMES[number], frame)],
            reference,
            slot=0,
            generation=0,
            sequence=number,
            quality=4,
            base=sent[number - 3] if number >= 3 else None,
        )
        sent.append(coded)
        total += len(message.pack())
    assert result.rate.bytes_per_frame == pytest.approx(total / 8)


@pytest.mark.parametrize(
    "change", [{"frames_per_message": 0}, {"frames_per_message": 9}, {"acknowledged_after_ms": -1}]
)
def test_schedules_out_of_range(change: dict[str, int]) -> None:
    fields = {"frames_per_message": 1, "acknowledged_after_ms": 0}
    with pytest.raises(ValueError, match=next(iter(change))):
        Schedule(name="x", **(fields | change))


def test_a_pause_of_the_clip_cuts_a_message(
    codec: MotionCodec, reference: MotionParameters, frames: list[MotionParameters]
) -> None:
    times = [time + (3000 if number >= 6 else 0) for number, time in enumerate(TIMES)]
    result = code_motion(frames, times, reference, codec, 4, SCHEDULES[0])
    assert len(result.frames) == FRAMES
    whole = code_motion(frames, TIMES, reference, codec, 4, SCHEDULES[0])
    assert result.rate.header_bytes > whole.rate.header_bytes
