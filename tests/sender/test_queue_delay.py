import numpy as np
import pytest

from sender.queue_delay import QueueDelay, QueueDelayConfig


def _feed(queue: QueueDelay, delays: list[float], start: float = 0.0, interval: float = 0.1) -> float:
    now = start
    for delay in delays:
        now += interval
        queue.add(delay, now - delay, now)
    return now


def test_nothing_is_said_before_there_are_samples() -> None:
    queue = QueueDelay()
    assert queue.standing_s(0.0) is None
    now = _feed(queue, [0.05, 0.05])
    assert queue.standing_s(now) is None
    assert queue.trend(now) is None


def test_jitter_is_no_queue() -> None:
    queue = QueueDelay()
    generator = np.random.default_rng(3)
    now = _feed(queue, list(-7.0 + generator.uniform(0, 0.05, 200)))  # any clock offset
    standing = queue.standing_s(now)
    assert standing is not None
    assert standing < 0.02


def test_a_queue_stands_out_and_its_growth_is_measured() -> None:
    queue = QueueDelay()
    now = _feed(queue, [0.03] * 30)
    assert queue.standing_s(now) == pytest.approx(0.0)
    now = _feed(queue, [0.03 + 0.03 * step for step in range(1, 31)], now)
    standing, trend = queue.standing_s(now), queue.trend(now)
    assert standing is not None
    assert trend is not None
    assert standing == pytest.approx(0.63, abs=0.04)
    # 0.03 s more every 0.1 s of arrivals: they were sent every 0.07 s.
    assert trend.slope == pytest.approx(0.03 / 0.07, rel=0.02)
    assert trend.sent_until == pytest.approx(now - 0.93)


def test_the_least_delay_is_forgotten_when_the_route_changes() -> None:
    queue = QueueDelay(QueueDelayConfig(base_window_s=6.0))
    now = _feed(queue, [0.03] * 20)
    now = _feed(queue, [0.10] * 20, now)
    assert queue.standing_s(now) == pytest.approx(0.07)
    now = _feed(queue, [0.10] * 60, now)
    assert queue.standing_s(now) == pytest.approx(0.0)


def test_a_known_queue_counts_from_the_first_frame() -> None:
    queue = QueueDelay()
    queue.add(0.5, 0.0, 0.5, queued_s=0.4)
    now = _feed(queue, [0.5] * 5, 0.5)
    assert queue.standing_s(now) == pytest.approx(0.4)
    queue.learn_least()
    assert queue.standing_s(now) == pytest.approx(0.0)


@pytest.mark.parametrize("change", [{"standing_window_s": 0.0}, {"least_samples": 1}])
def test_settings_out_of_range_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        QueueDelayConfig(**change)  # type: ignore[arg-type]
