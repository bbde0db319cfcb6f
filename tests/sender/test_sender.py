"""The sender with the shipped model on a real face."""

from __future__ import annotations

import numpy as np
import pytest

from adasr_core.bitstream import MotionFeedback, MotionMessage, ReferencePacket
from adasr_core.bitstream.packets import PICTURE_AV1_CHAIN, PICTURE_AVIF
from sender import (
    BankConfig,
    PictureCoding,
    PictureConfig,
    RatePlan,
    ReferencePolicyConfig,
    ReferenceReason,
    SenderConfig,
)
from tests.real_model import camera_frame, empty_room, talking
from tests.sender.face_sender import RATE, make, only, push, push_and_close


def test_the_first_frame_gives_a_reference_and_motion_waits_for_its_acknowledgement() -> None:
    sender = make()
    first = push(sender, 0)
    assert first.face_found
    assert first.reason is ReferenceReason.FIRST
    assert first.reference is not None
    assert (first.messages, first.coded) == ((), False)
    assert push(sender, 1).messages == ()
    assert not sender.acknowledge_reference(first.reference.slot, first.reference.generation + 1)
    assert sender.acknowledge_reference(first.reference.slot, first.reference.generation)
    motion = only(push(sender, 2).messages)
    assert (motion.slot, motion.generation) == (first.reference.slot, first.reference.generation)
    assert (motion.sequence, motion.time_ms) == (0, 80)


def test_packets_are_small_and_read_back() -> None:
    sender = make(assume_acknowledged=True)
    sizes = []
    for frame in range(20):
        output = push(sender, frame)
        assert output.coded
        data = only(output.messages).pack()
        assert MotionMessage.unpack(data) == only(output.messages)
        sizes.append(len(data))
        if output.reference is not None:
            assert ReferencePacket.unpack(output.reference.pack()) == output.reference
    assert np.mean(sizes) < 60
    assert sender.statistics.motion_bytes == sum(sizes)
    assert sender.statistics.motion_frames == sender.statistics.motion_messages == 20


def test_sequence_and_time_wrap() -> None:
    sender = make(assume_acknowledged=True, closed_loop_interval_frames=None)
    image = talking(0)
    motions = [only(sender.push_frame(image, 60.0 + frame / RATE).messages) for frame in range(300)]
    assert [motion.sequence for motion in motions] == [n & 0xFF for n in range(300)]
    assert [motion.time_ms for motion in motions] == [(60_000 + 40 * n) & 0xFFFF for n in range(300)]


def test_a_still_face_costs_one_reference_only() -> None:
    sender = make(assume_acknowledged=True, closed_loop_interval_frames=3)
    image = talking(0)
    outputs = [push_and_close(sender, image, frame) for frame in range(60)]
    assert sum(output.reference is not None for output, _ in outputs) == 1
    statistics = sender.statistics
    assert statistics.quality_db is not None
    assert statistics.fresh_quality_db is not None
    assert statistics.quality_db > statistics.fresh_quality_db
    assert any(quality_db is not None for _, quality_db in outputs)


def test_a_changed_picture_is_mended_when_the_rate_allows() -> None:
    sender = make(assume_acknowledged=True, closed_loop_interval_frames=3)
    for frame in range(30):
        push_and_close(sender, talking(0), frame)
    darker = (talking(0) * 0.6).astype(np.uint8)
    reasons = [push_and_close(sender, darker, frame)[0].reason for frame in range(30, 60)]
    assert ReferenceReason.QUALITY in reasons
    after = [push_and_close(sender, darker, frame)[1] for frame in range(60, 80)]
    measured = [quality_db for quality_db in after if quality_db is not None]
    fresh = sender.statistics.fresh_quality_db
    assert fresh is not None
    assert measured
    assert measured[-1] > fresh - 2.5, "the new reference is the one in use"


