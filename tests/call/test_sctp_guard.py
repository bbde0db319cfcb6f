"""An authenticated peer that misbehaves below the channels."""

import asyncio
import logging
import struct
import time

import pytest
from aiortc import RTCPeerConnection
from aiortc.rtcsctptransport import (
    AbortChunk,
    Chunk,
    DataChunk,
    InitChunk,
    ReconfigChunk,
    SackChunk,
    serialize_packet,
)

from adasr_core.bitstream import MAX_MESSAGE_BYTES
from call.messages import CallEnded
from call.sctp_guard import RECEIVE_WINDOW_BYTES, GuardedSctpTransport, guard_sctp
from tests.call.line_call import LineEnd, line_call, stream

BINARY, TEXT, DCEP = 53, 51, 50


def _sctp(end: LineEnd) -> GuardedSctpTransport:
    sctp = end.transport._connection.sctp
    assert isinstance(sctp, GuardedSctpTransport)
    return sctp


async def _inject(end: LineEnd, chunk: Chunk, *, tag: int | None = None) -> None:
    """Send a packet of ours over the end's real, authenticated connection."""
    sctp = _sctp(end)
    assert sctp._remote_port is not None
    tag = sctp._remote_verification_tag if tag is None else tag
    await sctp.transport._send_data(serialize_packet(sctp._local_port, sctp._remote_port, tag, chunk))


def _data(end: LineEnd, stream_id: int, protocol: int, body: bytes, *, ahead: int = 0, flags: int = 7) -> DataChunk:
    """The sender's next DATA chunk, or one some numbers ahead."""
    sctp = _sctp(end)
    chunk = DataChunk(flags=flags)
    chunk.tsn = (sctp._local_tsn + ahead) % 2**32
    chunk.stream_id, chunk.stream_seq, chunk.protocol, chunk.user_data = stream_id, 0, protocol, body
    if not ahead:
        sctp._local_tsn = (sctp._local_tsn + 1) % 2**32
    return chunk


class _Raw(Chunk):
    """Any bytes where a chunk should be."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._data = data

    def __bytes__(self) -> bytes:
        return self._data


def _sack(end: LineEnd, gaps: list[tuple[int, int]]) -> SackChunk:
    sack = SackChunk()
    sack.cumulative_tsn = _sctp(end)._last_received_tsn or 0
    sack.advertised_rwnd = 1000
    sack.gaps = gaps
    return sack


async def test_malformed_packets_of_the_peer_do_not_end_the_call() -> None:
    async with line_call() as (first, second):
        await asyncio.sleep(0.2)
        await _inject(first, _data(first, 2, TEXT, b"\xff\xfe\xfd"))
        await _inject(first, _data(first, 9, BINARY, b"no such channel"))
        await _inject(first, _data(first, 2, DCEP, b"\x03" + b"\xff" * 11 + b"\x80\x81"))
        await _inject(first, _data(first, 77, DCEP, b"\x02"))
        await _inject(first, _data(first, 2, DCEP, struct.pack("!BBHLHH", 3, 0, 0, 0, 2, 0) + b"\xff\xff"))
        for raw in (b"\x00\x03\x00\x06ab\x00\x00", b"\x03\x00\x00\x08\xff\xff\xff\xff", b"\xc0\x00\x00\x06ab\x00\x00"):
            await _inject(first, _Raw(raw))
        await _inject(first, _Raw(bytes(InitChunk()) + bytes(InitChunk())), tag=0)
        reset = ReconfigChunk()
        reset.params.append((13, struct.pack("!LLLH", 1, 1, 1, 2)))
        await _inject(first, reset)
        await _inject(first, _sack(first, [(9, 3)]))
        await asyncio.sleep(0.2)
        await stream(first, 10)
        await stream(second, 10)
        await asyncio.sleep(0.3)
        assert second.transport.statistics().malformed >= 8
        assert not second.transport.ended.done()
        assert len(second.motion) == 10
        assert len(first.motion) == 10


async def test_a_sack_of_endless_gaps_takes_no_time() -> None:
    async with line_call() as (first, second):
        await stream(second, 3)
        start = time.process_time()
        await _inject(first, _sack(first, [(1, 65535)] * 250))
        await asyncio.sleep(0.2)
        assert time.process_time() - start < 0.15
        assert second.transport.statistics().malformed == 1


async def test_messages_that_never_end_and_endless_gaps_are_bounded() -> None:
    async with line_call() as (first, second):
        await asyncio.sleep(0.2)
        for _ in range(600):  # 600 kB of the middle of a message
            await _inject(first, _data(first, 2, BINARY, bytes(1000), flags=4))
            await asyncio.sleep(0)
        held = sum(len(c.user_data) for s in _sctp(second)._inbound_streams.values() for c in s.reassembly)
        assert held <= RECEIVE_WINDOW_BYTES
        for number in range(2500):
            await _inject(first, _data(first, 2, BINARY, b"x", ahead=2 * number + 2))
            if number % 50 == 0:
                await asyncio.sleep(0)
        await asyncio.sleep(0.2)
        assert len(_sctp(second)._sack_misordered) <= 2048
        assert not second.transport.ended.done()


async def test_oversized_and_malformed_messages_are_counted_on_every_channel() -> None:
    async with line_call() as (first, second):
        begun, ended, whole = 6, 5, 7
        for number, body, flags in (
            (0, b"not msgpack", whole),
            (1, b"\x09?", whole),
            (2, bytes(MAX_MESSAGE_BYTES // 2), begun),  # the longest motion message takes two datagrams
            (2, bytes(MAX_MESSAGE_BYTES // 2 + 1), ended),
            (3, bytes(13), whole),
            (3, bytes(100), whole),
        ):
            await _inject(first, _data(first, number, BINARY, body, flags=flags))
        for _ in range(100):
            await asyncio.sleep(0.05)
            if second.transport.statistics().malformed >= 5:
                break
        assert second.transport.statistics().malformed == 5
        assert second.motion == []
        await stream(first, 3)
        await asyncio.sleep(0.1)
        assert len(second.motion) == 3


async def test_an_abort_ends_the_call_with_words() -> None:
    async with line_call() as (first, second):
        await _inject(first, AbortChunk())
        ended: CallEnded = await asyncio.wait_for(asyncio.shield(second.transport.ended), 5)
        assert ended.failed
        assert "closed the connection" in ended.reason


async def test_without_what_it_builds_on_the_guard_is_off_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    connection = RTCPeerConnection()
    connection.createDataChannel("x", negotiated=True, id=0)
    sctp = connection.sctp
    assert sctp is not None
    del sctp._sack_misordered
    with caplog.at_level(logging.WARNING):
        assert guard_sctp(sctp, frozenset({0})) is None
    assert "guard is off" in caplog.text
    assert type(sctp).__name__ == "RTCSctpTransport"
    await connection.close()
