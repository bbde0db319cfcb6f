"""Thousands of frames over bad lines: what is shown, when, and how far it is from what was sent.

"Shown" counts frames that were sent, from a repeat also. Where drawn frames count, it says so.
"""

from __future__ import annotations

import numpy as np
import pytest

from receiver import ConcealmentConfig, Origin, PlayoutConfig
from tests.receiver.simulated_line import Played, SimulatedLine, SimulatedSender, motion_at, play

SENT = {Origin.SENT}
BETWEEN = {Origin.SENT, Origin.INTERPOLATED}
ALL = set(Origin)


def check_order(played: Played) -> None:
    times = [one.capture_ms for one in played.shown]
    assert times == sorted(set(times)), "never out of order, never twice"
    assert [one.now for one in played.shown] == sorted(one.now for one in played.shown)


def share_arrived(played: Played) -> float:
    return len([number for number in played.arrived if number >= 50]) / (played.sender.frames - 50)


@pytest.mark.parametrize("frames_per_message", [1, 2, 3])
@pytest.mark.parametrize(("loss", "wanted"), [(0.05, 0.95), (0.10, 0.90), (0.20, 0.80)])
def test_under_loss_all_that_arrives_is_shown_and_the_gaps_are_drawn(
    loss: float, wanted: float, frames_per_message: int
) -> None:
    sender = SimulatedSender(frames=1000, frames_per_message=frames_per_message)
    played = play(sender, SimulatedLine(loss=loss, jitter_ms=20, seed=3))
    check_order(played)
    assert played.share_shown(SENT) >= share_arrived(played) - 0.01
    assert played.share_shown(BETWEEN) >= wanted, "sent, or drawn between frames that were sent"
    assert played.share_shown(ALL) >= 0.97
    assert played.longest_freeze_s() <= 0.4
    assert played.latencies_ms()[200:].max() <= 30 + 20 + 40 * (frames_per_message - 1) + 50 + 40


@pytest.mark.parametrize("loss", [0.05, 0.10, 0.20])
def test_repeats_bring_back_what_was_lost_and_are_no_duplicates(loss: float) -> None:
    sender = SimulatedSender(frames=1200, repeats=1)
    played = play(sender, SimulatedLine(loss=loss, jitter_ms=20, seed=4))
    check_order(played)
    # Two messages in a row must be lost for a frame to be missing.
    assert played.share_shown(SENT) >= 1 - 1.5 * loss**2 - 0.01
    assert sum(one.repeat for one in played.shown) >= 0.7 * loss * 1200
    plain = play(SimulatedSender(frames=1200), SimulatedLine(loss=loss, jitter_ms=20, seed=4))
    assert np.median(played.latencies_ms()) <= np.median(plain.latencies_ms()) + 1, "waiting for neighbours is enough"


