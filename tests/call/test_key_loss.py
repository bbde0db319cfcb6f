"""When the key channel repeats a chunk, when it asks, and how much it lets be on its way: with answers made by hand."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from call.emulated_line import EmulatedLine, parse_line
from call.key_receiver import ACK_DELAY_S, KeyReceiver
from call.key_sender import KeySender, KeySenderConfig, TransferResult
from call.key_transfer import KeyAck, KeyChunk, unpack_key_message
from call.key_window import KeyWindow
from call.round_trip import RoundTrip

_STEP_S = 0.001
_HEADERS = 85


def _sender(transfer_bytes: int, *, ping_s: float = 0.1, bytes_per_s: float = 1e6) -> KeySender:
    sender = KeySender(KeySenderConfig(bytes_per_s=bytes_per_s), 0.0)
    sender.round_trip(ping_s)
    sender.offer(bytes(index % 251 for index in range(transfer_bytes)))
    return sender


def _chunks(messages: list[bytes]) -> list[int]:
    """Indices of the chunks that leave."""
    indices = []
    for message in messages:
        chunk = unpack_key_message(message)
        assert isinstance(chunk, KeyChunk)
        indices.append(chunk.index)
    return indices


def _leaving(sender: KeySender, start: float, end: float) -> list[tuple[float, int]]:
    """What leaves from one time to another while nothing is answered: (when, which chunk)."""
    left = []
    for step in range(round((end - start) / _STEP_S) + 1):
        now = start + step * _STEP_S
        left += [(now, index) for index in _chunks(sender.datagrams_to_send(now, 4))]
    return left


def test_three_later_answers_make_a_chunk_lost_at_once() -> None:
    sender = _sender(6_000)
    assert _chunks(sender.datagrams_to_send(0.0, 20)) == [0, 1, 2, 3, 4, 5, 6]
    sender.acknowledged(KeyAck(0, 0, frozenset({1, 2})), 0.11)
    assert sender.datagrams_to_send(0.11, 20) == [], "two may be only reordered"
    sender.acknowledged(KeyAck(0, 0, frozenset({1, 2, 3})), 0.12)
    assert _chunks(sender.datagrams_to_send(0.12, 20)) == [0]


def test_one_later_answer_makes_a_chunk_lost_after_nine_eighths_of_a_round_trip() -> None:
    sender = _sender(2_900)
    assert _chunks(sender.datagrams_to_send(0.0, 20)) == [0, 1, 2]
    sender.acknowledged(KeyAck(0, 0, frozenset({1})), 0.12)
    lost_at = 9 / 8 * 0.12 + ACK_DELAY_S
    assert sender.next_deadline(0.12) == pytest.approx(lost_at)
    left = _leaving(sender, 0.121, 0.25)
    assert [index for _, index in left] == [0], "nothing that left after chunk 2 is answered"
    assert left[0][0] == pytest.approx(lost_at, abs=2 * _STEP_S)


def test_a_lost_tail_is_asked_for_after_the_timeout_and_more_and_more_seldom() -> None:
    sender = _sender(2_900, ping_s=0.02)
    sender.datagrams_to_send(0.0, 20)
    sender.acknowledged(KeyAck(0, 2), 0.05)
    # The first sample of 50 ms: 50 + 4 x 25, and what an answer may wait for others.
    timeout = 0.05 + 4 * 0.025 + ACK_DELAY_S
    left = _leaving(sender, 0.051, 0.9)
    assert {index for _, index in left} == {2}
    waits = [after - before for (before, _), (after, _) in itertools.pairwise(left)]
    assert left[0][0] == pytest.approx(0.05 + timeout, abs=2 * _STEP_S)
    assert waits[0] == pytest.approx(0.3, abs=2 * _STEP_S), "twice as long, but an outage's end is found in 300 ms"


def test_on_a_slow_line_asking_takes_a_quarter_of_it_at_most() -> None:
    sender = _sender(2_900, ping_s=0.3)
    sender.datagrams_to_send(0.0, 20)
    sender.acknowledged(KeyAck(0, 1), 0.8)
    sender.acknowledged(KeyAck(0, 2), 1.6)  # 1,000 bytes in 0.8 s
    asked = _leaving(sender, 1.6, 21.0)
    assert 1 <= len(asked) <= 0.25 * 1_250 * 20 / 980 + 1


def test_an_answer_to_one_of_two_sendings_is_no_sample() -> None:
    trip = RoundTrip()
    trip.seed(0.1)
    before = trip.timeout_s
    sender = _sender(900, ping_s=0.1)
    sender.datagrams_to_send(0.0, 20)
    ((asked, _),) = _leaving(sender, 0.01, before + 0.01)
    sender.acknowledged(KeyAck(0, 1), asked + 0.2)
    assert sender.take_results() == [TransferResult.DELIVERED]
    sender.offer(bytes(900))
    sender.datagrams_to_send(1.0, 20)
    assert sender.next_deadline(1.0) == pytest.approx(1.0 + before), "still what the ping says"


def test_lines_that_reorder_much_are_given_more_time() -> None:
    """A chunk that was repeated in vain shows that three later ones prove nothing here."""
    sender = _sender(20_000)
    first = _chunks(sender.datagrams_to_send(0.0, 9))
    sender.acknowledged(KeyAck(0, 0, frozenset({1, 2, 3})), 0.1)
    assert 0 in _chunks(sender.datagrams_to_send(0.1, 1))
    sender.acknowledged(KeyAck(0, 4), 0.11)  # sooner than the repeat can have been answered
    sender.acknowledged(KeyAck(0, 4, frozenset({5, 6, 7})), 0.12)
    assert 4 not in _chunks(sender.datagrams_to_send(0.12, 20))
    assert len(first) == 9


@pytest.mark.parametrize("kbps", [8, 12, 16, 20])
def test_chunks_that_stand_in_a_queue_are_not_repeated(kbps: int) -> None:
    """The first picture in one go, as the line's rate is not known, then an anchor every 0.4 s."""
    line = EmulatedLine(parse_line(f"rate_kbps={kbps},delay_ms=25"))
    line.call_began()
    sender, receiver = _sender(2_200, ping_s=0.05 + 8 * 480 / (1000 * kbps), bytes_per_s=6_800), KeyReceiver()
    flying: list[tuple[float, bytes]] = []
    answers: list[tuple[float, bytes]] = []
    sent: Counter[bytes] = Counter()
    for step in range(8_000):
        now = step * _STEP_S
        if step >= 4_000 and step % 400 == 0:
            sender.set_rate(400.0, now)
            sender.offer(bytes(160))
        for message in sender.datagrams_to_send(now, 4):
            sent[message] += 1
            flying += [(now + delay, message) for delay in line.delays(len(message) + _HEADERS, now)]
        for message in [one for when, one in flying if when <= now]:
            chunk = unpack_key_message(message)
            assert isinstance(chunk, KeyChunk)
            receiver.receive(chunk, now)
        flying = [one for one in flying if one[0] > now]
        answers += [(now + 0.025 + 8 * 101 / (1000 * kbps), one) for one in receiver.datagrams_to_send(now)]
        for message in [one for when, one in answers if when <= now]:
            answer = unpack_key_message(message)
            assert isinstance(answer, KeyAck)
            sender.acknowledged(answer, now)
        answers = [one for one in answers if one[0] > now]
    assert len(sent) >= 12
    assert max(sent.values()) == 1


