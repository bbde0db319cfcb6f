from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from receiver.timeline import Stamp, Timeline


def feed(timeline: Timeline, sequence: int, capture_ms: int, now: float) -> Stamp | None:
    stamps = timeline.read([(sequence & 0xFF, capture_ms & 0xFFFF)], now)
    if stamps is None:
        return None
    timeline.arrived(stamps, now)
    return stamps[-1]


def test_times_and_sequences_rise_over_every_wrap() -> None:
    timeline = Timeline()
    for frame in range(6000):
        stamp = feed(timeline, frame, frame * 40, now=100 + frame * 0.04)
        assert stamp == Stamp(capture_ms=frame * 40, sequence=frame)
    assert timeline.interval_ms == pytest.approx(40)
    assert timeline.loss == 0
    assert timeline.jitter_ms == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("outage_s", [0.5, 3.0, 40.0, 100.0, 1000.0])
def test_an_outage_of_any_length_is_bridged_by_the_own_clock(outage_s: float) -> None:
    timeline = Timeline()
    for frame in range(50):
        feed(timeline, frame, frame * 33, now=frame * 0.033)
    later_ms = round(50 * 33 + outage_s * 1000)
    stamp = feed(timeline, 50 + round(outage_s / 0.033), later_ms, now=later_ms / 1000)
    assert stamp is not None
    assert stamp.capture_ms == later_ms
    assert stamp.sequence > 49


def test_reordered_packets_keep_their_places() -> None:
    timeline = Timeline()
    order = [0, 1, 3, 2, 6, 4, 5, 7, 9, 8]
    stamps = [feed(timeline, 250 + n, 65_400 + n * 33, now=n_at * 0.033) for n_at, n in enumerate(order)]
    assert [s.sequence - 250 for s in stamps if s] == order
    assert [(s.capture_ms - 65_400) // 33 for s in stamps if s] == order


def test_loss_and_jitter_are_measured() -> None:
    timeline = Timeline()
    generator = np.random.default_rng(3)
    for frame in range(500):
        if frame % 10 == 3:
            continue
        feed(timeline, frame, frame * 33, now=frame * 0.033 + generator.uniform(0, 0.04))
    assert timeline.loss == pytest.approx(0.1, abs=0.02)
    assert 30 < timeline.jitter_ms <= 40
    assert timeline.interval_ms == pytest.approx(33, abs=0.1)


def test_single_absurd_times_are_dropped() -> None:
    timeline = Timeline()
    for frame in range(50):
        assert feed(timeline, frame, frame * 33, now=frame * 0.033) is not None
    assert feed(timeline, 50, 50 * 33 + 30_000, now=50 * 0.033) is None
    assert feed(timeline, 51, 51 * 33 - 20_000, now=51 * 0.033) is None
    assert feed(timeline, 52, 52 * 33, now=52 * 0.033) == Stamp(capture_ms=52 * 33, sequence=52)
    assert timeline.restarts == 0


def test_a_sender_that_begins_anew_is_followed_within_a_few_packets() -> None:
    timeline = Timeline()
    last = 0
    for frame in range(100):
        stamp = feed(timeline, frame, 40_000 + frame * 33, now=frame * 0.033)
        assert stamp is not None
        last = stamp.capture_ms
    accepted = [feed(timeline, n, 7 + n * 33, now=3.3 + n * 0.033) for n in range(12)]
    assert accepted[:4] == [None] * 4
    stamps = [stamp for stamp in accepted[4:] if stamp is not None]
    assert len(stamps) == 8
    assert timeline.restarts == 1
    assert stamps[0].capture_ms > last
    assert all(b.capture_ms - a.capture_ms == 33 for a, b in pairwise(stamps))
    assert stamps[0].capture_ms % 65_536 == (7 + 4 * 33) % 65_536


def test_the_older_frames_of_a_message_follow_from_the_newest_one() -> None:
    timeline = Timeline()
    for newest in range(2, 1200, 3):
        frames = [((newest - age) & 0xFF, (65_500 + (newest - age) * 40) & 0xFFFF) for age in (2, 1, 0)]
        stamps = timeline.read(frames, now=7 + newest * 0.04)
        assert stamps is not None
        first = stamps[0].sequence - (newest - 2)
        assert [stamp.sequence - first for stamp in stamps] == [newest - 2, newest - 1, newest]
        assert first % 256 == 0
        assert [stamp.capture_ms % 65_536 for stamp in stamps] == [time_ms for _, time_ms in frames]
        timeline.arrived(stamps, now=7 + newest * 0.04)
    assert timeline.span_ms == 80
    assert timeline.interval_ms == pytest.approx(40)
    assert timeline.jitter_ms == pytest.approx(0, abs=1e-6)
    assert timeline.loss == 0


@pytest.mark.parametrize("times", [(40, 40), (80, 40), (0, 5000)])
def test_frames_of_a_message_whose_times_do_not_rise_or_lie_far_apart_are_implausible(times: tuple[int, int]) -> None:
    assert Timeline().read([(0, times[0]), (1, times[1])], now=0.0) is None


def test_the_interval_follows_a_change_of_rate_and_ignores_a_pause() -> None:
    timeline = Timeline()
    for frame in range(100):
        feed(timeline, frame, frame * 40, now=frame * 0.04)
    later_ms = 99 * 40 + 1500
    for frame in range(100, 112):
        feed(timeline, frame, later_ms + (frame - 100) * 40, now=(later_ms + (frame - 100) * 40) / 1000)
    assert timeline.interval_ms == pytest.approx(40)
    begun_ms = later_ms + 11 * 40
    for frame in range(112, 136):
        feed(timeline, frame, begun_ms + (frame - 111) * 80, now=(begun_ms + (frame - 111) * 80) / 1000)
    assert timeline.interval_ms == pytest.approx(80)


def test_after_a_long_break_sequences_stay_whole_and_loss_begins_anew() -> None:
    timeline = Timeline()
    for frame in range(50):
        feed(timeline, frame, frame * 40, now=frame * 0.04)
    stamps = [feed(timeline, 175 + n, 7000 + n * 40, now=7 + n * 0.04) for n in range(20)]
    assert [stamp.sequence for stamp in stamps if stamp] == list(range(175, 195))
    assert timeline.loss == 0
