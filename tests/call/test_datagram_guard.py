import asyncio

import pytest
from aioice import Candidate
from aioice.ice import CandidatePair, Connection

from call.datagram_guard import Guard, GuardedStunProtocol, guard_of, install_guard, use_loopback_only
from call.wire_meter import WireCount, WireMeter, header_bytes

PEER = ("192.0.2.7", 4000)
STRANGER = ("198.51.100.9", 4000)
DTLS = b"\x16\xfe\xfd" + bytes(40)
STUN = b"\x00\x01" + bytes(18)


def _candidate() -> Candidate:
    candidate = Candidate("1", 1, "udp", 1, PEER[0], PEER[1], "host")
    candidate._network_host = PEER[0]
    return candidate


@pytest.mark.parametrize("nominated", [False, True])
async def test_only_stun_is_taken_from_strangers(nominated: bool) -> None:
    connection = Connection(ice_controlling=True)
    connection._remote_candidates.append(_candidate())
    if nominated:
        connection._nominated[1] = CandidatePair(GuardedStunProtocol(connection), _candidate())
    guard = Guard(0.0)
    assert guard.accepts(connection, DTLS, PEER)
    assert guard.accepts(connection, STUN, PEER)
    assert guard.accepts(connection, STUN, STRANGER)
    assert not guard.accepts(connection, DTLS, STRANGER)
    for data in (b"", bytes(1501), b"\x16" * 1501, b"\x80" * 60, b"\xff"):
        assert not guard.accepts(connection, data, PEER)


async def test_a_malformed_stun_message_is_counted_and_dropped() -> None:
    connection = Connection(ice_controlling=True)
    protocol = GuardedStunProtocol(connection)
    protocol.local_candidate = _candidate()
    for data in (b"", b"\x00", b"\x00\x01\x00\x08\x21\x12\xa4\x42" + bytes(12) + b"\x80\x20\x00\x04\x00"):
        protocol.datagram_received(data, STRANGER)
    count = guard_of(connection).meter.count()
    assert count.rejected_datagrams >= 1
    assert connection._nominated == {}


async def test_sockets_opened_from_now_on_are_guarded_and_loopback_only_means_it() -> None:
    install_guard()
    connection = Connection(ice_controlling=True)
    use_loopback_only(connection)
    await connection.gather_candidates()
    try:
        assert [candidate.host for candidate in connection.local_candidates] == ["127.0.0.1"]
        assert all(isinstance(protocol, GuardedStunProtocol) for protocol in connection._protocols)
        port = connection.local_candidates[0].port
        loop = asyncio.get_running_loop()
        stranger, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=("127.0.0.1", port))
        stranger.sendto(bytes(2000))
        stranger.sendto(DTLS)
        await asyncio.sleep(0.1)
        stranger.close()
        assert guard_of(connection).meter.count().rejected_datagrams == 2
        assert connection._queue.empty()
    finally:
        await connection.close()


def test_the_meter_adds_ip_and_udp_headers() -> None:
    assert header_bytes("192.0.2.1") == 28
    assert header_bytes("2001:db8::1") == 48
    meter = WireMeter()
    meter.sent(97, "192.0.2.1")
    meter.received(65, "2001:db8::1")
    meter.rejected()
    assert meter.count() == WireCount(125, 1, 113, 1, 1)
