"""Two real transport processes on loopback, driven by a test that plays both media processes."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

from call.channels import ChannelConfig
from call.control import Hello
from call.liveness import LivenessConfig
from call.messages import Accepted, AcceptInvitation, CallEnded, LinkMessage, LocalInvitation, ToTransport
from call.transport import TransportConfig
from call.transport_process import TransportProcess

Message = TypeVar("Message")

HELLO = Hello(1, "0123456789abcdef", "edge 0.1", 512, True, True)
CONFIG = TransportConfig(
    offer=True,
    hello=HELLO,
    loopback_only=True,
    connect_timeout_s=15.0,
    channels=ChannelConfig(),
    liveness=LivenessConfig(lost_s=5.0),
)


class LoopbackPeer:
    """One transport process and everything it said."""

    def __init__(self, config: TransportConfig) -> None:
        self.arrived: queue.Queue[tuple[float, LinkMessage]] = queue.Queue()
        self.lost = False
        self.process = TransportProcess(
            config, lambda message: self.arrived.put((time.monotonic(), message)), self._on_lost
        )

    def _on_lost(self) -> None:
        self.lost = True

    def send(self, message: ToTransport) -> None:
        self.process.send(message)

    def expect(self, kind: type[Message], timeout_s: float = 60.0) -> Message:
        """The next message of a type; others are skipped."""
        return self.expect_where(kind, lambda _: True, timeout_s)

    def expect_where(self, kind: type[Message], holds: Callable[[Message], bool], timeout_s: float = 60.0) -> Message:
        deadline = time.monotonic() + timeout_s
        while (remaining := deadline - time.monotonic()) > 0:
            try:
                _, message = self.arrived.get(timeout=remaining)
            except queue.Empty:
                break
            if isinstance(message, kind) and holds(message):
                return message
            if isinstance(message, CallEnded):
                raise AssertionError(f"the call ended while waiting for {kind.__name__}: {message.reason}")
        raise AssertionError(f"no {kind.__name__} within {timeout_s} s")

    def collect(self, seconds: float) -> list[tuple[float, LinkMessage]]:
        """Everything that arrives in the given time, with its arrival time."""
        deadline = time.monotonic() + seconds
        collected = []
        while (remaining := deadline - time.monotonic()) > 0:
            try:
                collected.append(self.arrived.get(timeout=remaining))
            except queue.Empty:
                break
        return collected


@contextmanager
def peers(config: TransportConfig = CONFIG, answer: Hello = HELLO) -> Iterator[tuple[LoopbackPeer, LoopbackPeer]]:
    """Two transport processes that exchanged invitations."""
    first = LoopbackPeer(config)
    second = LoopbackPeer(replace(config, offer=False, hello=answer))
    try:
        second.send(AcceptInvitation(first.expect(LocalInvitation).text))
        first.send(AcceptInvitation(second.expect(LocalInvitation).text))
        yield first, second
    finally:
        first.process.close()
        second.process.close()


@contextmanager
def connected_peers(config: TransportConfig = CONFIG) -> Iterator[tuple[LoopbackPeer, LoopbackPeer]]:
    """Two transport processes in a call."""
    with peers(config) as (first, second):
        first.expect(Accepted)
        second.expect(Accepted)
        yield first, second
