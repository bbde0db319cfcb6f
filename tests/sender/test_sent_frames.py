from itertools import pairwise

import pytest

from adasr_core.bitstream.feedback import MotionFeedback
from sender.redundancy import Redundancy
from sender.sent_frames import SentFrames


def _feedback(newest: int, decoded: set[int], *, transit_ms: int = 500, held_ms: int = 0) -> MotionFeedback:
    return MotionFeedback(
        sequence=newest & 0xFF,
        received=sum(1 << bit for bit in range(32) if newest - 1 - bit in decoded),
        time_ms=0,
        transit_ms=transit_ms & 0xFFFF,
        held_ms=held_ms,
        lost=0,
    )


def _send(frames: SentFrames, count: int, per_message: int = 1) -> None:
    for last in range(per_message - 1, count, per_message):
        frames.on_message(last & 0xFF, per_message, 0.04 * last, 0.04 * last + 0.01)


def test_lost_frames_are_counted_once_and_late_ones_are_not_lost() -> None:
    frames = SentFrames()
    _send(frames, 60)
    came = set(range(60)) - {10, 20, 21}
    for newest in range(59):
        if newest in came:
            late = {newest - 1} if newest % 7 == 0 else set()  # it comes after the one behind it
            frames.on_feedback(_feedback(newest, {n for n in came if n < newest} - late), 0.04 * newest + 0.1)
    loss, judged = frames.loss(2.5)
    assert judged == 53
    assert loss == pytest.approx(3 / 53)
    assert frames.losses_apart(2.5) == 3
    assert frames.longest_run(2.5) == 2


def test_a_lost_datagram_is_one_loss_however_many_frames_it_held() -> None:
    frames = SentFrames()
    _send(frames, 60, per_message=3)
    came = set(range(60)) - {12, 13, 14}
    frames.on_feedback(_feedback(29, came), 1.3)
    frames.on_feedback(_feedback(59, came), 2.5)
    assert frames.loss(2.5)[0] == pytest.approx(3 / 54)
    assert frames.losses_apart(2.5) == 1
    assert frames.longest_run(2.5) == 0


def test_a_burst_is_remembered_for_a_minute() -> None:
    frames = SentFrames()
    came = set(range(60)) - set(range(20, 28))
    _send(frames, 60)
    for newest in (15, 30, 45, 59):
        frames.on_feedback(_feedback(newest, came), 0.04 * newest + 0.1)
    assert frames.longest_run(30.0) == 8
    assert frames.longest_run(90.0) == 0


def test_the_round_trip_leaves_out_what_the_receiver_held() -> None:
    frames = SentFrames()
    frames.on_message(0, 1, 0.0, 0.01)
    travel = frames.on_feedback(_feedback(0, set(), held_ms=30), 0.14)
    assert travel is not None
    assert travel.rtt_s == pytest.approx(0.1)
    assert frames.round_trip_s() == pytest.approx(0.1)
    frames.on_message(1, 1, 0.04, 0.05)
    held = frames.on_feedback(_feedback(1, {0}, held_ms=255), 1.0)
    assert held is not None
    assert held.rtt_s is None


def test_journeys_leave_out_coding_and_unwrap() -> None:
    frames = SentFrames()
    journeys = []
    for number, transit in enumerate([65_500, 65_530, 20, 50]):
        coding_s = 0.01 * number
        frames.on_message(number, 1, 0.1 * number, 0.1 * number + coding_s)
        travel = frames.on_feedback(_feedback(number, set(range(number)), transit_ms=transit), 0.1 * number + 0.1)
        assert travel is not None
        journeys.append(travel.one_way_s)
    assert [after - before for before, after in pairwise(journeys)] == pytest.approx([0.02, 0.016, 0.02])


def test_a_silence_is_no_loss() -> None:
    frames = SentFrames()
    _send(frames, 30)
    frames.on_feedback(_feedback(9, set(range(9))), 0.5)
    frames.forget_unjudged()
    frames.on_message(30, 1, 6.0, 6.0)
    frames.on_feedback(_feedback(30, set(range(10))), 6.1)
    assert frames.loss(6.1) == (0.0, 0)


def test_numbers_wrap() -> None:
    frames = SentFrames()
    _send(frames, 600)
    frames.on_feedback(_feedback(599, set(range(560, 599)) - {580}), 24.1)
    assert frames.losses_apart(24.1) == 1


def test_feedback_about_frames_never_sent_is_ignored() -> None:
    frames = SentFrames()
    assert frames.on_feedback(_feedback(7, {1, 2}), 0.1) is None
    _send(frames, 5)
    assert frames.on_feedback(_feedback(200, set()), 0.3) is None
    assert frames.loss(0.3) == (0.0, 0)
    with pytest.raises(ValueError, match="frames"):
        frames.on_message(5, 0, 0.0, 0.0)


def test_repeats_begin_with_losses_apart_and_end_after_quiet() -> None:
    redundancy = Redundancy()
    course = []
    # One lost datagram says nothing; two do; below 1 % for ten seconds ends it.
    for loss, apart, now in ((0.04, 1, 0.0), (0.04, 2, 0.1), (0.015, 1, 5.0), (0.0, 0, 14.9), (0.0, 0, 15.1)):
        redundancy.update(loss, apart, now)
        course.append(redundancy.on)
    assert course == [False, True, True, True, False]
