from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver import ConcealmentConfig, Origin, PlayoutConfig
from receiver.due_frames import Arrival, DueFrame, Incoming
from receiver.playout import PlayoutBuffer

INTERVAL_MS = 40


@dataclass
class Shown:
    """What came out of a buffer: frames with the time they were shown."""

    frames: list[tuple[float, DueFrame[int]]] = field(default_factory=list)

    @property
    def real(self) -> list[int]:
        return [frame.earlier[-1].payload for _, frame in self.frames if frame.origin is Origin.SENT]

    @property
    def capture_ms(self) -> list[int]:
        return [frame.capture_ms for _, frame in self.frames]


def push(buffer: PlayoutBuffer[int], sequence: int, time_ms: int, payload: int, now: float) -> Arrival | None:
    """A message of one frame; None when its time cannot be right."""
    placed = buffer.push([Incoming(sequence & 0xFF, time_ms, payload)], now)
    return placed[0][1] if placed else None


def play(
    buffer: PlayoutBuffer[int],
    arrivals: list[tuple[float, int]],
    *,
    until: float,
    tick_s: float = 0.005,
    offset_ms: int = 0,
) -> Shown:
    """Feed frame numbers at their arrival times, pulling every tick as a display loop does."""
    shown = Shown()
    pending = sorted(arrivals)
    for tick in range(round(until / tick_s)):
        now = tick * tick_s
        while pending and pending[0][0] <= now:
            arrival, number = pending.pop(0)
            push(buffer, number, (offset_ms + number * INTERVAL_MS) & 0xFFFF, number, arrival)
        while (frame := buffer.pull(now)) is not None:
            shown.frames.append((now, frame))
    return shown


def sent(number: int, delay_ms: float = 20.0) -> tuple[float, int]:
    return (number * INTERVAL_MS + delay_ms) / 1000, number


def test_on_a_perfect_line_every_frame_is_shown_at_once() -> None:
    buffer: PlayoutBuffer[int] = PlayoutBuffer(PlayoutConfig())
    shown = play(buffer, [sent(n) for n in range(2000)], until=81, offset_ms=65_000)
    assert shown.real == list(range(2000))
    assert all(frame.origin is Origin.SENT for _, frame in shown.frames[:2000])
    assert [frame.origin for _, frame in shown.frames[2000:]] == [Origin.EXTRAPOLATED] * 7, "then nothing more came"
    assert max(now - (n * INTERVAL_MS + 20) / 1000 for n, (now, _) in enumerate(shown.frames[:2000])) <= 0.0051
    assert buffer.delay_ms == pytest.approx(0, abs=0.01)


def test_reordered_frames_come_out_in_order() -> None:
    buffer: PlayoutBuffer[int] = PlayoutBuffer(PlayoutConfig())
    generator = np.random.default_rng(5)
    arrivals = [sent(n, 20 + generator.uniform(0, 90)) for n in range(600)]
    shown = play(buffer, arrivals, until=26)
    assert shown.capture_ms == sorted(set(shown.capture_ms))
    # While the delay is being learnt some come too late; then nearly all are shown.
    assert sum(1 for n in shown.real if n >= 100) >= 0.95 * 500
    assert 50 < buffer.delay_ms <= 140


def test_the_pace_is_even_though_the_arrivals_are_not() -> None:
    buffer: PlayoutBuffer[int] = PlayoutBuffer(PlayoutConfig())
    generator = np.random.default_rng(6)
    shown = play(buffer, [sent(n, 20 + generator.uniform(0, 30)) for n in range(400)], until=18)
    times = np.array([now for now, _ in shown.frames[150:]])
    steps = np.diff(times) * 1000
    assert np.percentile(np.abs(steps - INTERVAL_MS), 90) <= 8


