"""SCTP packets of a peer that passed DTLS, into aiortc's association with the guard in front."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import cache
from itertools import islice
from typing import Any, cast

from aiortc import RTCDtlsTransport
from aiortc.rtcsctptransport import (
    AbortChunk,
    Chunk,
    CookieEchoChunk,
    DataChunk,
    ForwardTsnChunk,
    HeartbeatChunk,
    InitChunk,
    ReconfigChunk,
    RTCSctpTransport,
    SackChunk,
    ShutdownChunk,
    serialize_packet,
)

from call.sctp_guard import GuardedSctpTransport, guard_sctp
from fuzz.sequences import joined, parted
from fuzz.target import Target

_STREAMS = frozenset(range(4))
_MOST_PACKETS = 24
_OUR_TAG, _PEER_TAG = 7, 9
_PEER_TSN, _OUR_TSN = 100, 5000
_BINARY = 53
_MOST_BYTES_SENT = 200_000
_MOST_BYTES_HELD = 600_000


class _Wire:
    """Stands where DTLS is and counts what is sent."""

    state = "connected"
    _role = "server"

    def __init__(self) -> None:
        self.sent_bytes = 0

    async def _send_data(self, data: bytes) -> None:
        self.sent_bytes += len(data)

    def _unregister_data_receiver(self, receiver: object) -> None:
        """There is none to forget."""


class _Chunks(Chunk):
    """Chunks as they are."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._chunks = data

    def __bytes__(self) -> bytes:
        return self._chunks


def build() -> Target:
    """Inputs: chunks of each packet as `joined`; ports, tag and checksum are put right. Nothing raises or piles up."""
    data = DataChunk()
    data.flags, data.tsn, data.stream_id, data.stream_seq, data.protocol = 0b111, _PEER_TSN + 1, 2, 0, _BINARY
    data.user_data = b"motion"
    later = DataChunk()
    later.flags, later.tsn, later.stream_id, later.stream_seq, later.protocol = 0b110, _PEER_TSN + 3, 1, 4, _BINARY
    later.user_data = bytes(40)
    sack = SackChunk()
    sack.cumulative_tsn, sack.advertised_rwnd, sack.gaps = _OUR_TSN, 100_000, [(2, 3)]
    forward = ForwardTsnChunk()
    forward.cumulative_tsn, forward.streams = _PEER_TSN + 2, [(2, 1)]
    init = InitChunk()
    init.initiate_tag, init.advertised_rwnd = _PEER_TAG, 1000
    init.outbound_streams = init.inbound_streams = 4
    init.initial_tsn = _PEER_TSN
    reconfig = ReconfigChunk()
    reconfig.params = [(13, bytes(14))]
    heartbeat = HeartbeatChunk()
    heartbeat.params = [(1, b"when")]
    seeds = (
        joined((bytes(data), bytes(later), bytes(sack))),
        joined((bytes(sack) + bytes(forward) + bytes(data),)),
        joined((bytes(init), bytes(CookieEchoChunk(body=bytes(24))), bytes(heartbeat))),
        joined((bytes(reconfig), bytes(ShutdownChunk()), bytes(AbortChunk()))),
    )
    return Target(check=_check, errors=(), seeds=seeds, max_bytes=3000)


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def _check(data: bytes) -> None:
    work: Coroutine[Any, Any, None] = _feed(data)
    _loop().run_until_complete(work)


async def _feed(data: bytes) -> None:
    wire = _Wire()
    sctp = await _association(wire)
    try:
        for chunks in islice(parted(data), _MOST_PACKETS):
            tag = 0 if chunks[:1] == b"\x01" else _OUR_TAG  # INIT is sent before the tag is known
            await sctp._handle_data(serialize_packet(5000, 5000, tag, _Chunks(chunks)))
        held = sum(len(chunk.user_data) for stream in sctp._inbound_streams.values() for chunk in stream.reassembly)
        assert held <= _MOST_BYTES_HELD
        assert wire.sent_bytes <= _MOST_BYTES_SENT
    finally:
        for cancel in (sctp._t1_cancel, sctp._t2_cancel, sctp._t3_cancel):
            cancel()


async def _association(wire: _Wire) -> GuardedSctpTransport:
    """An association that is up, with three messages of ours on their way."""
    sctp = guard_sctp(RTCSctpTransport(cast(RTCDtlsTransport, wire)), _STREAMS)
    assert sctp is not None, "the guard fits the installed aiortc"
    sctp._remote_port = 5000
    sctp._local_verification_tag, sctp._remote_verification_tag = _OUR_TAG, _PEER_TAG
    sctp._last_received_tsn = _PEER_TSN
    sctp._local_tsn, sctp._last_sacked_tsn, sctp._advanced_peer_ack_tsn = _OUR_TSN, _OUR_TSN - 1, _OUR_TSN - 1
    sctp._remote_partial_reliability = True
    sctp._association_state = sctp.State.ESTABLISHED
    for stream in (0, 1, 2):
        await sctp._send(stream, _BINARY, bytes(50), max_retransmits=0 if stream else None)
    return sctp
