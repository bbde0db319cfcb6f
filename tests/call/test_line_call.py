"""Real calls over emulated lines: motion goes on, references arrive, outages end."""

import asyncio
import os
import time

import pytest

from call.control import ReferenceAck
from call.liveness import PathQuality
from tests.call.line_call import FEEDBACK, LineEnd, LoopLag, line_call, stream


@pytest.mark.parametrize(
    ("line", "least"),
    [
        ("delay_ms=25,loss=0.05", 0.90),
        ("delay_ms=25,loss=0.2,seed=4", 0.70),
        ("delay_ms=25,loss=0.1,burst=8,seed=2", 0.70),
        ("delay_ms=25,reorder=0.1", 1.0),
        ("delay_ms=25,duplicate=0.3", 1.0),
        ("delay_ms=25,jitter_ms=50", 1.0),
    ],
)
async def test_motion_and_references_pass_a_bad_line(line: str, least: float) -> None:
    reference = os.urandom(6_000)
    async with line_call(line, back=line) as (first, second):
        first.transport.send_reference(reference)
        await stream(first, 75, interval_s=0.02)
        await asyncio.sleep(0.5)
        statistics = first.transport.statistics()
    numbers = second.motion_numbers()
    assert len(numbers) == len(set(numbers))  # a duplicated datagram is one message
    assert len(numbers) >= least * 75
    assert [data for _, data in second.references] == [reference]
    assert statistics.motion_dropped == 0
    assert statistics.malformed == 0


class _KeyLosingLine:
    """Loses every datagram with a chunk of a reference in it."""

    def __init__(self) -> None:
        self.lost = 0

    def delays(self, wire_bytes: int, now: float) -> tuple[float, ...]:
        self.lost += wire_bytes > 700
        return () if wire_bytes > 700 else (0.02,)

    def call_began(self) -> None:
        pass

    def media_began(self, now: float) -> None:
        pass


async def test_loss_of_all_reference_chunks_never_stops_or_delays_motion() -> None:
    async with line_call() as (first, second):
        line = _KeyLosingLine()
        _put_on_line(first, line)
        lag = LoopLag()
        first.transport.send_reference(os.urandom(40_000))
        sent = await stream(first, 100, interval_s=0.02, size=30)
        await asyncio.sleep(0.3)
        most_lag = lag.stop()
        dropped = first.transport.statistics().motion_dropped
    assert line.lost > 10
    assert second.references == []
    assert dropped == 0
    # Motion that shared its datagram with a chunk went down with it; all the rest arrived, and in time.
    arrived = dict(zip(second.motion_numbers(), [when for when, _ in second.motion], strict=True))
    assert len(arrived) >= 100 - line.lost
    assert len(arrived) >= 50
    late = [when - sent[number] - 0.02 for number, when in arrived.items()]
    assert max(late) < 0.04 + 2 * most_lag


def _put_on_line(end: LineEnd, line: _KeyLosingLine) -> None:
    vars(end.transport._guard)["line"] = line


async def test_a_call_recovers_within_500_ms_of_an_outage_of_5_s() -> None:
    line = "delay_ms=25,outage_at_s=1,outage_s=5"
    async with line_call(line, back=line) as (first, second):
        begin = time.monotonic()
        lag = LoopLag()
        sending = asyncio.create_task(stream(first, 180))
        await asyncio.sleep(0.9)
        first.transport.send_reference(os.urandom(5_000))
        await asyncio.sleep(1.5)
        second.transport.send_control(ReferenceAck(1, 2))  # reliable, sent into the outage
        second.transport.send_feedback(FEEDBACK)
        for _ in range(45):
            await asyncio.sleep(0.1)
            second.transport.send_feedback(FEEDBACK)
        await sending
        allowed = 6.5 + 3 * lag.stop()
        paths = {statistics.path for statistics in second.statistics}
        last = second.transport.statistics().path
    again = min(when - begin for when, _ in second.motion if when - begin > 5.5)
    assert again < allowed
    assert second.references[0][0] - begin < allowed
    assert min(when - begin for when, _ in first.feedback if when - begin > 5.5) < allowed
    assert [message for _, message in first.controls] == [ReferenceAck(1, 2)]
    assert first.controls[0][0] - begin < allowed
    assert {PathQuality.GOOD, PathQuality.POOR, PathQuality.RECONNECTING} <= paths
    assert last is PathQuality.GOOD


async def test_a_small_reference_shares_the_datagram_of_motion_at_a_low_rate() -> None:
    sizes = []
    async with line_call() as (first, second):
        first.transport.set_key_rate(2_000)
        await stream(first, 10, size=20)

        class Recorder(_KeyLosingLine):
            def delays(self, wire_bytes: int, now: float) -> tuple[float, ...]:
                sizes.append(wire_bytes)
                return (0.0,)

        _put_on_line(first, Recorder())
        first.transport.send_reference(os.urandom(600))
        await stream(first, 5, size=20)
        await asyncio.sleep(0.2)
        assert len(second.references) == 1
        assert len(second.motion) == 15
    # 28 IP, UDP + 29 DTLS + 12 SCTP + (16 + 20) motion + (16 + 603 padded to 604) in one piece
    assert any(size >= 28 + 29 + 12 + 36 + 620 for size in sizes)
    assert sum(size > 500 for size in sizes) == 1


async def test_feedback_rides_with_motion_and_the_newest_counts() -> None:
    async with line_call() as (first, second):
        await asyncio.sleep(0.3)
        await stream(first, 10)
        before = first.transport.statistics().now.count.sent_datagrams
        for number in range(40):
            first.transport.send_feedback(FEEDBACK[:-1] + bytes([number]))
            first.transport.send_feedback(FEEDBACK[:-1] + bytes([number + 100]))
            await stream(first, 2)
        after = first.transport.statistics().now.count.sent_datagrams
        await asyncio.sleep(0.2)
    assert after - before < 80 + 40  # 160 without company; fewer than half when the machine is busy
    assert len(second.motion) == 90
    last_bytes = [data[-1] for _, data in second.feedback]
    assert last_bytes.count(139) == 1
    assert sum(value >= 100 for value in last_bytes) == 40


async def test_motion_is_dropped_when_the_line_below_is_stuck() -> None:
    async with line_call() as (first, _):
        await asyncio.sleep(0.3)
        sctp = first.transport._connection.sctp
        assert sctp is not None
        sctp._flight_size += 1_000_000  # as if nothing came back any more
        await stream(first, 10)
        statistics = first.transport.statistics()
        sctp._flight_size -= 1_000_000
    assert statistics.motion_dropped >= 7
