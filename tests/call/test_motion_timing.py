import pytest

from adasr_core.bitstream.feedback import MotionFeedback
from call.motion_delay import MotionDelay
from call.motion_rhythm import MotionRhythm
from call.token_pacer import TokenPacer


def _feedback(transit_ms: int) -> MotionFeedback:
    return MotionFeedback(sequence=0, received=0, time_ms=0, transit_ms=transit_ms % 65536, held_ms=0, lost=0)


def test_the_next_motion_message_is_waited_for_only_when_it_is_near() -> None:
    rhythm = MotionRhythm()
    assert rhythm.wait(0.0, 0.04) == 0.0
    for index in range(10):
        rhythm.sent(index * 0.04)
    assert rhythm.wait(0.36 + 0.03, 0.04) == pytest.approx(0.02)
    assert rhythm.wait(0.36 + 0.06, 0.04) == 0.0  # it is overdue: nobody knows when it comes
    for index in range(10):
        rhythm.sent(0.4 + index * 0.12)
    assert rhythm.wait(1.48 + 0.02, 0.04) == 0.0
    assert 0 < rhythm.wait(1.48 + 0.10, 0.04) <= 0.04
    rhythm.sent(5.0)
    assert rhythm.wait(5.01, 0.04) == 0.0  # after a pause the interval is not known


def test_the_delay_of_motion_is_that_above_the_least_and_jitter_does_not_count() -> None:
    delay = MotionDelay()
    assert delay.add(_feedback(65_530), 0.0) == 0.0
    assert [delay.add(_feedback(65_530 + ms), n * 0.1) for n, ms in ((1, 80), (2, 0), (3, 120))] == [0.0, 0.0, 0.0]
    late = [delay.add(_feedback(65_530 + 90 + n % 3), 1.0 + n * 0.1) for n in range(8)]
    assert late[-1] == pytest.approx(90.0)


def test_a_clock_that_drifts_or_a_new_route_is_learned() -> None:
    delay = MotionDelay()
    above = [delay.add(_feedback(100 if n < 10 else 150), n * 0.1) for n in range(600)]
    assert above[50] == 50.0
    assert above[-1] == 0.0


def test_the_pacer_keeps_its_rate_and_never_exceeds_its_burst() -> None:
    pacer = TokenPacer(0.0, bytes_per_s=110_000, burst_bytes=1100)
    now = 0.0
    sent = 0
    while sent < 110_000:
        delay = pacer.delay(1100, now)
        if delay:
            now += delay
        else:
            pacer.take(1100, now)
            sent += 1100
        assert sent <= 1100 + now * 110_000 + 1e-2
    assert now == pytest.approx(1.0, rel=0.02)


def test_the_pacer_passes_more_than_its_burst_on_a_full_bucket_and_changes_its_rate() -> None:
    pacer = TokenPacer(0.0, bytes_per_s=1000, burst_bytes=100)
    assert pacer.delay(500, 0.0) == 0.0
    pacer.take(500, 0.0)
    assert pacer.delay(100, 0.0) == pytest.approx(0.5)
    pacer.set_rate(100, 100, 0.25)
    assert pacer.delay(100, 0.25) == pytest.approx(2.5)


@pytest.mark.parametrize("rate", [0, -1])
def test_the_pacer_refuses_a_rate_of_zero(rate: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        TokenPacer(0.0, bytes_per_s=rate, burst_bytes=1)
    with pytest.raises(ValueError, match="positive"):
        TokenPacer(0.0, bytes_per_s=5, burst_bytes=1).set_rate(rate, 1, 0.0)
