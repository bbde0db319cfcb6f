import pytest

from call.clock_offset import ClockOffset
from call.liveness import Liveness, LivenessConfig, PathQuality


def test_silence_becomes_poor_then_reconnecting_then_lost_and_mends() -> None:
    liveness = Liveness(10.0)
    assert liveness.quality(10.9) is PathQuality.GOOD
    assert liveness.quality(11.0) is PathQuality.POOR
    assert liveness.quality(13.0) is PathQuality.RECONNECTING
    assert liveness.quality(39.9) is PathQuality.RECONNECTING
    assert liveness.quality(40.0) is PathQuality.LOST
    liveness.heard(40.0)
    assert liveness.quality(40.5) is PathQuality.GOOD


def test_an_older_time_does_not_turn_the_clock_back() -> None:
    liveness = Liveness(10.0)
    liveness.heard(5.0)
    assert liveness.silence(10.5) == pytest.approx(0.5)


def test_probes_go_out_only_in_silence_and_at_their_interval() -> None:
    liveness = Liveness(0.0)
    assert not liveness.probe_due(0.4)
    assert liveness.probe_due(0.5)
    assert not liveness.probe_due(0.9)
    assert liveness.probe_due(1.0)
    liveness.heard(1.1)
    assert not liveness.probe_due(1.55)


def test_thresholds_must_increase() -> None:
    with pytest.raises(ValueError, match="increasing"):
        LivenessConfig(poor_s=5.0)


def test_the_shortest_round_trip_gives_the_offset() -> None:
    clock = ClockOffset()
    assert clock.rtt_ms is None
    assert clock.offset_us is None
    # The peer's clock is 1,000,000 us ahead; the first exchange was delayed on its way back by 80 ms.
    assert clock.add(0, 1_010_000, 100_000)
    assert clock.add(200_000, 1_210_000, 220_000)
    assert clock.rtt_ms == pytest.approx(20.0)
    assert clock.offset_us == 1_000_000


@pytest.mark.parametrize("received", [-1, 60_000_001])
def test_an_impossible_pong_is_ignored(received: int) -> None:
    clock = ClockOffset()
    assert not clock.add(0, 5, received)
    assert clock.rtt_ms is None
