"""A peer that sends more than anybody would: memory and time stay bounded, and what is honest still gets through."""

from __future__ import annotations

import random
import time
import zlib
from contextlib import suppress

import pytest

from adasr_core.bitstream import BitstreamError, CodedFrame, FrameToCode, MotionCodec, MotionMessage, read_akc
from call.drop_oldest import DropOldestQueue
from call.key_receiver import KeyReceiver
from call.key_sender import KeySender, KeySenderConfig
from call.key_transfer import MAX_TRANSFER_BYTES, KeyAck, KeyChunk, KeyRefusal, split_transfer, unpack_key_message
from fuzz.made_akc import made_akc
from fuzz.made_tables import made_tables
from fuzz.material import head_motion
from tests.fuzz.memory import MEBIBYTE, extra_bytes, needs_peak

pytestmark = needs_peak


def test_half_finished_key_transfers() -> None:
    receiver = KeyReceiver()
    largest = split_transfer(bytes(MAX_TRANSFER_BYTES), 0, 984)

    def flood() -> None:
        for transfer in range(2000):
            now = transfer / 100
            for chunk in largest[:-1:60]:
                message = KeyChunk(transfer, chunk.index, chunk.count, chunk.total_bytes, chunk.check, chunk.body)
                assert receiver.receive(message, now) is None
            assert receiver.held_bytes <= MAX_TRANSFER_BYTES
            assert len(receiver.datagrams_to_send(now)) <= 4

    assert extra_bytes(flood) < 4 * MEBIBYTE
    assert receiver.receive(split_transfer(b"honest", 2001, 984)[0], 30.0) == b"honest"


def test_transfers_that_never_fit_their_check() -> None:
    receiver = KeyReceiver()

    def flood() -> None:
        for transfer in range(20_000):
            chunk = split_transfer(b"wrong", transfer, 984)[0]
            try:
                receiver.receive(KeyChunk(chunk.transfer, 0, 1, chunk.total_bytes, chunk.check ^ 1, chunk.body), 0.0)
            except ValueError:
                continue
            raise AssertionError("a transfer with a wrong check was taken")

    assert extra_bytes(flood) < 4 * MEBIBYTE
    assert len(receiver.datagrams_to_send(1.0)) <= 40


def test_acknowledgements_of_nothing() -> None:
    sender = KeySender(KeySenderConfig(bytes_per_s=1e6), 0.0)
    sender.offer(bytes(5000))
    (first,) = sender.datagrams_to_send(0.0, 1)
    rng = random.Random(1)

    def flood() -> None:
        for number in range(20_000):
            answer = KeyAck(rng.randrange(1, 65536), 65535) if number % 2 else KeyRefusal(rng.randrange(1, 65536))
            sender.acknowledged(answer, number / 1e6)

    assert extra_bytes(flood) < 4 * MEBIBYTE
    assert not sender.idle
    assert sender.take_results() == []
    chunk = unpack_key_message(first)
    assert isinstance(chunk, KeyChunk)
    sender.acknowledged(KeyAck(chunk.transfer, 1), 0.1)
    assert sender.datagrams_to_send(0.2, 1) != [first]


def test_a_queue_full_of_tiny_messages() -> None:
    queue: DropOldestQueue[bytes] = DropOldestQueue(32, 8)

    def flood() -> None:
        for number in range(200_000):
            queue.put(number.to_bytes(4, "big"), number % 2)

    assert extra_bytes(flood) < 2 * MEBIBYTE
    assert len(queue) == 40
    assert queue.dropped == 200_000 - 40


def test_the_costliest_motion_message_of_a_real_size() -> None:
    """64 coefficients, nearly all escaped, eight frames, the largest tables: far below 100 ms."""
    codec = MotionCodec(made_tables(40, 64, radius=1), 40)
    motion = head_motion(40, 16)
    rng = random.Random(3)
    frames = [FrameToCode(40 * number, motion[2 * number]) for number in range(8)]
    longest, _ = codec.encode_message(frames, motion[15], slot=0, generation=0, sequence=7, quality=0)
    bodies = [rng.randbytes(2196) for _ in range(200)]
    noise = [MotionMessage(slot=0, generation=0, sequence=9, time_ms=0, body=body) for body in bodies]
    messages = [longest, *noise]
    base = CodedFrame(0, 0, 0, 0, 4, (0,) * 64, motion[0])

    def slowest_s(message: MotionMessage) -> float:
        least = float("inf")
        for _ in range(3):
            start = time.process_time()
            with suppress(ValueError):
                codec.decode_message(message, motion[0], lambda sequence: base)
            least = min(least, time.process_time() - start)
        return least

    assert max(map(slowest_s, messages)) < 0.1
    assert extra_bytes(lambda: [slowest_s(message) for message in messages]) < 4 * MEBIBYTE


def test_a_file_of_more_records_than_it_says() -> None:
    """Records of a few bytes become hundreds of bytes of objects: the reader stops at the first one too many."""
    file = made_akc(messages=1, picture=b"?")
    reference = 10 + int.from_bytes(file[6:10], "big")
    motion = reference + 2 + file[reference + 1]
    content = file[: motion + 2 + file[motion + 1]] + b"\x10\x04\x00\x01\x00\x00" * 300_000
    wrong = content + zlib.crc32(content).to_bytes(4, "big")

    def refused() -> None:
        with pytest.raises(BitstreamError, match="more than the header's 3 frames"):
            read_akc(wrong)

    assert extra_bytes(refused) < MEBIBYTE
