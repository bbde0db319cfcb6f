"""A sender and a receiver over a made-up line: what one sends, the other shows. The real model, so few frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import pytest

from adasr_core.bitstream import BitstreamError, MotionFeedback, MotionMessage
from receiver import MotionOutcome, Origin, Receiver, RenderedFrame
from sender import CropMode, Sender, SenderConfig, TrackerConfig
from sender.rate_plan import RatePlan
from tests.real_model import Image, edge_codec, edge_model, talking

RATE = 25.0
TICK_S = 0.005


def psnr_db(a: Image, b: Image) -> float:
    error = float(np.square(a.astype(np.float64) - b).mean())
    return 10 * float(np.log10(255**2 / max(error, 1e-9)))


@dataclass
class Line:
    """A line. `motion` says, for a message's number, how long after sending each copy arrives, in seconds."""

    motion: Callable[[int], list[float]] = lambda number: [0.02]
    reference_s: float = 0.2
    return_s: float = 0.02
    lose_references: int = 0
    anchor_s: Callable[[int], float] = lambda number: 0.02
    lost_anchor: int = 0


@dataclass
class Call:
    """A call of some seconds, and everything that was seen in it."""

    line: Line
    sender: Sender = field(default_factory=lambda: make_sender())
    receiver: Receiver = field(default_factory=lambda: Receiver(edge_model(), edge_codec()))
    shown: list[tuple[float, RenderedFrame]] = field(default_factory=list)
    sources: dict[int, Image] = field(default_factory=dict)
    outcomes: list[MotionOutcome] = field(default_factory=list)
    requests: int = 0
    anchors: int = 0
    refused: int = 0
    _to_receiver: list[tuple[float, int, bytes]] = field(default_factory=list)
    _to_sender: list[tuple[float, int, tuple[int, int] | MotionFeedback | None]] = field(default_factory=list)
    _motions: int = 0
    _told: float = -1.0
    _asked: float = -1.0

    def run(self, start: int, frames: int) -> None:
        for tick in range(round(start / RATE / TICK_S), round((start + frames) / RATE / TICK_S)):
            now = tick * TICK_S
            if tick % round(1 / RATE / TICK_S) == 0:
                self._capture(round(now * RATE), now)
            self._deliver(now)
            while (frame := self.receiver.render(now)) is not None:
                self.shown.append((now, frame))

    def _capture(self, number: int, now: float) -> None:
        output = self.sender.push_frame(talking(number), now)
        assert output.picture is not None
        self.sources[round(now * 1000)] = output.picture
        if output.reference is not None:
            if self.line.lose_references > 0:
                self.line.lose_references -= 1
            else:
                self._to_receiver.append((now + self.line.reference_s, 0, output.reference.pack()))
        if output.anchor is not None:
            self.anchors += 1
            if self.anchors != self.line.lost_anchor:
                self._to_receiver.append((now + self.line.anchor_s(self.anchors), 0, output.anchor.pack()))
        for message in output.messages:
            for delay in self.line.motion(self._motions):
                self._to_receiver.append((now + delay, 1, message.pack()))
            self._motions += 1
        self.sender.close_loop()

    def _deliver(self, now: float) -> None:
        for due in sorted(item for item in self._to_receiver if item[0] <= now + 1e-9):
            self._to_receiver.remove(due)
            if due[1] == 0:
                self._take_picture(due[2], now)
            else:
                self.outcomes.append(self.receiver.receive_motion(due[2], now))
        if self.receiver.wants_reference and now - self._asked > 0.1:
            self._asked = now
            self.requests += 1
            self._answer(now, None)
        if now - self._told >= 0.1 and (feedback := self.receiver.feedback(now)) is not None:
            self._told = now
            self._answer(now, feedback)
        for item in [item for item in self._to_sender if item[0] <= now + 1e-9]:
            self._to_sender.remove(item)
            self._take_answer(item[2])

    def _take_picture(self, data: bytes, now: float) -> None:
        try:
            answer = self.receiver.receive_reference(data, now)
        except BitstreamError:
            self.refused += 1
            return
        if answer is not None:
            self._answer(now, (answer.slot, answer.generation))

    def _answer(self, now: float, what: tuple[int, int] | MotionFeedback | None) -> None:
        self._to_sender.append((now + self.line.return_s, len(self._to_sender), what))

    def _take_answer(self, what: tuple[int, int] | MotionFeedback | None) -> None:
        if what is None:
            self.sender.request_reference()
        elif isinstance(what, MotionFeedback):
            self.sender.take_feedback(MotionFeedback.unpack(what.pack()))
        else:
            self.sender.acknowledge_reference(*what)


def make_sender(interval: int | None = None, plan: RatePlan | None = None) -> Sender:
    config = SenderConfig(
        tracker=TrackerConfig(mode=CropMode.FULL),
        closed_loop_interval_frames=interval,
        plan=plan if plan is not None else RatePlan(),
    )
    return Sender(edge_model(), edge_codec(), config)


