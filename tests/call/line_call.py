"""Two ends of a call in one event loop over an emulated line, and everything that arrived when."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TypeVar

from adasr_core.bitstream.feedback import MotionFeedback
from call.channels import ChannelConfig
from call.control import ControlMessage
from call.emulated_line import LineConfig, parse_line
from call.liveness import LivenessConfig
from call.messages import (
    Accepted,
    FromTransport,
    LocalInvitation,
    ReceivedControl,
    ReceivedFeedback,
    ReceivedMotion,
    ReceivedReference,
    TransportStatistics,
)
from call.sctp_tuning import SctpTuning
from call.transport import PeerTransport
from tests.call.loopback import CONFIG

Message = TypeVar("Message")
FEEDBACK = MotionFeedback(sequence=1, received=0, time_ms=0, transit_ms=10, held_ms=0, lost=0).pack()


class LineEnd:
    """One end of a call and what it reported."""

    def __init__(self, offer: bool, line: LineConfig | None, tuned: bool) -> None:
        self._other: asyncio.Queue[FromTransport] = asyncio.Queue()
        self.motion: list[tuple[float, bytes]] = []
        self.references: list[tuple[float, bytes]] = []
        self.feedback: list[tuple[float, bytes]] = []
        self.controls: list[tuple[float, ControlMessage]] = []
        self.statistics: list[TransportStatistics] = []
        config = replace(
            CONFIG,
            offer=offer,
            line=line,
            channels=ChannelConfig(sctp=SctpTuning(enabled=tuned)),
            liveness=LivenessConfig(),
        )
        self.transport = PeerTransport(config, self._take)

    def _take(self, message: FromTransport) -> None:
        now = time.monotonic()
        match message:
            case ReceivedMotion():
                self.motion.append((now, message.packet))
            case ReceivedReference():
                self.references.append((now, message.data))
            case ReceivedFeedback():
                self.feedback.append((now, message.data))
            case ReceivedControl():
                self.controls.append((now, message.message))
            case TransportStatistics():
                self.statistics.append(message)
            case _:
                self._other.put_nowait(message)

    async def next(self, kind: type[Message]) -> Message:
        """The next message of a type that is none of the media's."""
        while True:
            message = await asyncio.wait_for(self._other.get(), 20)
            if isinstance(message, kind):
                return message

    def motion_numbers(self) -> list[int]:
        """Numbers of the messages of ``stream``, in the order of their arrival, repeats included."""
        return [int.from_bytes(message[:4], "big") for _, message in self.motion]


class LoopLag:
    """How late the event loop was, which on a busy machine is more than any protocol costs."""

    def __init__(self) -> None:
        self.most_s = 0.0
        self._task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            start = time.monotonic()
            await asyncio.sleep(0.005)
            self.most_s = max(self.most_s, time.monotonic() - start - 0.005)

    def stop(self) -> float:
        self._task.cancel()
        return self.most_s


@asynccontextmanager
async def line_call(line: str = "", *, back: str = "", tuned: bool = True) -> AsyncIterator[tuple[LineEnd, LineEnd]]:
    """A call; ``line`` is what the first end's datagrams suffer, ``back`` the second's."""
    first = LineEnd(True, parse_line(line) if line else None, tuned)
    second = LineEnd(False, parse_line(back) if back else None, tuned)
    await first.transport.start()
    await second.transport.start()
    await second.transport.accept((await first.next(LocalInvitation)).text)
    await first.transport.accept((await second.next(LocalInvitation)).text)
    await first.next(Accepted)
    await second.next(Accepted)
    try:
        yield first, second
    finally:
        await first.transport.end("")
        await first.transport.close()
        await second.transport.close()


async def stream(end: LineEnd, messages: int, *, interval_s: float = 0.04, size: int = 12) -> list[float]:
    """Send numbered motion messages; returns when each was sent."""
    start = time.monotonic()
    sent = []
    for number in range(messages):
        await asyncio.sleep(max(0.0, start + number * interval_s - time.monotonic()))
        sent.append(time.monotonic())
        end.transport.send_motion(number.to_bytes(4, "big") + bytes(size - 4))
    return sent
