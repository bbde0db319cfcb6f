from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from receiver.timeline import Stamp, Timeline


def feed(timeline: Timeline, sequence: int, capture_ms: int, now: float) -> Stamp | None:
    stamp = timeline.read(sequence & 0xFF, capture_ms & 0xFFFF, now)
    if stamp is not None:
        timeline.arrived(stamp, now)
    return stamp


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