def motion_of(sender: Sender, frame: int) -> MotionMessage:
    (message,) = sender.push_frame(talking(frame), frame / RATE).messages
    return message


def wants(receiver: Receiver) -> bool:
    return receiver.wants_reference


def check_order(call: Call) -> None:
    times = [frame.capture_time_ms for _, frame in call.shown]
    assert times == sorted(set(times)), "never out of order, never twice"


def test_on_a_good_line_every_frame_is_shown_and_looks_like_its_source() -> None:
    call = Call(Line())
    call.run(0, 50)
    check_order(call)
    first = call.shown[0][1].capture_time_ms
    assert [frame.capture_time_ms for _, frame in call.shown if frame.origin is Origin.SENT] == list(
        range(first, first + 40 * len(call.shown), 40)
    )
    assert len(call.shown) >= 50 - 9
    quality = [psnr_db(frame.picture, call.sources[frame.capture_time_ms]) for _, frame in call.shown]
    repeated = [psnr_db(call.sources[0], source) for ms, source in call.sources.items() if ms]
    assert np.mean(quality) > 22
    assert np.mean(quality) > np.mean(repeated) + 1.0, "better than the key frame held"
    assert call.requests == 0


def test_loss_reordering_and_duplicates_leave_an_even_picture() -> None:
    generator = np.random.default_rng(9)

    def rough(number: int) -> list[float]:
        if generator.random() < 0.08:
            return []
        copies = 2 if generator.random() < 0.1 else 1
        return [0.02 + float(generator.uniform(0, 0.05)) for _ in range(copies)]

    call = Call(Line(motion=rough))
    call.run(0, 100)
    check_order(call)
    statistics = call.receiver.statistics
    assert statistics.duplicates > 0
    assert statistics.interpolated > 0
    assert statistics.lost > 0
    assert statistics.missing_base == 0, "only what is known to be here is built on"
    assert statistics.loss > 0.02
    assert call.requests == 0
    steady = [(now, frame) for now, frame in call.shown if frame.capture_time_ms >= 1500]
    assert len(steady) >= 0.93 * (100 - 1500 / 40)
    assert np.diff([frame.capture_time_ms for _, frame in steady]).max() <= 120
    drawn = [frame for _, frame in steady if frame.origin is Origin.INTERPOLATED]
    quality = [psnr_db(frame.picture, nearest(call, frame.capture_time_ms)) for frame in drawn]
    assert np.mean(quality) > 21, "a frame drawn between its neighbours looks like the lost one"


def nearest(call: Call, capture_ms: int) -> Image:
    return call.sources[min(call.sources, key=lambda ms: abs(ms - capture_ms))]


def test_the_first_reference_being_lost_only_costs_time() -> None:
    call = Call(Line(lose_references=1))
    call.run(0, 110)
    assert call.shown, "the sender sent it again by itself"
    assert call.shown[0][0] < 3.6
    check_order(call)


def test_a_receiver_that_begins_anew_asks_and_gets_a_picture_again() -> None:
    call = Call(Line())
    call.run(0, 30)
    assert call.shown
    call.receiver = Receiver(edge_model(), edge_codec())
    call.shown.clear()
    call.run(30, 30)
    assert MotionOutcome.UNKNOWN_REFERENCE in call.outcomes
    assert call.requests >= 1
    assert not call.receiver.wants_reference
    assert call.shown[0][0] - 30 / RATE < 0.6, "back within the time of one reference"
    assert len(call.shown) >= 12


def test_what_the_sender_measures_is_what_the_receiver_shows() -> None:
    call = Call(Line(), sender=make_sender(interval=4))
    call.run(0, 50)
    held = {(frame.slot, frame.generation) for _, frame in call.shown}
    assert len(held) >= 1
    statistics = call.sender.statistics
    assert statistics.quality_db is not None
    last = call.shown[-1][1]
    assert statistics.quality_db == pytest.approx(psnr_db(last.picture, nearest(call, last.capture_time_ms)), abs=4)


