import itertools

import numpy as np
import pytest

from adasr_core.bitstream.feedback import MotionFeedback
from sender.plan_choice import DelayMode
from sender.rate_control import RateControlConfig, RateController
from sender.rate_estimate import LineState
from sender.rate_plan import RatePlan
from tests.sender.simulated_line import Line, Record, simulate


def _wide(now: float) -> float:
    return 300_000.0


def _changes(plans: list[RatePlan]) -> int:
    shapes = [(p.frames_per_message, p.frame_interval_s, p.motion_quality) for p in plans]
    return sum(a != b for a, b in itertools.pairwise(shapes))


@pytest.mark.parametrize(("mode", "most_bps", "frames"), [(DelayMode.LOWEST, 25_000, 1), (DelayMode.SAVING, 12_000, 7)])
def test_a_minute_in_a_mode_costs_what_the_mode_promises(mode: DelayMode, most_bps: float, frames: int) -> None:
    record = simulate(RateControlConfig(mode=mode), Line(capacity_bps=_wide), 60.0)
    assert record.sent_bps(0.0, 60.0) <= most_bps
    # Most of what it may use is used: references are worth it.
    assert record.sent_bps(0.0, 60.0) >= 0.85 * most_bps
    assert {plan.frames_per_message for _, plan in record.plans[10:]} == {frames}
    assert record.frames_sent > 0.97 * 25 * 60
    assert _changes([plan for _, plan in record.plans]) == 0


@pytest.mark.parametrize("cap_bps", [12_000, 25_000, 80_000])
def test_a_cap_is_never_exceeded(cap_bps: float) -> None:
    record = simulate(RateControlConfig(cap_bps=cap_bps), Line(capacity_bps=_wide), 30.0)
    datagram_bps = 509 * 8 / 2.0  # windows are exact to one datagram
    assert record.worst_window_bps(0.0, 2.0) <= cap_bps + datagram_bps
    assert record.sent_bps(10.0, 30.0) > 0.75 * cap_bps


@pytest.mark.parametrize("size_scale", [0.5, 2.0])
def test_sizes_that_were_guessed_wrong_do_not_break_the_cap(size_scale: float) -> None:
    record = simulate(RateControlConfig(cap_bps=25_000), Line(capacity_bps=_wide), 40.0, size_scale=size_scale)
    assert record.worst_window_bps(5.0, 2.0) <= 25_000 + 509 * 8 / 2.0
    assert record.sent_bps(10.0, 40.0) > 18_000


def _settles(record: Record, capacity_bps: float, start: float, end: float) -> None:
    assert 0.6 * capacity_bps < record.sent_bps(start, end) < capacity_bps
    queues = record.queues(start, end)
    assert np.percentile(queues, 50) < 0.2
    assert np.percentile(queues, 95) < 0.5


@pytest.mark.parametrize("capacity_bps", [12_000, 16_000, 20_000])
def test_it_finds_a_narrow_line_and_keeps_the_queue_short(capacity_bps: float) -> None:
    record = simulate(RateControlConfig(cap_bps=40_000), Line(capacity_bps=lambda now: capacity_bps), 60.0)
    _settles(record, capacity_bps, 20.0, 60.0)
    plans = record.plans_between(25.0, 60.0)
    assert _changes(plans) <= 10, "no oscillation"
    estimates = [rate for when, rate in record.estimates if when > 25.0]
    assert np.std(estimates) < 0.25 * np.mean(estimates)


def test_it_follows_a_drop_and_a_rise_of_the_line() -> None:
    line = Line(capacity_bps=lambda now: 15_000 if 20 <= now < 60 else 60_000)
    record = simulate(RateControlConfig(cap_bps=40_000), line, 110.0)
    assert record.sent_bps(10.0, 20.0) > 32_000
    _settles(record, 15_000, 32.0, 60.0)
    assert record.sent_bps(95.0, 110.0) > 32_000
    # The drop is answered before three seconds of queue have built up.
    assert max(record.queues(20.0, 60.0)) < 3.0


def test_a_burst_of_references_leaves_the_motion_alone() -> None:
    quiet = simulate(RateControlConfig(cap_bps=40_000), Line(capacity_bps=lambda now: 45_000), 30.0, greedy=False)
    busy = simulate(RateControlConfig(cap_bps=40_000), Line(capacity_bps=lambda now: 45_000), 30.0)
    assert busy.sent_bps(5.0, 30.0) > 1.3 * quiet.sent_bps(5.0, 30.0)
    assert busy.frames_sent == pytest.approx(quiet.frames_sent, abs=4)
    assert np.percentile(busy.queues(5.0, 30.0), 99) < 0.15


@pytest.mark.parametrize(("loss", "shown"), [(0.05, 0.97), (0.10, 0.95), (0.20, 0.88)])
def test_loss_of_the_line_itself_does_not_starve_the_call(loss: float, shown: float) -> None:
    line = Line(capacity_bps=_wide, loss=lambda now: loss, jitter_s=0.05)
    record = simulate(RateControlConfig(), line, 40.0)
    assert record.sent_bps(20.0, 40.0) > 18_000
    assert record.frames_decoded >= shown * record.frames_sent
    redundant = [plan.redundant for plan in record.plans_between(5.0, 40.0)]
    assert np.mean(redundant) > 0.8


def test_a_full_short_queue_is_told_from_a_lossy_line() -> None:
    # 1,500 bytes of queue: too short for the delay to tell much, so datagrams are lost instead.
    record = simulate(RateControlConfig(), Line(capacity_bps=lambda now: 14_000, queue_bytes=1_500), 60.0)
    assert 8_000 < record.sent_bps(30.0, 60.0) < 14_000
    assert record.frames_decoded > 0.95 * record.frames_sent


