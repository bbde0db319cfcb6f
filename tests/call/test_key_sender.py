"""The key channel's own acknowledgement, on emulated lines with a simulated clock."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field

import pytest

from adasr_core.bitstream.errors import BitstreamError
from call.emulated_line import EmulatedLine, LineConfig, parse_line
from call.key_receiver import KeyReceiver
from call.key_sender import KeySender, KeySenderConfig, TransferResult
from call.key_transfer import KeyAck, KeyChunk, KeyRefusal, unpack_key_message

_HEADERS = 101


@dataclass
class Course:
    """What happened in a simulated call."""

    delivered: list[tuple[float, bytes]] = field(default_factory=list)
    results: list[TransferResult] = field(default_factory=list)
    sent: list[tuple[float, int]] = field(default_factory=list)


def _simulate(
    sender: KeySender, offers: list[tuple[float, bytes]], line: LineConfig, *, until: float, most: int = 4
) -> Course:
    """Run a sender and a receiver over the line, the same in both directions, until a time in seconds."""
    receiver = KeyReceiver()
    course = Course()
    forward, backward = EmulatedLine(line), EmulatedLine(line)
    for each in (forward, backward):
        each.call_began()
        each.media_began(0.0)
    events: list[tuple[float, int, str, bytes]] = []
    count = 0

    def schedule(when: float, kind: str, data: bytes) -> None:
        nonlocal count
        count += 1
        heapq.heappush(events, (when, count, kind, data))

    for when, data in offers:
        schedule(when, "offer", data)
    now = 0.0
    while now <= until:
        for message in sender.datagrams_to_send(now, most):
            course.sent.append((now, len(message)))
            for delay in forward.delays(len(message) + _HEADERS, now):
                schedule(now + delay, "chunk", message)
        for message in receiver.datagrams_to_send(now):
            for delay in backward.delays(len(message) + _HEADERS, now):
                schedule(now + delay, "answer", message)
        course.results += sender.take_results()
        times = [sender.next_deadline(now), receiver.next_deadline(), events[0][0] if events else None]
        due = [when for when in times if when is not None]
        if not due:
            break
        now = max(min(due), now + 1e-4)
        while events and events[0][0] <= now:
            _, _, kind, data = heapq.heappop(events)
            if kind == "offer":
                sender.offer(data)
                continue
            content = unpack_key_message(data)
            if isinstance(content, KeyChunk):
                whole = receiver.receive(content, now)
                if whole is not None:
                    course.delivered.append((now, whole))
            elif content is not None:
                sender.acknowledged(content, now)
    course.results += sender.take_results()
    return course


def _payload(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


LINES = [
    "delay_ms=25",
    "delay_ms=25,loss=0.05",
    "delay_ms=25,loss=0.1,seed=2",
    "delay_ms=25,loss=0.2,seed=3",
    "delay_ms=50,loss=0.2,seed=4",
    "delay_ms=25,loss=0.1,burst=8",
    "delay_ms=25,reorder=0.1",
    "delay_ms=25,duplicate=0.2",
    "delay_ms=25,jitter_ms=50",
    "delay_ms=150,loss=0.1,burst=8,jitter_ms=50,reorder=0.1,duplicate=0.1",
]


@pytest.mark.parametrize("text", LINES)
def test_transfers_arrive_once_in_order_and_unchanged(text: str) -> None:
    datas = [_payload(size, size) for size in (700, 40_000, 1, 986, 987, 4400, 12_000)]
    sender = KeySender(KeySenderConfig(), 0.0)
    course = _simulate(sender, [(0.1, data) for data in datas], parse_line(text), until=60.0)
    assert [data for _, data in course.delivered] == datas
    assert course.results == [TransferResult.DELIVERED] * len(datas)
    assert sender.idle


@pytest.mark.parametrize(
    ("text", "rate", "at_most_s"),
    [
        ("delay_ms=25", 110_000, 0.5),
        ("delay_ms=25,loss=0.05", 110_000, 0.8),
        ("delay_ms=25,loss=0.2", 110_000, 1.25),
        ("delay_ms=50,loss=0.2", 110_000, 1.6),
    ],
)
def test_40_kb_arrive_in_time(text: str, rate: float, at_most_s: float) -> None:
    durations = []
    for seed in range(8):
        sender = KeySender(KeySenderConfig(bytes_per_s=rate), 0.0)
        line = parse_line(f"{text},seed={seed}")
        course = _simulate(sender, [(0.0, _payload(40_000))], line, until=20.0)
        durations.append(course.delivered[0][0])
    assert sorted(durations)[4] < at_most_s


def test_a_small_reference_leaves_at_once_in_one_datagram() -> None:
    sender = KeySender(KeySenderConfig(bytes_per_s=1000), 5.0)
    sender.offer(_payload(700))
    assert sender.next_deadline(5.0) == 5.0
    assert [len(message) for message in sender.datagrams_to_send(5.0, 4)] == [703]
    assert sender.datagrams_to_send(5.0, 4) == []


def test_the_rate_is_kept_and_can_be_changed_on_the_way() -> None:
    sender = KeySender(KeySenderConfig(bytes_per_s=20_000), 0.0)
    course = _simulate(sender, [(0.0, _payload(100_000))], parse_line("delay_ms=25"), until=2.0)
    first = sum(size for _, size in course.sent)
    assert first == pytest.approx(40_000, rel=0.06)
    sender.set_rate(5_000, 2.0)
    sent = 0
    now = 2.0
    while now < 6.0:
        sent += sum(len(message) for message in sender.datagrams_to_send(now, 4))
        now += 0.001
    assert sent == pytest.approx(20_000, rel=0.12)
    with pytest.raises(ValueError, match="rate"):
        sender.set_rate(0, 6.0)


def test_late_motion_halves_the_rate_and_timely_motion_wins_it_back() -> None:
    sender = KeySender(KeySenderConfig(bytes_per_s=32_000), 0.0)
    for tick in range(1, 11):
        sender.motion_delay(200.0, tick * 0.1)
    assert sender.bytes_per_s == pytest.approx(4_000, rel=0.51)
    low = sender.bytes_per_s
    sender.motion_delay(40.0, 5.0)  # neither late nor easy: stays
    assert sender.bytes_per_s == low
    for tick in range(60, 400):
        sender.motion_delay(5.0, tick * 0.1)
    assert sender.bytes_per_s == 32_000
    for tick in range(400, 800):
        sender.motion_delay(500.0, tick * 0.1)
    assert sender.bytes_per_s == 2_000


def test_on_a_slow_line_chunks_are_short_but_those_of_the_first_transfer() -> None:
    sender = KeySender(KeySenderConfig(bytes_per_s=5_000), 0.0)
    offers = [(0.0, _payload(4_000)), (0.0, _payload(4_000, 2))]
    course = _simulate(sender, offers, parse_line("delay_ms=25,rate_kbps=40"), until=20.0)
    assert [len(data) for _, data in course.delivered] == [4_000, 4_000]
    first = [size for when, size in course.sent if when < course.delivered[0][0]]
    assert min(first) > 800
    assert max(size for when, size in course.sent if when > course.delivered[0][0] + 0.05) <= 420


def test_the_first_transfer_comes_once_in_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers wrap after 65,536 transfers; the one that has number 0 again is no first one."""
    sender = KeySender(KeySenderConfig(bytes_per_s=2_000), 0.0)
    monkeypatch.setattr(sender, "_transfer", 65_535)
    sender.offer(_payload(4_000))
    (message,) = sender.datagrams_to_send(0.0, 1)
    assert message[1:3] == b"\0\0"
    assert len(message) <= 420