def test_duplicates_and_late_frames_are_never_shown() -> None:
    buffer: PlayoutBuffer[int] = PlayoutBuffer(
        PlayoutConfig(conceal_gap_ms=0, concealment=ConcealmentConfig(horizon_ms=0))
    )
    assert push(buffer, 0, 0, 0, 0.02) is Arrival.ACCEPTED
    assert push(buffer, 0, 0, 0, 0.02) is Arrival.DUPLICATE
    assert push(buffer, 2, 80, 2, 0.10) is Arrival.ACCEPTED
    assert buffer.pull(0.02) is not None
    assert buffer.pull(0.30) is not None
    assert push(buffer, 1, 40, 1, 0.31) is Arrival.LATE
    assert push(buffer, 2, 80, 2, 0.32) is Arrival.DUPLICATE
    assert push(buffer, 0, 0, 0, 0.32) is Arrival.DUPLICATE
    assert buffer.pull(1.0) is None


def test_a_missing_frame_is_drawn_between_its_neighbours() -> None:
    buffer: PlayoutBuffer[int] = PlayoutBuffer(PlayoutConfig())
    lost = set(range(10, 800, 12))
    shown = play(buffer, [sent(n) for n in range(800) if n not in lost], until=34)
    drawn = [frame for _, frame in shown.frames if frame.origin is Origin.INTERPOLATED]
    assert len(drawn) >= 0.9 * len(lost)
    for frame in drawn:
        assert frame.later is not None
        number = frame.capture_ms / INTERVAL_MS
        assert number in lost
        assert (frame.earlier[-1].payload, frame.later.payload) == (number - 1, number + 1)
    assert shown.real == [n for n in range(800) if n not in lost]
    assert shown.capture_ms == sorted(set(shown.capture_ms))
    times = np.array([now for now, frame in shown.frames[300:] if frame.capture_ms < 800 * INTERVAL_MS])
    assert np.diff(times).max() <= 0.046, "no gap is seen where a frame was lost"


def test_two_missing_frames_are_drawn_at_thirds_and_a_long_gap_is_a_jump() -> None:
    config = PlayoutConfig(min_delay_ms=130, conceal_gap_ms=150, concealment=ConcealmentConfig(horizon_ms=0))
    buffer: PlayoutBuffer[int] = PlayoutBuffer(config)
    shown = play(buffer, [sent(n) for n in range(60) if n not in {20, 21, 40, 41, 42, 43}], until=3)
    drawn = [(frame.capture_ms, frame.origin) for _, frame in shown.frames if frame.origin is not Origin.SENT]
    assert drawn == [(20 * INTERVAL_MS, Origin.INTERPOLATED), (21 * INTERVAL_MS, Origin.INTERPOLATED)]


def test_a_frame_that_comes_after_its_stand_in_is_late() -> None:
    buffer: PlayoutBuffer[int] = PlayoutBuffer(PlayoutConfig(min_delay_ms=60))
    for n in (0, 1, 3):
        push(buffer, n, n * INTERVAL_MS + n % 2, n, n * INTERVAL_MS / 1000)
    frames = []
    for tick in range(145):
        frame = buffer.pull(tick / 1000)
        if frame is not None:
            frames.append(frame)
    assert [frame.origin for frame in frames] == [Origin.SENT, Origin.SENT, Origin.INTERPOLATED]
    assert push(buffer, 2, 2 * INTERVAL_MS + 1, 2, 0.146) is Arrival.LATE


def test_without_concealment_nothing_is_drawn_and_no_delay_added() -> None:
    buffer: PlayoutBuffer[int] = PlayoutBuffer(
        PlayoutConfig(conceal_gap_ms=0, concealment=ConcealmentConfig(horizon_ms=0))
    )
    shown = play(buffer, [sent(n) for n in range(300) if n % 5], until=13)
    assert all(frame.origin is Origin.SENT for _, frame in shown.frames)
    assert buffer.delay_ms < 1


