from dataclasses import replace

import pytest

from sender.plan_choice import (
    Choice,
    DelayMode,
    LineView,
    PlanChoice,
    PlanRules,
    choices,
    delay_s,
    motion_bps,
    rules_for,
)

VIEW = LineView(available_bps=24_000, rtt_s=0.04, source_fps=25.0, loss=0.0, burst_messages=0, size_scale=1.0)
BALANCED = rules_for(DelayMode.BALANCED)


def _choose(view: LineView, rules: PlanRules = BALANCED, *, redundant: bool = False) -> Choice:
    return PlanChoice(rules).choose(view, redundant=redundant, now=0.0)


def test_every_choice_fits_the_rate_as_long_as_anything_does() -> None:
    for available in range(6_000, 60_000, 2_000):
        view = replace(VIEW, available_bps=float(available))
        assert motion_bps(_choose(view), view, BALANCED) <= available


def test_more_rate_is_spent_on_frames_first_then_on_delay() -> None:
    tight, fair, rich = (_choose(replace(VIEW, available_bps=bps)) for bps in (7_500.0, 18_000.0, 40_000.0))
    assert tight.divisor > 1 or tight.frames_per_message > 2
    assert (fair.divisor, fair.frames_per_message) == (1, 2)
    assert (rich.divisor, rich.frames_per_message) == (1, 1)


@pytest.mark.parametrize("rtt_s", [0.0, 0.05, 0.1, 0.15])
def test_mouth_to_ear_stays_within_150_ms(rtt_s: float) -> None:
    view = replace(VIEW, rtt_s=rtt_s)
    assert delay_s(_choose(view), view, BALANCED) <= 0.15


def test_saving_gathers_six_frames_or_more_and_lowest_none() -> None:
    saving = rules_for(DelayMode.SAVING)
    assert _choose(replace(VIEW, available_bps=11_000.0), saving).frames_per_message in (6, 7, 8)
    lowest = rules_for(DelayMode.LOWEST)
    assert {choice.frames_per_message for choice in choices(VIEW, lowest, redundant=False)} == {1}


def test_a_lossy_line_gets_messages_with_room_for_repeats() -> None:
    view = replace(VIEW, available_bps=15_000.0, loss=0.1)
    assert _choose(view, redundant=True).frames_per_message <= 4


def test_bursts_forbid_long_messages() -> None:
    view = replace(VIEW, available_bps=40_000.0, loss=0.05, burst_messages=8)
    choice = _choose(view, redundant=True)
    assert 8 * choice.frames_per_message * choice.divisor / 25.0 <= 0.4


def test_a_fast_source_is_thinned_out_and_a_slow_one_left_alone() -> None:
    fast = _choose(replace(VIEW, source_fps=60.0))
    assert 60.0 / fast.divisor <= 30.0
    assert 60.0 / _choose(replace(VIEW, source_fps=60.0), replace(BALANCED, max_fps=10.0)).divisor <= 10.0
    assert _choose(replace(VIEW, source_fps=8.0)).divisor == 1


def test_a_choice_is_kept_until_another_is_better_for_a_while() -> None:
    choice = PlanChoice(BALANCED, hold_s=2.0)
    poor, rich = replace(VIEW, available_bps=14_000.0), replace(VIEW, available_bps=40_000.0)
    first = choice.choose(poor, redundant=False, now=0.0)
    assert choice.choose(rich, redundant=False, now=1.0) == first
    assert choice.choose(poor, redundant=False, now=2.0) == first
    assert choice.choose(rich, redundant=False, now=2.5) == first, "the clock began anew"
    assert choice.choose(rich, redundant=False, now=4.6) != first
    # Down goes at once.
    assert choice.choose(poor, redundant=False, now=4.7).frames_per_message == first.frames_per_message


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"least_frames_per_message": 4, "most_frames_per_message": 2}, "frames per message"),
        ({"max_fps": 4.0}, "max_fps"),
        ({"motion_quality": 16}, "motion_quality"),
        ({"target_bps": 0.0}, "target_bps"),
        ({"fixed_delay_s": -1.0}, "fixed_delay_s"),
    ],
)
def test_rules_out_of_range_are_refused(change: dict[str, float], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        replace(BALANCED, **change)  # type: ignore[arg-type]