def test_it_survives_an_outage_and_goes_on_soon_after_its_end() -> None:
    sender = KeySender(KeySenderConfig(), 0.0)
    line = parse_line("delay_ms=25,outage_at_s=0.2,outage_s=5")
    course = _simulate(sender, [(0.0, _payload(8_000)), (0.19, _payload(9_000, 2))], line, until=20.0)
    assert [len(data) for _, data in course.delivered] == [8_000, 9_000]
    assert course.delivered[1][0] < 5.2 + 0.5
    outage = [when for when, _ in course.sent if 0.5 < when < 5.2]
    assert len(outage) < 150  # far below the 300 that the rate would allow


def test_it_gives_up_in_the_end_and_says_so() -> None:
    sender = KeySender(KeySenderConfig(stall_s=3.0), 0.0)
    line = parse_line("loss=0.9,burst=100,seed=1,outage_s=1000")
    course = _simulate(sender, [(0.0, b"first"), (0.0, b"second")], line, until=20.0)
    assert course.delivered == []
    assert course.results == [TransferResult.GIVEN_UP] * 2
    assert sender.idle


def test_a_transfer_that_creeps_is_given_up_too() -> None:
    sender = KeySender(KeySenderConfig(bytes_per_s=500, total_s=5.0), 0.0)
    course = _simulate(sender, [(0.0, _payload(50_000)), (1.0, b"next")], parse_line("delay_ms=10"), until=30.0)
    assert course.results == [TransferResult.GIVEN_UP, TransferResult.DELIVERED]
    assert [data for _, data in course.delivered] == [b"next"]