def test_a_single_key_frame_stays_the_only_one() -> None:
    policy = ReferencePolicyConfig(single_key_frame=True)
    sender = make(assume_acknowledged=True, closed_loop_interval_frames=3, policy=policy, bank=BankConfig(size=1))
    images = [talking(0)] * 10 + [(talking(0) * 0.6).astype(np.uint8)] * 20
    outputs = [push_and_close(sender, image, frame)[0] for frame, image in enumerate(images)]
    assert sum(output.reference is not None for output in outputs) == 1


def test_a_requested_reference_comes_with_the_next_frame_and_motion_never_pauses() -> None:
    sender = make(closed_loop_interval_frames=None)
    first = push(sender, 0).reference
    assert first is not None
    sender.acknowledge_reference(first.slot, first.generation)
    for frame in range(1, 15):
        push(sender, frame)
    sender.request_reference()
    sender.request_reference()
    answer = push(sender, 15)
    assert answer.reason is ReferenceReason.REQUESTED
    assert answer.reference is not None
    assert answer.coded
    sender.request_reference()
    for frame in range(16, 30):
        output = push(sender, frame)
        assert output.reference is None
        assert only(output.messages).slot == first.slot
    sender.acknowledge_reference(answer.reference.slot, answer.reference.generation)
    motion = only(push(sender, 30).messages)
    assert motion.slot == answer.reference.slot
    assert sender.statistics.references_in_use == 1


def test_a_reference_that_is_never_acknowledged_is_sent_again() -> None:
    sender = make(closed_loop_interval_frames=None)
    image = talking(0)
    sent = [frame for frame in range(200) if sender.push_frame(image, frame / RATE).reference is not None]
    assert sent[0] == 0
    assert 2 <= len(sent) <= 4
    assert sent[1] / RATE == pytest.approx(3.0, abs=0.1)


@pytest.mark.parametrize("size", [1, 8])
def test_an_empty_chair_is_shown_as_an_empty_chair(size: int) -> None:
    bank = BankConfig(size=size)
    sender = make(full=False, assume_acknowledged=True, closed_loop_interval_frames=None, bank=bank)
    with_face, without = camera_frame(640, 320, 260), empty_room()
    for frame in range(10):
        assert sender.push_frame(with_face, frame / RATE).face_found
    outputs = [sender.push_frame(without, frame / RATE) for frame in range(10, 60)]
    assert not any(output.face_found for output in outputs)
    scenes = [output for output in outputs if output.reason is ReferenceReason.SCENE]
    assert len(scenes) == 1, "a place that stays the same is sent once"
    scene = scenes[0].reference
    assert scene is not None
    last = only(outputs[-1].messages)
    assert (last.slot, last.generation) == (scene.slot, scene.generation)
    back = [sender.push_frame(with_face, frame / RATE) for frame in range(60, 75)]
    assert back[-1].face_found
    final = only(back[-1].messages)
    assert (final.slot, final.generation) != (scene.slot, scene.generation)


def test_a_room_without_anyone_sends_nothing() -> None:
    sender = make(full=False)
    for frame in range(10):
        output = sender.push_frame(empty_room(), frame / RATE)
        assert (output.reference, output.messages, output.face_found) == (None, (), False)


@pytest.mark.parametrize("time", [0.5, float("nan"), float("inf")])
def test_a_time_that_runs_backward_is_refused(time: float) -> None:
    sender = make()
    sender.push_frame(talking(0), 1.0)
    with pytest.raises(ValueError, match="capture_time"):
        sender.push_frame(talking(1), time)