def test_garbage_is_refused_counted_and_changes_nothing() -> None:
    sender = make_sender()
    receiver = Receiver(edge_model(), edge_codec())
    reference = sender.push_frame(talking(0), 0.0).reference
    assert reference is not None
    good = reference.pack()
    generator = np.random.default_rng(10)
    for length in (0, 1, 20, 300, len(good) // 2, len(good) - 1):
        with pytest.raises(BitstreamError):
            receiver.receive_reference(good[:length], 0.0)
    for _ in range(20):
        damaged = bytearray(good)
        damaged[int(generator.integers(len(good)))] ^= 1 << int(generator.integers(8))
        with pytest.raises(BitstreamError):
            receiver.receive_reference(bytes(damaged), 0.0)
    assert wants(receiver)
    assert receiver.statistics.malformed == 26
    assert receiver.statistics.references_held == 0

    answer = receiver.receive_reference(good, 0.0)
    assert answer is not None
    assert not wants(receiver)
    sender.acknowledge_reference(answer.slot, answer.generation)
    data = motion_of(sender, 1).pack()
    for _ in range(300):
        noise = generator.integers(0, 256, int(generator.integers(0, 60)), dtype=np.uint8).tobytes()
        damaged = bytearray(data)
        damaged[int(generator.integers(len(data)))] ^= 1 << int(generator.integers(8))
        for packet in (noise, bytes(damaged)):
            try:
                receiver.receive_motion(packet, 0.05)
            except BitstreamError:
                continue
    while receiver.render(0.3) is not None:
        pass
    fresh = Receiver(edge_model(), edge_codec())
    fresh.receive_reference(good, 0.0)
    assert fresh.receive_motion(data, 0.05) is MotionOutcome.ACCEPTED
    assert fresh.receive_motion(data, 0.05) is MotionOutcome.DUPLICATE
    assert fresh.render(0.1) is not None


def test_the_bank_tells_replaced_from_unknown_references() -> None:
    sender = make_sender()
    receiver = Receiver(edge_model(), edge_codec())
    first = sender.push_frame(talking(0), 0.0).reference
    assert first is not None
    receiver.receive_reference(first.pack(), 0.0)
    again = receiver.receive_reference(first.pack(), 0.1)
    assert again is not None
    assert (again.slot, again.generation) == (first.slot, first.generation)
    sender.acknowledge_reference(first.slot, first.generation)
    old = motion_of(sender, 1)

    newer = replace(first, generation=first.generation + 1)
    receiver.receive_reference(newer.pack(), 0.2)
    assert receiver.receive_motion(old.pack(), 0.2) is MotionOutcome.REPLACED_REFERENCE
    assert not wants(receiver), "a packet that was overtaken is no reason to ask"
    stranger = replace(old, slot=9)
    assert receiver.receive_motion(stranger.pack(), 0.2) is MotionOutcome.UNKNOWN_REFERENCE
    assert wants(receiver)
    assert receiver.render(1.0) is None


def test_a_reference_of_another_size_is_refused() -> None:
    packet = make_sender().push_frame(talking(0), 0.0).reference
    assert packet is not None
    other = replace(packet, frame_px=256)
    with pytest.raises(BitstreamError, match="256"):
        Receiver(edge_model(), edge_codec()).receive_reference(other.pack(), 0.0)


ANCHORED = RatePlan(frames_per_message=4, anchor_frames=4, anchor_crf=52.0, reference_bps=1e6)


def quality_db(call: Call, since_ms: int) -> float:
    """Mean over the frames shown that were captured at or after a moment."""
    frames = [frame for _, frame in call.shown if frame.capture_time_ms >= since_ms]
    return float(np.mean([psnr_db(frame.picture, call.sources[frame.capture_time_ms]) for frame in frames]))


def test_frames_between_anchors_look_better_than_those_rebuilt_from_one_reference() -> None:
    plain = Call(Line(), sender=make_sender(plan=replace(ANCHORED, anchor_frames=0, reference_bps=0.0)))
    anchored = Call(Line(), sender=make_sender(plan=ANCHORED))
    for call in (plain, anchored):
        call.run(0, 40)
        check_order(call)
    assert plain.anchors == 0
    assert anchored.anchors >= 7
    assert anchored.receiver.statistics.anchors == anchored.anchors
    assert anchored.sender.statistics.references == 1, "anchors take the place of later references"
    assert quality_db(anchored, 600) > quality_db(plain, 600) + 1.0
    assert anchored.requests == 0


def test_late_anchors_hold_nothing_up() -> None:
    late = Call(Line(anchor_s=lambda number: 0.3 if number % 2 else 0.31), sender=make_sender(plan=ANCHORED))
    late.run(0, 40)
    check_order(late)
    times = [now for now, _ in late.shown if now > 0.6]
    assert max(b - a for a, b in pairwise(times)) < 0.1
    assert late.refused == 0


def test_a_lost_anchor_ends_the_chain_and_a_new_one_begins() -> None:
    call = Call(Line(lost_anchor=3), sender=make_sender(plan=ANCHORED))
    call.run(0, 60)
    check_order(call)
    assert call.refused >= 1
    assert call.requests >= 1
    assert call.sender.statistics.references == 2
    assert quality_db(call, 1900) > 27, "anchors are drawn from again"
    times = [now for now, _ in call.shown if now > 0.6]
    assert max(b - a for a, b in pairwise(times)) < 0.1, "motion went on meanwhile"


def test_held_anchors_wait() -> None:
    sender = make_sender(plan=ANCHORED)
    sender.push_frame(talking(0), 0.0)
    reference = sender.push_frame(talking(1), 0.04).reference
    assert reference is None
    sender.acknowledge_reference(0, 0)
    sender.hold_anchors(True)
    assert all(sender.push_frame(talking(n), n / RATE).anchor is None for n in range(2, 10))
    sender.hold_anchors(False)
    assert sum(sender.push_frame(talking(n), n / RATE).anchor is not None for n in range(10, 14)) == 1
