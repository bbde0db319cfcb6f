"""Whole calls over bad lines, in made-up time: the figures that a call must reach (docs/call.md)."""

from dataclasses import replace
from pathlib import Path

import pytest

from adasr_core.bundle import ModelBundle
from call.emulated_line import parse_line
from sender.plan_choice import DelayMode
from sender.rate_control import RateControlConfig
from tests.call.virtual_call import Studio, VirtualResult, hold_virtual_call, open_studio

LOWEST = RateControlConfig(mode=DelayMode.LOWEST)
BALANCED = RateControlConfig()
SAVING = RateControlConfig(mode=DelayMode.SAVING)


@pytest.fixture(scope="module")
def studio(bundle: ModelBundle, sample_clip: Path) -> Studio:
    return open_studio(bundle, sample_clip)


def _call(studio: Studio, rate: RateControlConfig, text: str, seconds: float = 12.0) -> VirtualResult:
    """The line is bad both ways, each with chances of its own."""
    back = ",".join(part for part in f"{text},seed=2".split(",") if part)
    return hold_virtual_call(studio, rate, seconds, line=parse_line(text), back=parse_line(back))


@pytest.mark.parametrize(
    ("rate", "most_kbps", "frames", "anchors"),
    [(LOWEST, 25.0, 1, 50), (SAVING, 12.0, 7, 150)],
    ids=["lowest", "saving"],
)
def test_a_minute_costs_what_the_mode_promises(
    studio: Studio, rate: RateControlConfig, most_kbps: float, frames: int, anchors: int
) -> None:
    result = _call(studio, rate, "delay_ms=10", 60.0)
    assert 0.85 * most_kbps < result.kbps() <= most_kbps, "key frames and all headers included"
    assert {plan.frames_per_message for plan in result.plans} == {frames}
    assert len(result.sent_ms) > 0.97 * 60 * 25
    assert result.shown_share() > 0.99
    assert result.motion_bytes / len(result.sent_ms) <= (12.0 if frames > 1 else 16.0)
    assert result.anchors >= anchors


@pytest.mark.parametrize(("loss", "least"), [(0.05, 0.95), (0.10, 0.90), (0.20, 0.80)])
@pytest.mark.parametrize("rate", [LOWEST, BALANCED], ids=["lowest", "balanced"])
def test_lost_datagrams_cost_few_frames(studio: Studio, rate: RateControlConfig, loss: float, least: float) -> None:
    result = _call(studio, rate, f"loss={loss},delay_ms=30")
    assert result.shown_share() >= least
    assert result.freeze_ms() <= 400
    assert result.plans[-1].redundant


@pytest.mark.parametrize("seed", [8, 19, 28])
def test_a_burst_hardly_stops_the_picture_in_long_messages_either(studio: Studio, seed: int) -> None:
    """Eight messages of seven frames are more than two seconds: the end of a burst is found with shorter ones."""
    line = parse_line(f"loss=0.1,burst=8,delay_ms=30,seed={seed}")
    result = hold_virtual_call(studio, SAVING, 9.0, line=line, back=replace(line, seed=seed + 1))
    assert result.statistics is not None
    assert result.statistics.lost >= 8, "a burst passed"
    assert max(plan.frames_per_message for plan in result.plans) >= 7
    assert result.freeze_ms() <= 400


@pytest.mark.parametrize(
    ("text", "most"),
    [("jitter_ms=50,delay_ms=30", 5), ("reorder=0.1,delay_ms=30", 10)],
    ids=["jitter", "reordering"],
)
def test_answers_that_are_only_late_hardly_shorten_messages(studio: Studio, text: str, most: int) -> None:
    result = _call(studio, SAVING, text, 10.0)
    assert sum(plan.frames_per_message < 3 for plan in result.plans) <= most, "of 250 frames"