def test_the_delay_shrinks_again_when_the_line_calms_down() -> None:
    buffer: PlayoutBuffer[int] = PlayoutBuffer(PlayoutConfig())
    generator = np.random.default_rng(7)
    arrivals = [sent(n, 20 + (generator.uniform(0, 100) if n < 200 else 0)) for n in range(800)]
    play(buffer, arrivals[:200], until=8.5)
    rough_ms = buffer.delay_ms
    assert rough_ms > 60
    play(buffer, arrivals[200:], until=33)
    assert buffer.delay_ms < 10


def test_the_delay_is_bounded() -> None:
    buffer: PlayoutBuffer[int] = PlayoutBuffer(PlayoutConfig(max_delay_ms=120))
    generator = np.random.default_rng(8)
    play(buffer, [sent(n, generator.uniform(0, 900)) for n in range(300)], until=14)
    assert buffer.delay_ms <= 120


def test_a_slow_display_drops_frames_rather_than_falling_behind() -> None:
    buffer: PlayoutBuffer[int] = PlayoutBuffer(PlayoutConfig())
    pending = [sent(n) for n in range(500)]
    behind = []
    for tick in range(200):
        now = tick * 0.1
        while pending and pending[0][0] <= now:
            arrival, n = pending.pop(0)
            push(buffer, n & 0xFF, n * INTERVAL_MS & 0xFFFF, n, arrival)
        frame = buffer.pull(now)
        if frame is not None:
            behind.append(now * 1000 - frame.capture_ms)
    assert len(behind) > 190
    assert max(behind) < 20 + 100 + 50
    assert buffer.skipped > 250
    assert buffer.waiting < 5


def test_memory_is_bounded_when_nobody_shows_anything() -> None:
    buffer: PlayoutBuffer[int] = PlayoutBuffer(PlayoutConfig())
    for n in range(3000):
        push(buffer, n & 0xFF, n * INTERVAL_MS & 0xFFFF, n, n * INTERVAL_MS / 1000)
    assert buffer.waiting <= 64
    frame = buffer.pull(3000 * INTERVAL_MS / 1000)
    assert frame is not None
    assert frame.earlier[-1].payload >= 2998, "the picture is the present one after a pause"


def test_a_sender_that_begins_anew_is_shown_soon() -> None:
    buffer: PlayoutBuffer[int] = PlayoutBuffer(PlayoutConfig())
    shown = play(buffer, [sent(n) for n in range(100)], until=4.1)
    assert shown.real[-1] == 99
    times = []
    for n in range(30):
        now = 5 + n * INTERVAL_MS / 1000
        push(buffer, n, (33_000 + n * INTERVAL_MS) & 0xFFFF, 1000 + n, now)
        frame = buffer.pull(now)
        if frame is not None:
            times.append(frame.capture_ms)
    assert len(times) >= 25
    assert times == sorted(times)
    assert times[0] > shown.capture_ms[-1]


def test_next_due_says_when_to_look_again() -> None:
    buffer: PlayoutBuffer[int] = PlayoutBuffer(PlayoutConfig(min_delay_ms=50))
    assert buffer.next_due() is None
    push(buffer, 0, 0, 0, 10.0)
    due = buffer.next_due()
    assert due is not None
    assert due == pytest.approx(10.05)
    assert buffer.pull(10.04) is None
    assert buffer.pull(due) is not None
    assert buffer.next_due() is None


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_arrives_is_shown_at_most_once_and_in_order(data: st.DataObject) -> None:
    buffer: PlayoutBuffer[int] = PlayoutBuffer(PlayoutConfig())
    packets = data.draw(
        st.lists(st.tuples(st.integers(0, 255), st.integers(0, 0xFFFF), st.floats(0, 0.2)), min_size=1, max_size=80)
    )
    now, shown = 0.0, []
    for number, (sequence, time_ms, step) in enumerate(packets):
        now += step
        push(buffer, sequence, time_ms, number, now)
        frame = buffer.pull(now)
        if frame is not None:
            shown.append(frame)
    times = [frame.capture_ms for frame in shown]
    assert times == sorted(set(times))
    real = [frame.earlier[-1].payload for frame in shown if frame.origin is Origin.SENT]
    assert len(real) == len(set(real))


