"""The key channel: any messages to the receiving and to the sending end of a transfer."""

from __future__ import annotations

from itertools import islice

from adasr_core.bitstream import BitstreamError
from call.key_receiver import KeyReceiver
from call.key_sender import KeySender, KeySenderConfig, TransferResult
from call.key_transfer import (
    MAX_TRANSFER_BYTES,
    PROBE,
    KeyAck,
    KeyChunk,
    KeyRefusal,
    split_transfer,
    unpack_key_message,
)
from fuzz.sequences import joined, parted
from fuzz.target import Target

_MOST_ANSWERS = 40
_MOST_MESSAGES = 64
_LONG_S = 1000.0
_WHOLE_HEAD_BYTES = 3


def build() -> Target:
    """Inputs: messages as `joined`. Both ends stay bounded, and both go on after any fault."""
    seeds = [
        joined(chunk.pack() for chunk in split_transfer(bytes(size), number, 400))
        for number, size in enumerate((1, 986, 987, 1500))
    ]
    wholes = [split_transfer(bytes(size), number, 400)[0].pack() for number, size in enumerate((3, 700, 40), 65_534)]
    seeds.append(joined([*wholes, wholes[1]]))
    answers: list[KeyAck | KeyRefusal] = [KeyAck(0, 1, frozenset((2,))), KeyRefusal(0), KeyAck(0, 3)]
    seeds.append(joined([*(answer.pack() for answer in answers), PROBE]))
    return Target(check=_check, errors=(BitstreamError,), seeds=tuple(seeds), max_bytes=4096)


def _check(data: bytes) -> None:
    receiver, sender = KeyReceiver(), KeySender(KeySenderConfig(bytes_per_s=1e6), 0.0)
    sender.offer(bytes(2500))
    sender.datagrams_to_send(0.0, 2)
    refusal: BitstreamError | None = None
    read = 0
    for number, part in enumerate(islice(parted(data), _MOST_MESSAGES)):
        now = number / 100
        try:
            message = unpack_key_message(part)
            read += 1
            if isinstance(message, KeyChunk):
                assert message.pack() == part
                whole = receiver.receive(message, now)
                assert whole is None or 0 < len(whole) <= MAX_TRANSFER_BYTES
                assert message.count > 1 or whole in (None, part[_WHOLE_HEAD_BYTES:])
            elif message is not None:
                assert unpack_key_message(message.pack()) == message
                sender.acknowledged(message, now)
        except BitstreamError as error:
            refusal = error
        assert receiver.held_bytes <= MAX_TRANSFER_BYTES
        assert all(len(datagram) <= 69 for datagram in receiver.datagrams_to_send(now))
        sender.datagrams_to_send(now, 2)
    _check_still_usable(receiver, sender)
    if refusal and not read:
        raise refusal


def _check_still_usable(receiver: KeyReceiver, sender: KeySender) -> None:
    answers = receiver.datagrams_to_send(_LONG_S, early=True)
    assert len(answers) <= _MOST_ANSWERS
    # One number of the three lies ahead of any other; it may be one of those that were answered already.
    numbers = (third * 21_845 + further for further in range(_MOST_ANSWERS) for third in range(3))
    assert any(receiver.receive(split_transfer(b"on", number, 128)[0], _LONG_S) == b"on" for number in numbers)
    results = sender.take_results()
    if not results:
        sender.datagrams_to_send(_LONG_S, 1)
        results = sender.take_results()
    assert results in ([TransferResult.DELIVERED], [TransferResult.REFUSED], [TransferResult.GIVEN_UP])
    assert sender.idle
