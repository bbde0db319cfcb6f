from __future__ import annotations

import numpy as np
import pytest

from adasr_core.bitstream import CodedFrame
from adasr_core.geometry import MotionParameters
from receiver.frame_history import GIVEN_UP_AFTER_S, HISTORY_FRAMES, HISTORY_S, FrameHistory
from receiver.timeline import Stamp

STILL = MotionParameters.create(np.zeros((1, 2)), np.eye(2)[None])


def coded(sequence: int) -> tuple[Stamp, CodedFrame]:
    frame = CodedFrame(
        sequence=sequence & 0xFF,
        time_ms=sequence * 40 & 0xFFFF,
        slot=0,
        generation=0,
        quality=4,
        coefficients=(0,),
        parameters=STILL,
    )
    return Stamp(capture_ms=sequence * 40, sequence=sequence), frame


def add(history: FrameHistory, *sequences: int, now: float | None = None) -> None:
    history.add([coded(one) for one in sequences], sequences[-1] * 0.04 if now is None else now)


def test_feedback_tells_what_was_decoded_and_how_long_it_travelled() -> None:
    history = FrameHistory()
    assert history.feedback(0.0) is None, "nothing came yet"
    for sequence in range(250, 300):
        if sequence not in {290, 297}:
            add(history, sequence, now=100 + sequence * 0.04)
    feedback = history.feedback(100 + 299 * 0.04 + 0.017)
    assert feedback is not None
    assert feedback.sequence == 299 - 256
    missing = [299 - 1 - bit for bit in range(32) if not feedback.received >> bit & 1]
    assert missing == [297, 290]
    assert feedback.time_ms == 299 * 40
    assert feedback.transit_ms == 100_000 & 0xFFFF
    assert feedback.held_ms == 17
    assert feedback.lost == 1, "290 is given up, 297 may still come"
    assert history.feedback(112.0) is None, "nothing new"
    add(history, 297, now=112.0)
    later = history.feedback(112.1)
    assert later is not None
    assert (later.sequence, later.lost, later.held_ms) == (299 - 256, 1, 140)
    assert later.received & 0b11 == 0b11


def test_every_gap_is_given_up_once_after_a_while_and_a_frame_that_is_only_late_is_not() -> None:
    history = FrameHistory()
    add(history, 10, now=0.0)
    add(history, 14, now=0.1)
    add(history, 12, now=0.15)
    history.feedback(0.1 + GIVEN_UP_AFTER_S - 0.01)
    assert history.lost == 0
    history.feedback(0.1 + GIVEN_UP_AFTER_S + 0.01)
    assert history.lost == 2
    add(history, 11, now=0.5)
    history.feedback(5.0)
    assert history.lost == 2


def test_bases_are_the_latest_frames_and_no_others() -> None:
    history = FrameHistory()
    for sequence in range(1000):
        add(history, sequence)
        assert len(history) <= HISTORY_FRAMES
    now = 999 * 0.04
    held = [sequence for sequence in range(936, 1000) if history.find_base(sequence & 0xFF, now) is not None]
    assert held == list(range(936, 1000))
    found = history.find_base(970 & 0xFF, now)
    assert found is not None
    assert found.time_ms == 970 * 40
    assert history.find_base(935 & 0xFF, now) is None
    assert history.find_base(999 & 0xFF, now + HISTORY_S - 0.1) is not None
    assert history.find_base(999 & 0xFF, now + HISTORY_S + 0.1) is None
    assert history.feedback(now + HISTORY_S + 0.1) is None, "there is nothing to build on"


def test_after_an_outage_with_a_wrapped_sequence_no_old_frame_passes_for_a_new_one() -> None:
    history = FrameHistory()
    for sequence in range(100):
        add(history, sequence)
    add(history, 300)
    now = 300 * 0.04
    assert [s for s in range(256) if history.find_base(s, now) is not None] == [300 - 256]
    feedback = history.feedback(now)
    assert feedback is not None
    assert (feedback.sequence, feedback.received) == (44, 0)
    history.feedback(now + 1)
    assert history.lost == 200


def test_a_sender_that_begins_anew_can_build_on_nothing_of_before() -> None:
    history = FrameHistory()
    add(history, 1, 2, 3)
    history.restart()
    assert history.find_base(3, 0.1) is None
    assert history.feedback(0.2) is None
    add(history, 700, now=0.3)
    feedback = history.feedback(0.3)
    assert feedback is not None
    assert (feedback.sequence, feedback.received, feedback.lost) == (700 & 0xFF, 0, 0)


def test_a_missing_base_makes_the_receiver_speak_up_again() -> None:
    history = FrameHistory()
    add(history, 5)
    first = history.feedback(0.2)
    assert first is not None
    assert history.feedback(0.3) is None
    history.base_was_missing()
    again = history.feedback(0.4)
    assert again is not None
    assert (again.sequence, again.received) == (first.sequence, first.received)


@pytest.mark.parametrize("held_s", [0.0, 0.254, 0.4])
def test_the_time_held_is_bounded(held_s: float) -> None:
    history = FrameHistory()
    add(history, 0, now=1.0)
    feedback = history.feedback(1.0 + held_s)
    assert feedback is not None
    assert feedback.held_ms == min(round(held_s * 1000), 255)


def test_a_sender_that_jumps_about_costs_no_memory() -> None:
    history = FrameHistory()
    for step in range(200):
        add(history, step * 250, now=1 + step / 10_000)
    assert history.lost == 199 * 249 - 512, "only so many are waited for"
    history.feedback(2.0)
    assert history.lost == 199 * 249
