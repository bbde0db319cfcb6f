"""The receiving end of the key channel: puts transfers together and says which chunks it has (pure).

One transfer is under assembly at a time, because the sender begins the next only when this one is acknowledged or given
up; so the transfers come out in order, and a hostile peer makes this end hold at most one transfer's 300,000 bytes.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict

from adasr_core.bitstream.errors import BitstreamError
from call.key_transfer import TRANSFER_MODULO, KeyAck, KeyChunk, KeyRefusal

ACK_DELAY_S = 0.03
_REMEMBERED = 32


class KeyReceiver:
    """Assembles the chunks of one peer; the clock is the caller's."""

    def __init__(self) -> None:
        """Start without a transfer."""
        self._newest: int | None = None
        self._first: KeyChunk | None = None
        self._bodies: dict[int, bytes] = {}
        self._next_index = 0
        self._answers: OrderedDict[int, KeyAck | KeyRefusal] = OrderedDict()
        self._due: dict[int, float] = {}

    @property
    def held_bytes(self) -> int:
        """Bytes of the unfinished transfer."""
        return sum(map(len, self._bodies.values()))

    def receive(self, chunk: KeyChunk, now: float) -> bytes | None:
        """Take one chunk; returns the whole transfer with its last missing one.

        Raises:
            BitstreamError: the chunk contradicts the others of its transfer, or the whole does not fit its check.
        """
        if chunk.transfer in self._answers:
            self._due.setdefault(chunk.transfer, now)  # our answer was lost, or the chunk came twice
            return None
        if self._newest is None or _is_newer(chunk.transfer, self._newest):
            self._forget()
            self._newest, self._first = chunk.transfer, chunk
        if chunk.transfer != self._newest or self._first is None:
            return None  # a straggler of a transfer that its sender gave up
        first = self._first
        if (chunk.count, chunk.total_bytes, chunk.check) != (first.count, first.total_bytes, first.check):
            raise BitstreamError(
                f"key chunk: got {chunk.count} chunks, {chunk.total_bytes} bytes, check {chunk.check:08x} in transfer "
                f"{chunk.transfer}, expected {first.count}, {first.total_bytes}, {first.check:08x} as before"
            )
        self._bodies[chunk.index] = chunk.body
        while self._next_index in self._bodies:
            self._next_index += 1
        if self._next_index < chunk.count:
            self._due.setdefault(chunk.transfer, now + ACK_DELAY_S)
            return None
        return self._finish(first, now)

    def datagrams_to_send(self, now: float, *, early: bool = False) -> list[bytes]:
        """Acknowledgements that are due; ``early`` takes those that are not due yet along with other messages."""
        due = [transfer for transfer, when in self._due.items() if early or when <= now]
        messages = []
        for transfer in due:
            del self._due[transfer]
            answer = self._answers.get(transfer)
            if answer is None and transfer == self._newest:
                answer = KeyAck(transfer, self._next_index, frozenset(n for n in self._bodies if n > self._next_index))
            if answer is not None:
                messages.append(answer.pack())
        return messages

    def next_deadline(self) -> float | None:
        """When the next acknowledgement is due."""
        return min(self._due.values(), default=None)

    def _finish(self, first: KeyChunk, now: float) -> bytes:
        data = b"".join(self._bodies[index] for index in range(first.count))
        self._forget()
        whole = zlib.crc32(data) == first.check
        self._answers[first.transfer] = KeyAck(first.transfer, first.count) if whole else KeyRefusal(first.transfer)
        self._due[first.transfer] = now
        while len(self._answers) > _REMEMBERED:
            forgotten, _ = self._answers.popitem(last=False)
            self._due.pop(forgotten, None)
        if not whole:
            raise BitstreamError(f"key transfer {first.transfer}: its {len(data)} bytes do not fit their check")
        return data

    def _forget(self) -> None:
        if self._newest is not None:
            self._due.pop(self._newest, None)
        self._first, self._bodies, self._next_index = None, {}, 0


def _is_newer(transfer: int, than: int) -> bool:
    """Serial number arithmetic, RFC 1982."""
    return 0 < (transfer - than) % TRANSFER_MODULO < TRANSFER_MODULO // 2
