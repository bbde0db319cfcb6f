"""A receiver with the real model under a flood: hostile messages of every kind, then an honest sender again."""

from __future__ import annotations

from collections import Counter

import pytest

from adasr_core.bitstream import (
    AnchorPacket,
    BitstreamError,
    CodedFrame,
    FrameToCode,
    MotionMessage,
    ReferencePacket,
    encode_picture,
)
from adasr_core.geometry import MotionParameters
from fuzz.material import av1_chain, head_motion, smooth_picture
from fuzz.mutator import Mutator
from receiver import MotionOutcome, Receiver
from tests.fuzz.memory import MEBIBYTE, extra_bytes, needs_peak
from tests.real_model import edge_codec, edge_model

pytestmark = needs_peak

FRAME_PX = 512
PICTURE = encode_picture(smooth_picture(FRAME_PX), 30)


def _motion() -> list[MotionParameters]:
    return head_motion(edge_codec().keypoints, 60)


def _reference(slot: int = 0, generation: int = 0) -> ReferencePacket:
    return ReferencePacket(
        slot=slot,
        generation=generation,
        time_ms=0,
        frame_px=FRAME_PX,
        parameters=edge_codec().encode_reference(_motion()[0]),
        picture=PICTURE,
    )


def _decoded_reference() -> MotionParameters:
    return edge_codec().decode_reference(_reference().parameters)


def _messages(first: int, count: int) -> list[MotionMessage]:
    """Messages of two frames, each on the one before."""
    motion, messages = _motion(), []
    base: CodedFrame | None = None
    for number in range(first, first + count):
        frames = [FrameToCode((2 * number + half) * 40 % 65536, motion[(2 * number + half) % 60]) for half in (0, 1)]
        message, coded = edge_codec().encode_message(
            frames,
            _decoded_reference(),
            slot=0,
            generation=0,
            sequence=(2 * number + 1) % 256,
            quality=4,
            base=base,
        )
        base = coded[-1]
        messages.append(message)
    return messages


def _receiver() -> Receiver:
    receiver = Receiver(edge_model(), edge_codec())
    receiver.receive_reference(_reference().pack(), 0.0)
    for number, message in enumerate(_messages(0, 5)):
        receiver.receive_motion(message.pack(), number * 0.08)
    return receiver


def _accepted(receiver: Receiver, now: float) -> int:
    """How many of 25 honest messages of one frame, against the reference alone, are taken from `now` on."""
    outcomes = []
    for number in range(25):
        frame = FrameToCode(number * 40, _motion()[number])
        message, _ = edge_codec().encode_message(
            [frame], _decoded_reference(), slot=0, generation=0, sequence=(200 + number) % 256, quality=4
        )
        outcomes.append(receiver.receive_motion(message.pack(), now + number * 0.04))
    assert receiver.next_render_time() is not None
    return outcomes.count(MotionOutcome.ACCEPTED)


def test_damaged_messages_by_the_thousand() -> None:
    receiver = _receiver()
    stream = Mutator([message.pack() for message in _messages(0, 20)], 1200, 9)
    messages = [stream.next() for _ in range(3000)]
    seen: Counter[str] = Counter()

    def flood() -> None:
        for number, message in enumerate(messages):
            now = 0.5 + number / 1000
            try:
                seen[receiver.receive_motion(message, now).value] += 1
            except BitstreamError:
                seen["malformed"] += 1
            receiver.feedback(now)
            receiver.next_render_time()

    assert extra_bytes(flood) < 16 * MEBIBYTE
    assert seen["malformed"] > 100
    assert len(seen) >= 4
    assert sum(seen.values()) == len(messages)
    assert receiver.statistics.malformed == seen["malformed"]
    # Some seconds without anything, then a sender that begins anew: its frames are taken.
    assert _accepted(receiver, 20.0) >= 20


def test_the_same_message_again_and_again() -> None:
    receiver = _receiver()
    last = _messages(0, 5)[-1].pack()

    def flood() -> None:
        for number in range(5000):
            receiver.receive_motion(last, 0.4 + number / 5000)

    assert extra_bytes(flood) < 4 * MEBIBYTE
    assert receiver.statistics.duplicates == 5000
    assert _accepted(receiver, 20.0) >= 20


def test_references_for_every_slot_and_generation() -> None:
    """The bank holds 16, whatever comes; a second time it is the same memory again."""
    receiver = _receiver()

    def fill() -> None:
        for slot in range(16):
            receiver.receive_reference(_reference(slot, 1).pack(), 1.0)

    fill()
    assert receiver.statistics.references_held == 16

    def again() -> None:
        for slot in range(16):
            receiver.receive_reference(_reference(slot, 2 + slot % 2).pack(), 2.0)

    assert extra_bytes(again) < 32 * MEBIBYTE
    assert receiver.statistics.references_held == 16


def _anchors(count: int, chain: int = 7) -> list[bytes]:
    """A chain of anchors 400 ms apart."""
    units = av1_chain(FRAME_PX, count)
    return [
        AnchorPacket(time_ms=400 * number, picture=bytes((chain,)) + unit[1:]).pack()
        for number, unit in enumerate(units)
    ]


def test_anchors_by_the_hundred() -> None:
    """With any times, without motion, drawn from at once or never: as much memory as six of them."""
    receiver = _receiver()
    packets = _anchors(8)
    times = [*range(0, 65_536, 2111), *[160] * 20, 0, 65_535]

    def flood() -> None:
        for number, time_ms in enumerate(times * 4):
            packet = packets[number % len(packets)]
            receiver.receive_reference(packet[:1] + time_ms.to_bytes(2, "big") + packet[3:], 0.5)
            if number % 20 == 0:
                receiver.render(0.5 + number / 1000)

    flood()
    assert extra_bytes(flood) < 32 * MEBIBYTE
    assert receiver.statistics.anchors == 8 * len(times)
    assert _accepted(receiver, 20.0) >= 20


def test_damaged_anchors_are_refused_and_a_new_chain_goes_on() -> None:
    receiver = _receiver()
    packets = _anchors(4)
    stream = Mutator(packets, 4000, 5)
    seen: Counter[bool] = Counter()

    def flood() -> None:
        for _ in range(400):
            try:
                receiver.receive_reference(b"\xa3" + stream.next()[1:], 1.0)
                seen[True] += 1
            except BitstreamError:
                assert receiver.wants_reference
                seen[False] += 1

    assert extra_bytes(flood) < 48 * MEBIBYTE
    assert seen[False] > 100
    assert receiver.statistics.malformed == seen[False]
    for packet in _anchors(4, chain=9):
        assert receiver.receive_reference(packet, 2.0) is None
    assert receiver.statistics.anchors == seen[True] + 4
    assert _accepted(receiver, 20.0) >= 20


@pytest.mark.parametrize("frame_px", [16, 256, 2048])
def test_a_reference_of_another_size_than_the_model_s(frame_px: int) -> None:
    receiver = _receiver()
    packet = ReferencePacket(
        slot=1,
        generation=0,
        time_ms=0,
        frame_px=frame_px,
        parameters=_reference().parameters,
        picture=encode_picture(smooth_picture(frame_px), 30),
    ).pack()

    def refused() -> None:
        with pytest.raises(BitstreamError):
            receiver.receive_reference(packet, 1.0)

    refused()
    assert extra_bytes(refused) < 8 * MEBIBYTE
