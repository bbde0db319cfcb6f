"""Measures the transport alone: what it costs on the wire, and how it does on bad lines. Figures in docs/transport.md.

    python -m call.transport_bench wire     kbit/s forward and back, plain aiortc beside ours
    python -m call.transport_bench lines    delay of motion, time of a reference, recovery, on emulated lines

Both ends run in this process, on 127.0.0.1.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import logging
import random
import time
from dataclasses import asdict, dataclass

from adasr_core.bitstream.feedback import MotionFeedback
from call.channels import ChannelConfig
from call.control import Hello
from call.emulated_line import LineConfig, parse_line
from call.messages import Accepted, FromTransport, LocalInvitation, ReceivedMotion, ReceivedReference
from call.sctp_tuning import SctpTuning
from call.transport import PeerTransport, TransportConfig

FRAME_RATE = 25
FRAME_BYTES = 12
_FEEDBACK = MotionFeedback(sequence=0, received=0, time_ms=0, transit_ms=0, held_ms=0, lost=0).pack()
_HELLO = Hello(0, "0" * 16, "measurement", 512, True, True)
_SETTLE_S = 0.5

LINES = (
    "delay_ms=25",
    "delay_ms=25,loss=0.05",
    "delay_ms=25,loss=0.1",
    "delay_ms=25,loss=0.2",
    "delay_ms=50,loss=0.2",
    "delay_ms=25,loss=0.1,burst=8",
    "delay_ms=25,reorder=0.1",
    "delay_ms=25,jitter_ms=50",
    "delay_ms=25,duplicate=0.1",
    "delay_ms=25,outage_at_s=2,outage_s=5",
)


@dataclass(frozen=True, slots=True)
class WireRow:
    """One case of what the transport costs; rates with IP and UDP headers."""

    tuned: bool
    frames_per_message: int
    duplex: bool
    feedback: bool
    out_kbps: float
    back_kbps: float


@dataclass(frozen=True, slots=True)
class LineRow:
    """One emulated line, the same both ways, with a reference of ``reference_bytes`` every 1.5 s beside the motion.

    ``motion_late_ms`` is the greatest delay above the line's own delay and jitter; ``loop_late_ms`` is how late this
    process itself ran, which is part of it.
    """

    line: str
    delivered_share: float
    dropped: int
    motion_late_ms_p50: float
    motion_late_ms_p99: float
    motion_late_ms_most: float
    loop_late_ms_most: float
    longest_gap_ms: float
    reference_bytes: int
    references: int
    references_offered: int
    reference_s_p50: float | None


class _End:
    def __init__(self, offer: bool, tuned: bool, line: LineConfig | None, key_bytes_per_s: float | None) -> None:
        self.motion: list[tuple[float, int]] = []
        self.references: list[float] = []
        self._events: asyncio.Queue[FromTransport] = asyncio.Queue()
        channels = ChannelConfig(sctp=SctpTuning(enabled=tuned))
        config = TransportConfig(offer=offer, hello=_HELLO, loopback_only=True, channels=channels, line=line)
        self.transport = PeerTransport(config, self._take)
        if key_bytes_per_s is not None:
            self.transport.set_key_rate(key_bytes_per_s)

    def _take(self, message: FromTransport) -> None:
        if isinstance(message, ReceivedMotion):
            self.motion.append((time.monotonic(), int.from_bytes(message.packet[:4], "big")))
        elif isinstance(message, ReceivedReference):
            self.references.append(time.monotonic())
        else:
            self._events.put_nowait(message)

    async def expect(self, kind: type[FromTransport]) -> FromTransport:
        while not isinstance(message := await asyncio.wait_for(self._events.get(), 30), kind):
            pass
        return message


async def _connect(
    tuned: bool, line: LineConfig | None = None, key_bytes_per_s: float | None = None
) -> tuple[_End, _End]:
    first, second = (_End(offer, tuned, line, key_bytes_per_s) for offer in (True, False))
    for end in (first, second):
        await end.transport.start()
    for giver, taker in ((first, second), (second, first)):
        invitation = await giver.expect(LocalInvitation)
        assert isinstance(invitation, LocalInvitation)
        await taker.transport.accept(invitation.text)
    for end in (first, second):
        await end.expect(Accepted)
    await asyncio.sleep(_SETTLE_S)  # the first pings, which measure the clocks, are no part of the figures
    return first, second


async def _close(*ends: _End) -> None:
    await ends[0].transport.end("")
    for end in ends:
        await end.transport.close()


async def measure_wire(row: tuple[bool, int, bool, bool], seconds: float) -> WireRow:
    """One row of the table of costs: (tuned, frames a message, duplex, feedback every 100 ms)."""
    tuned, frames, duplex, feedback = row
    first, second = await _connect(tuned)
    interval = frames / FRAME_RATE
    before = [end.transport.statistics().now for end in (first, second)]
    start = time.monotonic()
    told = 0
    for number in range(round(seconds / interval)):
        await asyncio.sleep(max(0.0, start + number * interval - time.monotonic()))
        for sender, other in ((first, second), (second, first))[: 2 if duplex else 1]:
            sender.transport.send_motion(number.to_bytes(4, "big") + bytes(FRAME_BYTES * frames - 4))
            if feedback and (time.monotonic() - start) * 10 >= told:
                other.transport.send_feedback(_FEEDBACK)
        told = int((time.monotonic() - start) * 10) + 1
    await asyncio.sleep(max(0.0, start + round(seconds / interval) * interval - time.monotonic()))
    rates = []
    for end, mark in zip((first, second), before, strict=True):
        now = end.transport.statistics().now
        rates.append((now.count.sent_bytes - mark.count.sent_bytes) * 8 / (now.time_s - mark.time_s) / 1000)
    await _close(first, second)
    return WireRow(tuned, frames, duplex, feedback, round(rates[0], 1), round(rates[1], 1))


async def measure_line(text: str, seconds: float, reference_bytes: int, key_bytes_per_s: float) -> LineRow:
    """One emulated line, with motion one frame a message."""
    line = parse_line(text)
    first, second = await _connect(True, line, key_bytes_per_s)
    lags: list[float] = []
    watch = asyncio.create_task(_watch_loop(lags))
    sent: list[float] = []
    offered: list[float] = []
    chance = random.Random(1)
    start = time.monotonic()
    for number in range(round(seconds * FRAME_RATE)):
        await asyncio.sleep(max(0.0, start + number / FRAME_RATE - time.monotonic()))
        sent.append(time.monotonic())
        first.transport.send_motion(number.to_bytes(4, "big") + bytes(FRAME_BYTES - 4))
        if number % 3 == 0:
            second.transport.send_feedback(_FEEDBACK)
        if reference_bytes and sent[-1] - start >= 1.5 * len(offered) + 0.5 and sent[-1] - start < seconds - 2:
            offered.append(sent[-1])
            first.transport.send_reference(chance.randbytes(reference_bytes))
    await asyncio.sleep(1.5)
    watch.cancel()
    own = (line.delay_ms + line.jitter_ms + (line.reorder_ms if line.reorder else 0)) / 1000
    late = sorted(max(0.0, when - sent[number] - own) * 1000 for when, number in second.motion)
    arrivals = sorted(when for when, _ in second.motion)
    gaps = [after - before for before, after in itertools.pairwise(arrivals)]
    took = sorted(done - began for done, began in zip(second.references, offered, strict=False))
    dropped = first.transport.statistics().motion_dropped
    await _close(first, second)
    return LineRow(
        line=text,
        delivered_share=round(len({number for _, number in second.motion}) / len(sent), 3),
        dropped=dropped,
        motion_late_ms_p50=round(late[len(late) // 2], 1),
        motion_late_ms_p99=round(late[int(len(late) * 0.99)], 1),
        motion_late_ms_most=round(late[-1], 1),
        loop_late_ms_most=round(max(lags) * 1000, 1),
        longest_gap_ms=round(max(gaps) * 1000),
        reference_bytes=reference_bytes,
        references=len(second.references),
        references_offered=len(offered),
        reference_s_p50=round(took[len(took) // 2], 2) if took else None,
    )


async def _watch_loop(lags: list[float]) -> None:
    while True:
        start = time.monotonic()
        await asyncio.sleep(0.005)
        lags.append(time.monotonic() - start - 0.005)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m call.transport_bench", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", choices=("wire", "lines"))
    parser.add_argument("--seconds", type=float, default=12.0, help="length of each measurement (default 12)")
    parser.add_argument("--line", action="append", help="another line than the usual ones, e.g. delay_ms=25,loss=0.1")
    parser.add_argument("--reference-bytes", type=int, default=40_000, help="size of the references (default 40000)")
    parser.add_argument("--key-rate", type=float, default=60_000.0, help="their pace in bytes/s (default 60000)")
    args = parser.parse_args()
    logging.getLogger("aioice").setLevel(logging.ERROR)
    if args.what == "wire":
        for duplex in (False, True):
            for feedback in (False, True):
                for frames in (1, 3, 4):
                    for tuned in (False, True):
                        row = asyncio.run(measure_wire((tuned, frames, duplex, feedback), args.seconds))
                        print(json.dumps(asdict(row)), flush=True)
        return
    for text in args.line or LINES:
        line_row = asyncio.run(measure_line(text, args.seconds, args.reference_bytes, args.key_rate))
        print(json.dumps(asdict(line_row)), flush=True)


if __name__ == "__main__":
    main()