def test_round_trips_are_smoothed_as_rfc_6298_says() -> None:
    trip = RoundTrip()
    trip.seed(0.2)
    assert not trip.known
    assert trip.timeout_s == pytest.approx(0.2 + 4 * 0.1 + ACK_DELAY_S)
    trip.add(0.1)
    assert (trip.smoothed_s, trip.least_s, trip.latest_s) == (0.1, 0.1, 0.1)
    trip.add(0.18)
    assert trip.smoothed_s == pytest.approx(0.11)
    assert trip.timeout_s == pytest.approx(0.11 + 4 * (0.05 + 0.03 / 4) + ACK_DELAY_S)
    assert trip.loss_delay_s == pytest.approx(9 / 8 * 0.18 + ACK_DELAY_S)


def test_the_window_grows_with_answers_and_falls_to_what_the_line_delivers() -> None:
    window, trip = KeyWindow(), RoundTrip()
    began = window.limit_bytes
    mark = window.on_sent(0, 0.0)
    window.on_acknowledged(1_000, 0.1)
    trip.add(0.1)
    window.on_round_trip(mark, 1_000, trip, 0.1)
    assert window.limit_bytes == began + 1_000
    assert window.delivered_bytes_per_s == pytest.approx(10_000)
    mark = window.on_sent(5_000, 0.1)
    window.on_acknowledged(2_000, 1.1)
    trip.add(1.0)
    window.on_round_trip(mark, 2_000, trip, 1.1)
    assert window.delivered_bytes_per_s == pytest.approx(2_000)
    assert window.limit_bytes == 1_000, "2,000 bytes a second fill 0.2 s with less than one chunk"


def test_no_more_is_on_its_way_than_the_window_holds() -> None:
    sender = _sender(60_000, bytes_per_s=1e9)
    left = sum(len(sender.datagrams_to_send(0.0, 4)) for _ in range(20))
    assert left == 10, "as RFC 6928 begins"