def test_the_queue_is_bounded_and_forgets_the_oldest() -> None:
    sender = KeySender(KeySenderConfig(waiting=3), 0.0)
    for index in range(10):
        sender.offer(bytes([index]))
    course = _simulate(sender, [], parse_line("delay_ms=5"), until=5.0)
    assert [data[0] for _, data in course.delivered] == [7, 8, 9]
    assert course.results.count(TransferResult.FORGOTTEN) == 7


def test_a_refused_transfer_is_reported_and_the_next_one_goes() -> None:
    sender = KeySender(KeySenderConfig(), 0.0)
    sender.offer(b"one")
    sender.offer(b"two")
    sender.datagrams_to_send(0.0, 4)
    sender.acknowledged(KeyRefusal(0), 0.1)
    assert sender.take_results() == [TransferResult.REFUSED]
    assert [message[-3:] for message in sender.datagrams_to_send(0.2, 4)] == [b"two"]


def test_answers_about_anything_else_change_nothing() -> None:
    sender = KeySender(KeySenderConfig(), 0.0)
    sender.acknowledged(KeyAck(0, 1), 0.0)
    sender.offer(_payload(4_000))
    sender.datagrams_to_send(0.0, 1)
    sender.acknowledged(KeyAck(5, 9), 0.1)
    sender.acknowledged(KeyAck(0, 65535, frozenset(range(70_000, 70_100))), 0.1)  # claims chunks that never left
    assert sender.take_results() == []
    assert not sender.idle


@pytest.mark.parametrize("name", ["bytes_per_s", "waiting", "stall_s", "total_s"])
def test_a_config_of_zero_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        KeySenderConfig(**{name: 0})


def test_what_is_too_long_is_refused_where_it_is_offered() -> None:
    with pytest.raises(ValueError, match="lower the picture quality"):
        KeySender(KeySenderConfig(), 0.0).offer(bytes(300_001))


def test_hostile_chunks_never_break_the_receiver() -> None:
    chance = random.Random(4)
    receiver = KeyReceiver()
    for step in range(5_000):
        data = bytearray(_payload(chance.randrange(1, 60), step))
        data[0] = chance.choice((0, 1, 1, 1, 2, 3, 4))
        try:
            message = unpack_key_message(bytes(data))
            if isinstance(message, KeyChunk):
                receiver.receive(message, step * 0.001)
        except BitstreamError:
            continue
    assert receiver.held_bytes <= 1000


def test_late_answers_of_a_slow_line_are_not_taken_for_loss() -> None:
    sender = KeySender(KeySenderConfig(bytes_per_s=8_000), 0.0)
    course = _simulate(sender, [(0.0, _payload(4_400))], parse_line("rate_kbps=14,delay_ms=30"), until=20.0)
    assert [len(data) for _, data in course.delivered] == [4_400]
    assert course.delivered[0][0] < 4.5, "3.2 s at the line's rate"
    chunks = 4_400 / 400
    assert len(course.sent) <= 2 * chunks, "now and then one, to find out"
