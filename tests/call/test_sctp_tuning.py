import asyncio
import itertools
import logging

import pytest
from aiortc import RTCPeerConnection
from aiortc.rtcsctptransport import DataChunk
from hypothesis import given
from hypothesis import strategies as st

from call import sctp_tuning
from call.control import ReferenceAck
from call.sctp_guard import guard_sctp
from call.sctp_tuning import SctpTuning, TunedSctpTransport, tune_sctp
from tests.call.line_call import FEEDBACK, LineEnd, line_call, stream


def _wire(end: LineEnd) -> tuple[int, int]:
    count = end.transport.statistics().now.count
    return count.sent_bytes, count.sent_datagrams


async def _measure(tuned: bool, *, duplex: bool) -> tuple[float, float, float, float]:
    """Bytes and datagrams a message, forward and back, of 40 messages of 12 bytes at 25 a second."""
    async with line_call(tuned=tuned) as (first, second):
        await asyncio.sleep(0.5)  # the first pings measure the clocks
        forward, back = _wire(first), _wire(second)
        streams = [stream(first, 40)] + ([stream(second, 40)] if duplex else [])
        await asyncio.gather(*streams)
        ends = _wire(first), _wire(second)
        await asyncio.sleep(0.1)
        assert len(second.motion) == 40
    sums = [(after - before) / 40 for before, after in zip((*forward, *back), (*ends[0], *ends[1]), strict=True)]
    return sums[0], sums[1], sums[2], sums[3]


async def test_plain_aiortc_costs_what_was_measured() -> None:
    out_bytes, _, back_bytes, back_datagrams = await _measure(False, duplex=False)
    assert out_bytes == pytest.approx(28 + 37 + 12 + 16 + 12, rel=0.06)
    assert back_bytes == pytest.approx(93, rel=0.1)
    assert back_datagrams == pytest.approx(1.0, abs=0.1)


async def test_one_way_acknowledgements_are_few() -> None:
    out_bytes, out_datagrams, back_bytes, _ = await _measure(True, duplex=False)
    assert out_bytes == pytest.approx(28 + 29 + 12 + 16 + 12, rel=0.06)
    assert out_datagrams == pytest.approx(1.0, abs=0.1)
    assert back_bytes < 93 / 5


async def test_both_ways_acknowledgements_ride_with_the_data() -> None:
    out_bytes, out_datagrams, back_bytes, back_datagrams = await _measure(True, duplex=True)
    assert max(out_datagrams, back_datagrams) <= 1.15
    assert max(out_bytes, back_bytes) < 97 + 16


async def test_a_tuned_end_and_a_plain_one_understand_each_other() -> None:
    async with line_call(tuned=False) as (first, second):
        assert not first.transport._channels.tuned
    first = LineEnd(True, None, True)
    second = LineEnd(False, None, False)
    await _connect(first, second)
    assert first.transport._channels.tuned
    first.transport.send_reference(bytes(20_000))
    second.transport.send_reference(bytes(20_000))
    await asyncio.gather(stream(first, 25), stream(second, 25))
    await asyncio.sleep(0.3)
    assert [len(end.motion) for end in (first, second)] == [25, 25]
    assert [len(data) for end in (first, second) for _, data in end.references] == [20_000, 20_000]
    await first.transport.end("")
    await first.transport.close()
    await second.transport.close()


async def _connect(first: LineEnd, second: LineEnd) -> None:
    from call.messages import Accepted, LocalInvitation

    await first.transport.start()
    await second.transport.start()
    await second.transport.accept((await first.next(LocalInvitation)).text)
    await first.transport.accept((await second.next(LocalInvitation)).text)
    await first.next(Accepted)
    await second.next(Accepted)


async def test_control_messages_arrive_in_order_on_a_bad_line() -> None:
    line = "delay_ms=20,loss=0.2,reorder=0.1,duplicate=0.1,seed=3"
    async with line_call(line, back=line) as (first, second):
        sending = asyncio.create_task(stream(first, 75))
        for number in range(16):
            second.transport.send_control(ReferenceAck(number, number))
            second.transport.send_feedback(FEEDBACK)
            await asyncio.sleep(0.05)
        await sending
        for _ in range(80):
            if len(first.controls) == 16:
                break
            await asyncio.sleep(0.05)
    assert [message for _, message in first.controls] == [ReferenceAck(n, n) for n in range(16)]


async def test_losses_do_not_shrink_the_window_below_its_floor() -> None:
    line = "delay_ms=10,loss=0.3,seed=2"
    async with line_call(line, back=line) as (first, _):
        first.transport.send_reference(bytes(30_000))
        await stream(first, 60, interval_s=0.02)
        sctp = first.transport._connection.sctp
        assert isinstance(sctp, TunedSctpTransport)
        await sctp._transmit()
        assert sctp._cwnd >= SctpTuning().least_cwnd_bytes


async def test_another_version_of_aiortc_switches_the_tuning_off_with_a_warning(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sctp_tuning, "PINNED_AIORTC", "1.15.0")
    connection = RTCPeerConnection()
    connection.createDataChannel("x", negotiated=True, id=0)
    assert connection.sctp is not None
    guarded = guard_sctp(connection.sctp, frozenset({0}))
    assert guarded is not None
    with caplog.at_level(logging.WARNING):
        assert not tune_sctp(guarded, SctpTuning(), frozenset())
    assert "1.15.0" in caplog.text
    assert not isinstance(connection.sctp, TunedSctpTransport)
    await connection.close()


@given(st.sets(st.integers(1, 400)))
def test_gap_blocks_name_exactly_what_arrived(offsets: set[int]) -> None:
    blocks = sctp_tuning._gap_blocks(sorted(offsets))
    named = [offset for first, last in blocks for offset in range(first, last + 1)]
    assert len(blocks) <= 64
    assert named == sorted(offsets)[: len(named)]
    assert len(named) == len(offsets) or len(blocks) == 64
    assert all(second[0] > first[1] + 1 for first, second in itertools.pairwise(blocks))


def test_chunks_share_packets_without_exceeding_them() -> None:
    chunks = []
    for size in (1000, 50, 60, 1100, 1172, 1, 900):
        chunk = DataChunk()
        chunk.user_data = bytes(size)
        chunks.append(chunk)
    packets = sctp_tuning._fill_packets(list(chunks))
    assert [len(packet) for packet in packets] == [3, 1, 1, 2]
    assert all(sum(len(bytes(chunk)) for chunk in packet) <= 1189 - 12 or len(packet) == 1 for packet in packets)


@pytest.mark.parametrize(
    "values", [{"sack_delay_s": 0.5}, {"gap_sack_delay_s": -1}, {"least_cwnd_bytes": 100}, {"silence_s": 0}]
)
def test_tuning_out_of_range_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="SCTP"):
        SctpTuning(**values)  # type: ignore[arg-type]  # a test of what is refused
