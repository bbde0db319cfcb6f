"""A line in simulated time, seeded, between a sender of synthetic motion and a playout with concealment.

Nothing is rebuilt: parameters are compared. So thousands of frames take a second.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from receiver import Origin, PlayoutConfig
from receiver.concealment import Concealment, Sample
from receiver.due_frames import Incoming
from receiver.playout import PlayoutBuffer

Vector = npt.NDArray[np.float64]

_PHASES = np.arange(18)
_STILL = np.concatenate((np.linspace(-0.5, 0.5, 6), np.tile((1.0, 0.0, 0.0, 1.0), 3)))


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulatedLine:
    """What happens to messages. Shares are 0 to 1."""

    loss: float = 0.0
    burst: float = 0.0
    """Share of messages at which a burst of losses begins, unless the last one was just before."""
    burst_messages: int = 8
    reordered: float = 0.0
    """Share that is held up by 60 ms."""
    duplicated: float = 0.0
    jitter_ms: float = 0.0
    """Evenly distributed from 0."""
    delay_ms: float = 30.0
    outage_s: tuple[float, float] | None = None
    """Nothing arrives that is sent between these times."""
    seed: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulatedSender:
    """What is sent: frames of a head that sways."""

    frames: int
    interval_ms: int = 40
    frames_per_message: int = 1
    repeats: int = 0
    """So many frames before a message's own are repeated in it."""
    clock_drift: float = 0.0
    """The sender's clock runs faster by this share."""


@dataclass(frozen=True, slots=True)
class ShownFrame:
    """now, capture_ms: when, and of when. vector: what was shown; truth: what it should be."""

    now: float
    capture_ms: int
    origin: Origin
    repeat: bool
    vector: Vector
    truth: Vector


@dataclass(frozen=True, slots=True)
class Played:
    """What was sent, what arrived and what was shown."""

    sender: SimulatedSender
    arrived: set[int]
    shown: list[ShownFrame]
    delays_ms: list[float]

    def share_shown(self, origins: set[Origin], *, from_frame: int = 50) -> float:
        """Share of the frames sent for which a picture of these origins, of just that moment, was shown."""
        half = self.sender.interval_ms / 2
        times = np.array([one.capture_ms for one in self.shown if one.origin in origins])
        wanted = np.arange(from_frame, self.sender.frames) * self.sender.interval_ms
        return float(np.mean([np.abs(times - one).min() < half for one in wanted]))

    def longest_freeze_s(self, *, from_s: float = 2.0, without: tuple[float, float] | None = None) -> float:
        """Longest time without a new picture, until the last frame was sent."""
        end = self.sender.frames * self.sender.interval_ms / 1000
        times = [one.now for one in self.shown if from_s <= one.now <= end]
        steps = pairwise(times)
        return max(b - a for a, b in steps if without is None or b < without[0] or a > without[1])

    def latencies_ms(self) -> Vector:
        """From capture to showing."""
        return np.array([one.now * 1000 - one.capture_ms for one in self.shown])

    def errors(self, origins: set[Origin] | None = None) -> Vector:
        """Distance of what was shown from what should be, root mean square over the parameters."""
        chosen = [one for one in self.shown if origins is None or one.origin in origins]
        return np.array([np.sqrt(np.mean((one.vector - one.truth) ** 2)) for one in chosen])


def motion_at(capture_ms: float) -> Vector:
    """Parameters of a head that sways, nods and talks: float64 [18], three keypoints with their Jacobians."""
    seconds = capture_ms / 1000
    sway = 0.08 * np.sin(2 * np.pi * 0.35 * seconds + 0.1 * _PHASES)
    talk = 0.01 * np.sin(2 * np.pi * 2.3 * seconds + _PHASES)
    vector: Vector = _STILL + sway + talk
    return vector


@dataclass
class _Traffic:
    arrivals: list[tuple[float, int, list[Incoming[int]]]] = field(default_factory=list)
    arrived: set[int] = field(default_factory=set)


def _send(sender: SimulatedSender, line: SimulatedLine) -> _Traffic:
    generator = np.random.default_rng(line.seed)
    traffic = _Traffic()
    lost_until = -1
    for message, newest in enumerate(range(sender.frames_per_message - 1, sender.frames, sender.frames_per_message)):
        sent_s = newest * sender.interval_ms / 1000
        if generator.random() < line.burst and message > lost_until + line.burst_messages:
            lost_until = message + line.burst_messages
        loss, duplicated, reordered = generator.random(3)
        jitter_s = generator.uniform(0, line.jitter_ms) / 1000
        out = line.outage_s is not None and line.outage_s[0] <= sent_s < line.outage_s[1]
        if message < lost_until or loss < line.loss or out:
            continue
        oldest = max(newest - sender.frames_per_message + 1 - sender.repeats, 0)
        frames = [
            Incoming(
                number & 0xFF,
                round(number * sender.interval_ms * (1 + sender.clock_drift)) & 0xFFFF,
                number,
                repeat=number <= newest - sender.frames_per_message,
            )
            for number in range(oldest, newest + 1)
        ]
        arrival = sent_s + line.delay_ms / 1000 + jitter_s + (0.06 if reordered < line.reordered else 0.0)
        traffic.arrivals.append((arrival, message, frames))
        if duplicated < line.duplicated:
            traffic.arrivals.append((arrival + generator.uniform(0, 0.1), message, frames))
        traffic.arrived.update(frame.payload for frame in frames if not frame.repeat)
    return traffic


def play(
    sender: SimulatedSender, line: SimulatedLine, config: PlayoutConfig | None = None, *, rebuild_s: float = 0.0
) -> Played:
    """Send all frames over the line and show them; showing one takes `rebuild_s`, during which nothing else is done."""
    config = config if config is not None else PlayoutConfig()
    buffer: PlayoutBuffer[int] = PlayoutBuffer(config)
    concealment = Concealment(config.concealment)
    traffic = _send(sender, line)
    waiting = sorted(traffic.arrivals, key=lambda one: one[:2])
    heapq.heapify(waiting)
    played = Played(sender, traffic.arrived, [], [])
    now = 0.0
    while True:
        due = buffer.next_due()
        due = None if due is None else max(due, now)
        if waiting and (due is None or waiting[0][0] <= due):
            arrival, _, frames = heapq.heappop(waiting)
            buffer.push(frames, arrival)
            now = max(now, arrival)
            continue
        if due is None:
            return played
        now = due
        frame = buffer.pull(now)
        assert frame is not None, "next_due promised one"
        known = frame.earlier if frame.later is None else (*frame.earlier, frame.later)
        samples = [Sample(one.stamp.capture_ms, motion_at(one.payload * sender.interval_ms), None) for one in known]
        parameters = concealment.parameters(samples, frame.capture_ms, frame.missed, buffer.interval_ms)
        truth = motion_at(frame.capture_ms / (1 + sender.clock_drift))
        repeat = frame.origin is Origin.SENT and known[-1].repeat
        played.shown.append(ShownFrame(now, frame.capture_ms, frame.origin, repeat, parameters.vector(), truth))
        played.delays_ms.append(buffer.delay_ms)
        now += rebuild_s