def test_clean_lines_carry_no_repeats_and_single_losses_start_none() -> None:
    clean = simulate(RateControlConfig(), Line(capacity_bps=_wide), 20.0)
    assert not any(plan.redundant for _, plan in clean.plans)
    rare = simulate(RateControlConfig(), Line(capacity_bps=_wide, loss=lambda now: 0.002), 40.0)
    assert not any(plan.redundant for _, plan in rare.plans)


def test_repeats_end_when_the_line_is_clean_again() -> None:
    line = Line(capacity_bps=_wide, loss=lambda now: 0.1 if now < 20 else 0.0)
    record = simulate(RateControlConfig(), line, 60.0)
    assert all(plan.redundant for plan in record.plans_between(10.0, 20.0))
    assert not any(plan.redundant for plan in record.plans_between(55.0, 60.0))


def test_an_outage_ends_as_it_began() -> None:
    line = Line(capacity_bps=lambda now: 0 if 20 <= now < 25 else 300_000, queue_bytes=2_000)
    record = simulate(RateControlConfig(), line, 40.0)
    before = record.plans_between(15.0, 20.0)[-1]
    within = record.plans_between(24.0, 25.0)[-1]
    after = record.plans_between(32.0, 40.0)
    assert record.sent_bps(24.0, 25.0) < 0.8 * record.sent_bps(10.0, 20.0)
    assert within.reference_bps < before.reference_bps
    assert {(p.frames_per_message, p.frame_interval_s) for p in after} == {
        (before.frames_per_message, before.frame_interval_s)
    }


def test_a_long_round_trip_leaves_no_time_to_gather_frames() -> None:
    near = simulate(RateControlConfig(), Line(capacity_bps=_wide, one_way_s=0.01), 20.0)
    far = simulate(RateControlConfig(), Line(capacity_bps=_wide, one_way_s=0.085), 20.0)
    assert near.plans[-1][1].frames_per_message == 2
    assert far.plans[-1][1].frames_per_message == 1


def test_a_fast_camera_is_thinned_out_evenly() -> None:
    record = simulate(RateControlConfig(), Line(capacity_bps=_wide), 10.0, fps=60.0)
    assert record.plans[-1][1].frame_interval_s == pytest.approx(1.5 / 60)
    assert 28 <= record.frames_sent / 9.5 <= 31


def test_feedback_that_cannot_be_true_changes_nothing() -> None:
    controller = RateController()
    before = controller.plan(0.0)
    lie = MotionFeedback(sequence=77, received=0, time_ms=5, transit_ms=9, held_ms=0, lost=60_000)
    for step in range(200):
        controller.on_feedback(lie, 0.1 * step)
    assert controller.plan(20.0) == before
    assert controller.figures(20.0).loss == 0.0
    assert controller.figures(20.0).state is not LineState.CONGESTED


@pytest.mark.parametrize(
    "change", [{"cap_bps": 1000.0}, {"audio_bps": -1.0}, {"frames_per_message": 9}, {"max_fps": 60.0}]
)
def test_settings_out_of_range_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        RateControlConfig(**change)  # type: ignore[arg-type]


def test_audio_comes_out_of_the_same_cap() -> None:
    without = simulate(RateControlConfig(cap_bps=40_000), Line(capacity_bps=_wide), 20.0)
    beside = simulate(RateControlConfig(cap_bps=40_000, audio_bps=20_000), Line(capacity_bps=_wide), 20.0)
    assert beside.sent_bps(5.0, 20.0) < 20_000 < without.sent_bps(5.0, 20.0)


def _after_a_silence(config: RateControlConfig, silent_s: float) -> RatePlan:
    """The plan of a sender whose messages were answered for five seconds, and now are not for so long."""
    controller = RateController(config)
    controller.on_round_trip(0.06, 0.0)
    sequence, waiting, plan = -1, 0, RatePlan()
    answers: list[tuple[float, int, int]] = []
    for frame in range(125 + round(25 * silent_s)):
        now = 0.04 * frame
        controller.on_capture(now)
        while answers and answers[0][0] <= now:
            _, newest, time_ms = answers.pop(0)
            controller.on_feedback(
                MotionFeedback(
                    sequence=newest, received=(1 << 32) - 1, time_ms=time_ms, transit_ms=30, held_ms=0, lost=0
                ),
                now,
            )
        plan = controller.plan(now)
        sequence, waiting = (sequence + 1) & 0xFF, waiting + 1
        if waiting >= plan.frames_per_message:
            controller.on_sent(sequence, waiting, 4 + 5 * waiting, now, now)
            waiting = 0
            if frame < 125:
                answers.append((now + 0.06, sequence, round(1000 * now)))
    return plan


def test_messages_are_short_while_an_answer_is_overdue() -> None:
    saving = RateControlConfig(mode=DelayMode.SAVING)
    assert _after_a_silence(saving, 0.0).frames_per_message == 7
    assert _after_a_silence(saving, 0.8).frames_per_message == 1
    assert _after_a_silence(saving, 1.8).frames_per_message == 7, "an outage"


def test_messages_are_no_shorter_than_the_cap_carries() -> None:
    capped = RateControlConfig(mode=DelayMode.SAVING, cap_bps=12_000)
    assert 1 < _after_a_silence(capped, 0.8).frames_per_message < 7


def test_messages_that_are_short_already_stay_as_they_are() -> None:
    plan = _after_a_silence(RateControlConfig(), 0.0)
    assert _after_a_silence(RateControlConfig(), 0.8) == plan
    assert plan.frames_per_message == 2