@pytest.mark.parametrize(
    "bad", [{"min_delay_ms": 300.0}, {"conceal_loss": -1.0}, {"catch_up_ms": -1.0}, {"display_interval_ms": 1.0}]
)
def test_a_wrong_setting_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        PlayoutConfig(**bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("display_ms", [None, 20.0])
def test_next_due_is_exact_whatever_is_to_be_drawn(display_ms: float | None) -> None:
    buffer: PlayoutBuffer[int] = PlayoutBuffer(PlayoutConfig(display_interval_ms=display_ms))
    generator = np.random.default_rng(21)
    arrivals = [sent(n, 20 + generator.uniform(0, 60)) for n in range(300) if generator.random() > 0.2]
    seen = dict.fromkeys(Origin, 0)
    now = 0.0
    for arrival, n in sorted(arrivals):
        while (due := buffer.next_due()) is not None and due < arrival:
            if due > now + 0.002:
                assert buffer.pull(due - 0.002) is None, "not before"
            now = max(due, now)
            frame = buffer.pull(now)
            assert frame is not None, "but then"
            seen[frame.origin] += 1
        push(buffer, n, n * INTERVAL_MS, n, arrival)
        now = arrival
    assert min(seen.values()) >= 3, seen


def test_a_repeat_stands_in_for_a_lost_frame_and_gives_way_to_the_frame_itself() -> None:
    buffer: PlayoutBuffer[str] = PlayoutBuffer(PlayoutConfig(min_delay_ms=100))

    def message(*frames: tuple[int, str], repeats: int = 0) -> list[Arrival]:
        incoming = [Incoming(n, n * INTERVAL_MS, payload, at < repeats) for at, (n, payload) in enumerate(frames)]
        return [arrival for _, arrival in buffer.push(incoming, frames[-1][0] * INTERVAL_MS / 1000)]

    assert message((0, "0")) == [Arrival.ACCEPTED]
    assert message((0, "0 again"), (1, "1"), repeats=1) == [Arrival.REPEAT, Arrival.ACCEPTED]
    assert message((2, "2 again"), (3, "3"), repeats=1) == [Arrival.ACCEPTED, Arrival.ACCEPTED]
    assert message((2, "2 again"), (3, "3"), repeats=1) == [Arrival.REPEAT, Arrival.DUPLICATE]
    assert message((4, "4 again"), (5, "5"), repeats=1) == [Arrival.ACCEPTED, Arrival.ACCEPTED]
    assert message((4, "4")) == [Arrival.ACCEPTED]
    shown = []
    while (due := buffer.next_due()) is not None:
        frame = buffer.pull(due)
        assert frame is not None
        if frame.origin is Origin.SENT:
            shown.append(frame.earlier[-1].payload)
    assert shown == ["0", "1", "2 again", "3", "4", "5"]
    assert message((2, "2")) == [Arrival.LATE]
    assert buffer.loss == 0, "now all of them came"


def test_the_frames_of_a_message_are_spread_in_time_again() -> None:
    buffer: PlayoutBuffer[int] = PlayoutBuffer(PlayoutConfig())
    shown: list[tuple[float, int]] = []
    for message in range(100):
        arrival = (message * 4 + 3) * INTERVAL_MS / 1000 + 0.03
        while (due := buffer.next_due()) is not None and due < arrival:
            frame = buffer.pull(due)
            assert frame is not None
            shown.append((due, frame.capture_ms))
        numbers = range(message * 4, message * 4 + 4)
        buffer.push([Incoming(n & 0xFF, n * INTERVAL_MS, n) for n in numbers], arrival)
    assert [ms for _, ms in shown] == [n * INTERVAL_MS for n in range(len(shown))]
    assert np.diff([now for now, _ in shown]) == pytest.approx(INTERVAL_MS / 1000)
    assert buffer.delay_ms == pytest.approx(3 * INTERVAL_MS), "a message's span, and nothing else"