@pytest.mark.parametrize("frames_per_message", [1, 2])
def test_bursts_of_eight_frames_freeze_the_picture_only_briefly(frames_per_message: int) -> None:
    sender = SimulatedSender(frames=2000, frames_per_message=frames_per_message)
    line = SimulatedLine(burst=0.02, burst_messages=8 // frames_per_message, jitter_ms=10, seed=5)
    played = play(sender, line)
    check_order(played)
    assert share_arrived(played) < 0.95, "there were bursts"
    assert played.share_shown(SENT) >= share_arrived(played) - 0.01
    assert played.longest_freeze_s() <= 0.4
    assert np.percentile(played.latencies_ms(), 99) <= 30 + 10 + 50 + 40 * (frames_per_message - 1) + 25


@pytest.mark.parametrize(
    "line",
    [
        SimulatedLine(jitter_ms=50, seed=6),
        SimulatedLine(reordered=0.1, seed=7),
        SimulatedLine(duplicated=0.2, jitter_ms=30, seed=8),
        SimulatedLine(loss=0.1, reordered=0.1, duplicated=0.1, jitter_ms=50, seed=9),
    ],
    ids=["jitter", "reordering", "duplication", "all at once"],
)
@pytest.mark.parametrize("frames_per_message", [1, 3])
def test_jitter_reordering_and_duplicates_cost_some_delay_and_nothing_else(
    line: SimulatedLine, frames_per_message: int
) -> None:
    played = play(SimulatedSender(frames=1000, frames_per_message=frames_per_message), line)
    check_order(played)
    assert played.share_shown(SENT) >= share_arrived(played) - 0.025
    assert played.share_shown(BETWEEN) >= 0.95
    assert played.longest_freeze_s() <= 0.2
    assert played.latencies_ms().max() <= 30 + 60 + 50 + 50 + 40 * frames_per_message


@pytest.mark.parametrize("frames_per_message", [1, 3])
def test_after_an_outage_the_picture_is_back_at_once(frames_per_message: int) -> None:
    sender = SimulatedSender(frames=1000, frames_per_message=frames_per_message)
    played = play(sender, SimulatedLine(outage_s=(20.0, 25.0), jitter_ms=20, seed=10))
    check_order(played)
    back = min(one.now for one in played.shown if one.capture_ms >= 24_800)
    assert back - 25.0 <= 0.3
    after = [one for one in played.shown if back <= one.now < 40]
    assert all(np.abs(one.vector - one.truth).max() < 0.02 for one in after), (
        "without passing through what lies between"
    )
    during = [one for one in played.shown if 20.45 < one.now < back]
    assert not during, "the picture stands while nothing comes"
    assert played.longest_freeze_s(without=(20.0, back + 0.001)) <= 0.1
    before, later = (
        np.median([one.now * 1000 - one.capture_ms for one in played.shown if a < one.now < b])
        for a, b in ((10, 20), (30, 40))
    )
    assert later <= before + 5, "no latency stays behind"


def test_latency_does_not_grow_with_clocks_that_drift_apart() -> None:
    sender = SimulatedSender(frames=2500, clock_drift=-2e-4)
    played = play(sender, SimulatedLine(jitter_ms=20, seed=11))
    check_order(played)
    # On the sender's clock a frame carries an earlier time than its true one, more so the longer it lasts.
    latencies = np.array([one.now * 1000 - one.capture_ms / (1 - 2e-4) for one in played.shown])
    assert np.median(latencies[-500:]) <= np.median(latencies[300:800]) + 5
    assert latencies[300:].max() <= 30 + 20 + 45


def test_a_slow_receiver_stays_live() -> None:
    played = play(SimulatedSender(frames=600), SimulatedLine(jitter_ms=10, seed=12), rebuild_s=0.11)
    check_order(played)
    latencies = played.latencies_ms()
    assert latencies.max() <= 30 + 10 + 110 + 50
    assert np.median(latencies[-50:]) <= np.median(latencies[20:70]) + 5
    assert len(played.shown) >= 0.95 * 24 / 0.11


@pytest.mark.parametrize(("display_ms", "parts"), [(40.0, 2), (20.0, 4), (26.0, 3)])
def test_a_faster_display_is_fed_evenly_by_drawing_between_the_frames(display_ms: float, parts: int) -> None:
    sender = SimulatedSender(frames=300, interval_ms=80)
    played = play(sender, SimulatedLine(jitter_ms=10, seed=13), PlayoutConfig(display_interval_ms=display_ms))
    check_order(played)
    assert len(played.shown) >= 0.98 * parts * 300
    steady = [one for one in played.shown if 10 <= one.now <= 23]
    steps = np.diff([one.now for one in steady]) * 1000
    assert np.percentile(np.abs(steps - 80 / parts), 90) <= 3
    assert played.share_shown(SENT) >= 0.99, "every frame sent is itself shown"
    drawn = [one for one in steady if one.origin is Origin.INTERPOLATED]
    assert len(drawn) >= 0.98 * len(steady) * (parts - 1) / parts
    assert np.median(played.latencies_ms()) <= 30 + 10 + 80 * (parts - 1) / parts + 5, "the least that does"


def test_a_faster_display_falls_back_when_the_machine_cannot_keep_up_and_tries_again() -> None:
    sender = SimulatedSender(frames=500, interval_ms=80)
    played = play(sender, SimulatedLine(jitter_ms=5, seed=14), PlayoutConfig(display_interval_ms=20), rebuild_s=0.035)
    check_order(played)
    assert played.share_shown(SENT) >= 0.97, "drawn frames give way to those that were sent"
    late = [one for one in played.shown if one.now > 10]
    assert np.mean([one.origin is Origin.SENT for one in late]) > 0.8
    assert any(one.origin is Origin.INTERPOLATED for one in late), "it looks now and then whether it can"
    assert played.latencies_ms().max() <= 30 + 5 + 60 + 35 + 50


def test_what_is_drawn_is_nearer_to_the_truth_than_the_frame_before_it() -> None:
    sender = SimulatedSender(frames=2000)
    line = SimulatedLine(loss=0.1, seed=15)
    still = PlayoutConfig(conceal_gap_ms=0, concealment=ConcealmentConfig(horizon_ms=0, blend_ms=0))
    held = play(sender, line, still)
    shown_ms = np.array([one.capture_ms for one in held.shown])
    missing = [n for n in range(60, 1990) if n not in held.arrived]
    errors = []
    for number in missing:
        before = held.shown[int(np.searchsorted(shown_ms, number * 40)) - 1]
        errors.append(float(np.sqrt(np.mean((before.vector - motion_at(number * 40)) ** 2))))
    drawn = play(sender, line)
    interpolated = drawn.errors({Origin.INTERPOLATED})
    assert len(interpolated) > 0.7 * len(missing)
    assert interpolated.mean() < 0.3 * np.mean(errors)
