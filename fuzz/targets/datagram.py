"""Datagrams of strangers, which reach the socket before anybody is authenticated: the guard, then aioice's STUN."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import Any, cast

from aioice import Candidate, stun
from aioice.ice import Connection

from call.datagram_guard import MAX_DATAGRAM_BYTES, GuardedStunProtocol
from fuzz.target import Target

_STRANGER = ("198.51.100.9", 4000)
_PEER = ("192.0.2.7", 4000)
_TRANSACTION = bytes(range(12))


class _Socket(asyncio.DatagramTransport):
    """Counts what is answered."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []

    def sendto(self, data: Any, addr: Any = None) -> None:
        self.sent.append(bytes(data))


def build() -> Target:
    """Inputs: 1 byte, odd from the peer, and a datagram. Nothing raises, at most one answer, and it is no larger."""
    request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, _TRANSACTION)
    signed = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, _TRANSACTION)
    signed.attributes["USERNAME"] = "abcd:efgh"
    signed.attributes["PRIORITY"] = 1
    signed.attributes["ICE-CONTROLLED"] = 1
    signed.add_message_integrity(b"password")
    response = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, _TRANSACTION)
    response.attributes["XOR-MAPPED-ADDRESS"] = _PEER
    datagrams = [bytes(message) for message in (request, signed, response)]
    datagrams += [b"\x16\xfe\xfd" + bytes(40), b"\x80" + bytes(30), b""]
    seeds = tuple(bytes((number % 2,)) + datagram for number, datagram in enumerate(datagrams))
    return Target(check=_check, errors=(), seeds=seeds, max_bytes=MAX_DATAGRAM_BYTES + 20)


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def _check(data: bytes) -> None:
    _loop().run_until_complete(_receive(data))


async def _receive(data: bytes) -> None:
    connection = Connection(ice_controlling=True)
    candidate = Candidate("1", 1, "udp", 1, _PEER[0], _PEER[1], "host")
    connection._remote_candidates.append(candidate)
    protocol = GuardedStunProtocol(connection)
    protocol.local_candidate = candidate
    socket = _Socket()
    protocol.connection_made(socket)
    address = _PEER if data[:1] and data[0] % 2 else _STRANGER
    protocol.datagram_received(data[1:], cast(tuple[Any, ...], address))
    assert len(socket.sent) <= 1
    assert sum(map(len, socket.sent)) <= max(100, 3 * len(data))
