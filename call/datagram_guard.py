"""Guard in front of aioice's UDP sockets: strangers' datagrams must not end a call.

aiortc 1.16 reads the first byte of every datagram without looking at its length and gives anything from 0x80 on to
libsrtp, whose buffer holds 1,500 bytes; one empty or oversized datagram from anybody raises in its receive loop and
closes the call. The guard drops what no peer of ours sends: empty and oversized datagrams, RTP (calls here carry data
channels only), and everything but STUN from any address other than the nominated pair's.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any
from weakref import WeakKeyDictionary

from aioice import ice

from call.emulated_line import EmulatedLine
from call.wire_meter import WireMeter, header_bytes

MAX_DATAGRAM_BYTES = 1500

_logger = logging.getLogger(__name__)


class Guard:
    """Decides about the datagrams of one ICE connection and counts them."""

    def __init__(self, now: float) -> None:
        """Start at ``now`` (seconds, monotonic)."""
        self.meter = WireMeter()
        self.last_received = now
        self.line: EmulatedLine | None = None

    def accepts(self, connection: ice.Connection, data: bytes, address: tuple[str, int]) -> bool:
        """True when aioice may see the datagram."""
        if not 0 < len(data) <= MAX_DATAGRAM_BYTES or data[0] > 63:
            return False
        if data[0] < 4:
            return True
        nominated = connection._nominated.values()
        if nominated:
            return any(pair.remote_addr == address for pair in nominated)
        return any((known._network_host, known.port) == address for known in connection._remote_candidates)


_guards: WeakKeyDictionary[ice.Connection, Guard] = WeakKeyDictionary()


def guard_of(connection: ice.Connection) -> Guard:
    """The guard of a connection, made on first use."""
    guard = _guards.get(connection)
    if guard is None:
        guard = _guards[connection] = Guard(time.monotonic())
    return guard


class GuardedStunProtocol(ice.StunProtocol):
    """aioice's socket protocol with the guard in front and the wire meter on both sides."""

    def __init__(self, receiver: ice.Connection) -> None:
        """Attach to the connection's guard."""
        super().__init__(receiver)
        self._guard = guard_of(receiver)

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        """Count and pass on a datagram, or drop it."""
        payload = data if isinstance(data, bytes) else data.encode()
        if not self._guard.accepts(self.receiver, payload, (addr[0], addr[1])):
            self._guard.meter.rejected()
            return
        self._guard.meter.received(len(payload), addr[0])
        try:
            super().datagram_received(payload, addr)
        except Exception:
            # A malformed STUN message may raise anything inside aioice; on uvloop that would close the socket.
            _logger.debug("dropped a datagram that aioice could not read", exc_info=True)
            self._guard.meter.rejected()
            return
        if any(pair.remote_addr == (addr[0], addr[1]) for pair in self.receiver._nominated.values()):
            self._guard.last_received = time.monotonic()

    async def send_data(self, data: bytes, addr: tuple[str, int]) -> None:
        """Count and send DTLS."""
        self._guard.meter.sent(len(data), addr[0])
        self._put_on_line(data, addr)

    def send_stun(self, message: Any, addr: tuple[str, int]) -> None:
        """Count and send STUN."""
        data = bytes(message)
        self._guard.meter.sent(len(data), addr[0])
        self._put_on_line(data, addr)

    def _put_on_line(self, data: bytes, addr: tuple[str, int]) -> None:
        line = self._guard.line
        if line is None:
            self.transport.sendto(data, addr)
            return
        for delay in line.delays(len(data) + header_bytes(addr[0]), time.monotonic()):
            if delay > 0:
                asyncio.get_running_loop().call_later(delay, self._arrive, data, addr)
            else:
                self.transport.sendto(data, addr)

    def _arrive(self, data: bytes, addr: tuple[str, int]) -> None:
        if not self.transport.is_closing():
            self.transport.sendto(data, addr)


def install_guard() -> None:
    """Make aioice open its sockets with the guard, in this process, for every connection from now on."""
    vars(ice)["StunProtocol"] = GuardedStunProtocol


def use_loopback_only(connection: ice.Connection) -> None:
    """Let a connection gather 127.0.0.1 alone, which aioice leaves out: for calls within one machine."""
    gather = connection.get_component_candidates

    async def gather_loopback(component: int, addresses: list[str], timeout: int = 5) -> Any:
        return await gather(component, ["127.0.0.1"], timeout)

    vars(connection)["get_component_candidates"] = gather_loopback