@pytest.mark.parametrize("bad", [{"closed_loop_interval_frames": 0}, {"closed_loop_interval_frames": -1}])
def test_a_wrong_setting_is_refused(bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        SenderConfig(**bad)  # type: ignore[arg-type]


def test_frames_share_messages_as_the_plan_says() -> None:
    sender = make(assume_acknowledged=True, closed_loop_interval_frames=None, plan=RatePlan(frames_per_message=3))
    outputs = [push(sender, frame) for frame in range(7)]
    assert [len(output.messages) for output in outputs] == [0, 0, 1, 0, 0, 1, 0]
    assert all(output.coded for output in outputs)
    sender.set_plan(RatePlan(frames_per_message=1))
    assert only(push(sender, 7).messages).sequence == 7
    sender.set_plan(RatePlan(frames_per_message=4))
    push(sender, 8)
    assert only(sender.flush_motion()).sequence == 8
    assert sender.flush_motion() == ()


def test_feedback_makes_messages_smaller() -> None:
    sizes = {}
    for told in (False, True):
        sender = make(closed_loop_interval_frames=None)
        first = push(sender, 0).reference
        assert first is not None
        sender.acknowledge_reference(first.slot, first.generation)
        total = 0
        for frame in range(1, 40):
            for message in push(sender, frame).messages:
                total += len(message.pack())
                if told:
                    sender.take_feedback(
                        MotionFeedback(
                            sequence=message.sequence,
                            received=0,
                            time_ms=message.time_ms,
                            transit_ms=0,
                            held_ms=0,
                            lost=0,
                        )
                    )
        sizes[told] = total
    assert sizes[True] < 0.8 * sizes[False]


def test_references_are_one_chain_until_the_receiver_may_miss_one() -> None:
    one_quality = PictureConfig(crf_steps=((0.0, 50),), crf_range=(50, 50))
    plan = RatePlan(reference_bps=50_000)
    sender = make(closed_loop_interval_frames=None, plan=plan, pictures=one_quality)
    positions = []
    for frame in range(150):
        if frame == 50:
            sender.request_reference()
        reference = push(sender, frame).reference
        if reference is None:
            continue
        assert reference.picture_codec == PICTURE_AV1_CHAIN
        chain, index = reference.picture[0], reference.picture[1]
        positions.append((frame, chain, index))
        if index == 0:
            assert reference.base is None, "a restart leans on nothing"
        else:
            assert reference.base is not None
            assert len(reference.parameters) < 60
        if frame < 60:
            sender.acknowledge_reference(reference.slot, reference.generation)
    before = [(chain, index) for frame, chain, index in positions if frame < 50]
    assert before == [(0, number) for number in range(len(before))]
    assert len(before) >= 3
    answer = next(position for position in positions if position[0] >= 50)
    assert answer[0] <= 54
    assert answer[1:] == (1, 0), "a request begins a new chain"
    lost = [position for position in positions if position[0] >= 60]
    assert len(lost) >= 2
    assert lost[0][1] == 1
    assert lost[1][1:] == (2, 0), "never acknowledged: given up, and a new chain"


def test_stills_and_both_kinds_can_be_asked_for() -> None:
    for coding, kinds in (
        (PictureCoding.STILLS, (PICTURE_AVIF, PICTURE_AVIF)),
        (PictureCoding.BOTH, (PICTURE_AVIF, PICTURE_AV1_CHAIN)),
    ):
        sender = make(
            assume_acknowledged=True,
            closed_loop_interval_frames=None,
            pictures=PictureConfig(coding=coding),
            plan=RatePlan(reference_bps=100_000),
        )
        sent = [reference for frame in range(40) if (reference := push(sender, frame).reference) is not None]
        assert (sent[0].picture_codec, sent[1].picture_codec) == kinds


def test_within_a_call_no_picture_goes_twice() -> None:
    """A still picture, then another pose and back: what the receiver holds is not sent again."""
    sender = make(assume_acknowledged=True, plan=RatePlan(reference_bps=100_000.0), closed_loop_interval_frames=None)
    there, away = talking(0), talking(12)
    outputs = [
        sender.push_frame(away if 20 <= frame < 40 or frame >= 60 else there, frame / RATE) for frame in range(80)
    ]
    sent = [output.reference for output in outputs if output.reference is not None]
    assert len(sent) == 2, "one of each pose, although the rate affords more"
    assert len({packet.picture for packet in sent}) == 2
    slots = [only(output.messages).slot for output in outputs]
    assert slots[19] == slots[59] != slots[39] == slots[79]
