from __future__ import annotations

import pytest

from sender.token_bucket import TokenBucket


def test_it_starts_full_and_fills_at_its_rate_up_to_the_burst() -> None:
    bucket = TokenBucket(rate_bps=8000, burst_bytes=3000)
    assert bucket.level_bytes(10.0) == 3000
    bucket.spend(2500, 10.0)
    assert bucket.level_bytes(11.0) == pytest.approx(1500)
    assert bucket.fill(11.0) == pytest.approx(0.5)
    assert bucket.level_bytes(100.0) == 3000


def test_it_may_be_overdrawn_and_pays_back() -> None:
    bucket = TokenBucket(rate_bps=8000, burst_bytes=1000)
    bucket.spend(5000, 0.0)
    assert bucket.level_bytes(0.0) == -4000
    assert bucket.fill(1.0) == 0.0
    assert bucket.level_bytes(4.0) == pytest.approx(0)


def test_a_clock_that_runs_backward_adds_nothing() -> None:
    bucket = TokenBucket(rate_bps=8000, burst_bytes=1000)
    bucket.spend(1000, 5.0)
    assert bucket.level_bytes(1.0) == 0
    assert bucket.level_bytes(5.5) == pytest.approx(500)


def test_what_is_spent_stays_within_rate_and_burst() -> None:
    bucket = TokenBucket(rate_bps=16_000, burst_bytes=6000)
    spent = 0
    for step in range(1000):
        now = step * 0.05
        if bucket.level_bytes(now) >= 1500:
            bucket.spend(1500, now)
            spent += 1500
    assert 0.95 * (6000 + 50 * 2000) - 1500 <= spent <= 6000 + 50 * 2000


@pytest.mark.parametrize(("rate", "burst"), [(-1.0, 10), (float("nan"), 10), (1.0, 0)])
def test_wrong_settings_are_refused(rate: float, burst: int) -> None:
    with pytest.raises(ValueError, match="got"):
        TokenBucket(rate, burst)