@pytest.mark.parametrize(
    ("text", "least"),
    [
        ("loss=0.1,burst=8,delay_ms=30", 0.85),
        ("jitter_ms=50,delay_ms=30", 0.97),
        ("reorder=0.1,delay_ms=30", 0.97),
        ("duplicate=0.2,delay_ms=30", 0.99),
        ("loss=0.1,jitter_ms=50,reorder=0.1,duplicate=0.1,delay_ms=30", 0.90),
    ],
    ids=["bursts", "jitter", "reordering", "duplication", "all at once"],
)
def test_other_faults_cost_delay_but_no_freeze(studio: Studio, text: str, least: float) -> None:
    result = _call(studio, LOWEST, text)
    assert result.shown_share() >= least
    assert result.freeze_ms() <= 400


@pytest.mark.parametrize("rate", [LOWEST, BALANCED, SAVING], ids=["lowest", "balanced", "saving"])
def test_after_an_outage_the_picture_moves_within_half_a_second(studio: Studio, rate: RateControlConfig) -> None:
    result = _call(studio, rate, "outage_at_s=4,outage_s=5,delay_ms=30", 14.0)
    assert result.recovery_ms() <= 500
    assert result.freeze_ms() <= 400
    assert result.shown_share() >= 0.97


def test_lost_pictures_do_not_stop_the_motion(studio: Studio) -> None:
    """What an anchor loses is repeated beside the motion, which goes on with the anchors that are there."""
    result = _call(studio, BALANCED, "loss=0.3,delay_ms=50")
    assert result.statistics is not None
    assert result.anchors >= 20
    assert result.statistics.anchors >= 0.8 * result.anchors
    assert result.statistics.malformed == 0, "none was decoded without those before it"
    assert result.freeze_ms() <= 400
    assert result.statistics.unknown_reference == 0


def test_a_narrow_line_is_found_and_kept_usable(studio: Studio) -> None:
    result = _call(studio, BALANCED, "rate_kbps=16,delay_ms=30", 30.0)
    assert result.kbps() < 16.0
    late = [when for when in result.shown_s if when > 15.0]
    assert len(late) > 15 * 8, "at least 8 pictures a second"
    assert result.figures is not None
    assert 8_000 < result.figures.estimate_bps < 20_000


@pytest.mark.parametrize("rate", [BALANCED, SAVING], ids=["balanced", "saving"])
def test_a_call_begins_quickly_on_a_line_of_12_kbps(studio: Studio, rate: RateControlConfig) -> None:
    result = _call(studio, rate, "rate_kbps=12,delay_ms=25", 20.0)
    assert result.shown_s[0] <= 2.5
    assert result.key_wire_share() <= 1.25, "chunks that stand in the line's queue are not repeated"
    assert result.references == 1, "it is never begun anew"
    assert len(result.sent_ms) >= 0.85 * 20 * 25
    assert len(result.shown_ms) >= 0.85 * 20 * 25
    assert result.freeze_ms() <= 400
    assert result.kbps() <= 12.0


def test_a_user_s_cap_holds_from_the_first_byte(studio: Studio) -> None:
    result = _call(studio, RateControlConfig(cap_bps=15_000), "delay_ms=20")
    for start in range(20):
        window = [size for when, size in result.wire if 0.5 * start <= when < 0.5 * start + 2.0]
        assert sum(window) * 8 / 2.0 <= 15_000 + 600 * 8 / 2.0, "exact to one datagram"


def test_a_user_s_cap_holds_while_answers_are_overdue(studio: Studio) -> None:
    config = RateControlConfig(mode=DelayMode.SAVING, cap_bps=12_000)
    line = parse_line("loss=0.1,burst=8,delay_ms=30,seed=19")
    result = hold_virtual_call(studio, config, 9.0, line=line, back=replace(line, seed=20))
    assert min(plan.frames_per_message for plan in result.plans) < 7, "some were shorter than usual"
    for start in range(70):
        window = [size for when, size in result.wire if 0.1 * start <= when < 0.1 * start + 2.0]
        assert sum(window) * 8 / 2.0 <= 12_000 + 600 * 8 / 2.0, "exact to one datagram"
