"""A call on a made-up line, for the rate controller: bottleneck with a queue, loss, delay, jitter, outages.

Time goes in steps of 10 ms. The sender codes frames of made-up sizes as the plan says and sends references of 1 kB at
the plan's mean rate and pace; the receiver tells what came, ten times a second.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from adasr_core.bitstream.feedback import MotionFeedback
from sender.plan_choice import body_bytes
from sender.rate_control import RateControlConfig, RateController
from sender.rate_plan import RatePlan
from sender.wire_cost import datagram_bytes

_STEP_S = 0.01
_CLOCK_OFFSET_S = 1234.567


@dataclass(frozen=True, kw_only=True)
class Line:
    """capacity_bps, loss: as functions of the time. queue_bytes: what the bottleneck holds; more is dropped."""

    capacity_bps: Callable[[float], float]
    loss: Callable[[float], float] = lambda now: 0.0
    one_way_s: float = 0.03
    jitter_s: float = 0.0
    queue_bytes: int = 30_000
    burst: int = 1


@dataclass
class Datagram:
    size: int
    sent: float
    motion: tuple[int, int, float, tuple[int, ...]] | None = None  # sequence, new frames, capture, repeats


@dataclass
class Record:
    """What happened. wire: (time, bytes) of every datagram. queue_s: (time, wait) of motion at the bottleneck."""

    wire: list[tuple[float, int]] = field(default_factory=list)
    queue_s: list[tuple[float, float]] = field(default_factory=list)
    plans: list[tuple[float, RatePlan]] = field(default_factory=list)
    estimates: list[tuple[float, float]] = field(default_factory=list)
    frames_sent: int = 0
    frames_decoded: int = 0

    def sent_bps(self, start: float, end: float) -> float:
        return sum(size for when, size in self.wire if start <= when < end) * 8 / (end - start)

    def worst_window_bps(self, start: float, window_s: float) -> float:
        end = self.wire[-1][0]
        return max(self.sent_bps(t, t + window_s) for t in np.arange(start, end - window_s, 0.1))

    def queues(self, start: float, end: float) -> list[float]:
        return [wait for when, wait in self.queue_s if start <= when < end]

    def plans_between(self, start: float, end: float) -> list[RatePlan]:
        return [plan for when, plan in self.plans if start <= when < end]


def simulate(
    config: RateControlConfig,
    line: Line,
    seconds: float,
    *,
    fps: float = 25.0,
    size_scale: float = 1.0,
    first_picture_bytes: int = 4400,
    greedy: bool = True,
    seed: int = 1,
) -> Record:
    """Hold the call. greedy: references use all that the plan gives them."""
    generator = np.random.default_rng(seed)
    controller = RateController(config)
    record = Record()
    queue: list[Datagram] = []
    queued_bytes = 0
    served_s = 0.0  # when the bottleneck is free
    flying: list[tuple[float, Datagram]] = []
    returning: list[tuple[float, MotionFeedback]] = []
    decoded: set[int] = set()
    original: set[int] = set()  # decoded as first sent; repeats do not count
    arrived: tuple[int, float, float] | None = None  # newest number, capture, arrival
    told: int | None = None
    fed_back = 0.0
    total_bytes = 0
    key_waiting = 0.0
    key_bytes = float(first_picture_bytes)
    key_credit = 0.0
    bad = 0
    next_frame = 0.0
    last_coded = -1.0
    gathered: list[float] = []
    recent: list[int] = []
    number = 0
    picture_there = False
    first_picture: Datagram | None = None  # its last datagram; never lost here
    next_wire = 0.0
    acknowledged_at = math.inf

    def leave(datagram: Datagram, now: float) -> None:
        nonlocal queued_bytes, total_bytes, bad
        total_bytes += datagram.size
        record.wire.append((now, datagram.size))
        if datagram.motion is None and not picture_there:  # lost pieces would be repeated
            queue.append(datagram)
            queued_bytes += datagram.size
            return
        if bad == 0 and generator.random() < line.loss(now) / line.burst:
            bad = line.burst
        if bad > 0:
            bad -= 1
            return
        if queued_bytes + datagram.size <= line.queue_bytes:
            queue.append(datagram)
            queued_bytes += datagram.size

    controller.on_round_trip(2 * line.one_way_s, 0.0)
    for step in range(round(seconds / _STEP_S)):
        now = step * _STEP_S
        for due, feedback in [entry for entry in returning if entry[0] <= now]:
            controller.on_feedback(feedback, now)
            returning.remove((due, feedback))
        if now >= next_wire:
            controller.on_wire(total_bytes, now)
            next_wire += 0.5
        if now >= next_frame:
            next_frame += 1 / fps
            controller.on_capture(now)
            plan = controller.plan(now)
            record.plans.append((now, plan))
            record.estimates.append((now, controller.figures(now).estimate_bps))
            if picture_there and now - last_coded >= plan.frame_interval_s:
                last_coded = now
                gathered.append(now)
            if len(gathered) >= plan.frames_per_message:
                count = len(gathered)
                coarser = plan.motion_quality - config.rules().motion_quality
                body = body_bytes(count, redundant=plan.redundant, coarser=coarser)
                payload = max(round(4 + size_scale * body * generator.uniform(0.7, 1.3)), 5)
                new = list(range(number, number + count))
                repeats = tuple(recent[-min(count, 4 - count) :]) if plan.redundant and count < 4 else ()
                number += count
                recent = new
                record.frames_sent += count
                controller.on_sent((number - 1) & 0xFF, count, payload, gathered[-1], now)
                leave(Datagram(datagram_bytes(payload), now, (number - 1, count, gathered[-1], repeats)), now)
                gathered = []
            if greedy and picture_there:
                key_waiting = min(key_waiting + plan.reference_bps / 8 / fps, 6000.0)
        if key_bytes <= 0 and key_waiting >= 1000:
            key_bytes, key_waiting = 1000.0, key_waiting - 1000
        if key_bytes > 0:
            key_credit = min(key_credit + controller.key_bytes_per_s(now) * _STEP_S, 416.0)
            chunk = int(min(key_bytes, 400))
            if key_credit >= chunk + 16:
                key_credit -= chunk + 16
                key_bytes -= chunk
                leave(Datagram(datagram_bytes(chunk + 16), now), now)
                if key_bytes <= 0 and not picture_there and first_picture is None:
                    first_picture = queue[-1]
        capacity = line.capacity_bps(now)
        while queue and capacity > 0 and max(served_s, queue[0].sent) < now + _STEP_S:
            datagram = queue.pop(0)
            queued_bytes -= datagram.size
            served_s = max(served_s, datagram.sent) + datagram.size * 8 / capacity
            if datagram.motion is not None:
                record.queue_s.append((datagram.sent, served_s - datagram.sent))
            flying.append((served_s + line.one_way_s + generator.uniform(0, line.jitter_s), datagram))
        if capacity == 0:
            served_s = now
        for entry in [entry for entry in flying if entry[0] <= now]:
            flying.remove(entry)
            if entry[1] is first_picture:
                acknowledged_at = entry[0] + line.one_way_s + 0.1  # decoding
            motion = entry[1].motion
            if motion is not None:
                newest, count, capture, repeats = motion
                fresh = {*range(newest - count + 1, newest + 1), *repeats} - decoded
                decoded |= fresh
                original |= {*range(newest - count + 1, newest + 1)}
                record.frames_decoded += len(fresh)
                if arrived is None or newest > arrived[0]:
                    arrived = (newest, capture, entry[0])
        if not picture_there and now >= acknowledged_at:
            picture_there = True
            controller.on_first_reference(first_picture_bytes, now, now)
        if arrived is not None and arrived[0] != told and now - fed_back >= 0.1:
            newest, capture, arrival = arrived
            mask = sum(1 << bit for bit in range(32) if newest - 1 - bit in original)
            capture_ms = round(capture * 1000) & 0xFFFF
            feedback = MotionFeedback(
                sequence=newest & 0xFF,
                received=mask,
                time_ms=capture_ms,
                transit_ms=(round((arrival + _CLOCK_OFFSET_S) * 1000) - capture_ms) & 0xFFFF,
                held_ms=min(round((now - arrival) * 1000), 255),
                lost=0,
            )
            returning.append((now + line.one_way_s, feedback))
            told, fed_back = newest, now
    return record
