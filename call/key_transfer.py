"""The messages of the key channel: references in chunks, with acknowledgements of our own (pure).

The channel is unordered and never repeats, because a reliable channel of the same SCTP association holds motion up by
as much as 8.9 s when packets are lost (docs/transport.md). Instead the receiver says which chunks it has and the sender
repeats the others (call.key_sender, call.key_receiver). Layouts, all integers big-endian::

    chunk    1 u8 | transfer u16 | index u16 | count u16 | total u24 | check u32 | body
    whole    4 u8 | transfer u16 | body
    ack      2 u8 | transfer u16 | next u16 | 0 to 64 bytes of bit mask
    refusal  3 u8 | transfer u16
    probe    0 u8

``total`` bytes are cut into ``count`` bodies of ceil(total / count) bytes, the last one shorter, so that index, count
and total fix every body's place and length. ``check`` is the CRC-32 of the whole. A transfer that fits one chunk, as
most anchors do, travels as ``whole`` and is never cut; DTLS vouches for its bytes. An ack says that all chunks before
``next`` arrived and, by bit i of the mask (bit 0 is the lowest of its first byte), that chunk next + 1 + i did. A
refusal says that the transfer cannot be taken. A probe means nothing: the acknowledgement that SCTP returns for it
proves the path.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from adasr_core.bitstream.errors import BitstreamError

MAX_TRANSFER_BYTES = 300_000
MAX_CHUNK_BYTES = 1_000
MIN_BODY_BYTES = 128
TRANSFER_MODULO = 1 << 16
PROBE = b"\x00"

_CHUNK = struct.Struct("!BHHHBHI")
_ACK = struct.Struct("!BHH")
_REFUSAL = struct.Struct("!BH")
_WHOLE = struct.Struct("!BH")
_CHUNK_KIND, _ACK_KIND, _REFUSAL_KIND, _WHOLE_KIND = 1, 2, 3, 4
_MASK_BYTES = 64
CHUNK_HEADER_BYTES = _CHUNK.size
MAX_BODY_BYTES = MAX_CHUNK_BYTES - CHUNK_HEADER_BYTES
_LEAST_BODY_BYTES = MIN_BODY_BYTES // 2  # bodies of equal length come out somewhat shorter than asked for
MAX_CHUNKS = -(-MAX_TRANSFER_BYTES // _LEAST_BODY_BYTES)


@dataclass(frozen=True, slots=True)
class KeyChunk:
    """One piece of a transfer.

    Attributes:
        transfer: running number modulo 65536.
        index: which piece, below count.
        count: pieces of the transfer.
        total_bytes: length of the whole, 1 to 300,000.
        check: CRC-32 of the whole.
        body: the piece.
    """

    transfer: int
    index: int
    count: int
    total_bytes: int
    check: int
    body: bytes

    def pack(self) -> bytes:
        """The message."""
        if self.count == 1:
            return _WHOLE.pack(_WHOLE_KIND, self.transfer) + self.body
        total = self.total_bytes
        return (
            _CHUNK.pack(_CHUNK_KIND, self.transfer, self.index, self.count, total >> 16, total & 0xFFFF, self.check)
            + self.body
        )


@dataclass(frozen=True, slots=True)
class KeyAck:
    """What the receiver has of a transfer: every chunk below ``next_index``, and those of ``beyond``."""

    transfer: int
    next_index: int
    beyond: frozenset[int] = frozenset()

    def pack(self) -> bytes:
        """The message; chunks more than 512 beyond the first missing one are left out."""
        mask = 0
        for index in self.beyond:
            if 0 <= index - self.next_index - 1 < 8 * _MASK_BYTES:
                mask |= 1 << (index - self.next_index - 1)
        packed = _ACK.pack(_ACK_KIND, self.transfer, self.next_index)
        return packed + mask.to_bytes((mask.bit_length() + 7) // 8, "little")


@dataclass(frozen=True, slots=True)
class KeyRefusal:
    """The receiver cannot take the transfer."""

    transfer: int

    def pack(self) -> bytes:
        """The message."""
        return _REFUSAL.pack(_REFUSAL_KIND, self.transfer)


def unpack_key_message(data: bytes) -> KeyChunk | KeyAck | KeyRefusal | None:
    """Read one message of the key channel; None for a probe.

    Raises:
        BitstreamError: it is none of the five, or its fields contradict each other.
    """
    if data == PROBE:
        return None
    kind = data[0] if data else -1
    if kind == _CHUNK_KIND and _CHUNK.size < len(data) <= MAX_CHUNK_BYTES:
        return _unpack_chunk(data)
    if kind == _WHOLE_KIND and _WHOLE.size < len(data) <= _WHOLE.size + MAX_BODY_BYTES:
        body = data[_WHOLE.size :]
        return KeyChunk(_WHOLE.unpack_from(data)[1], 0, 1, len(body), zlib.crc32(body), body)
    if kind == _ACK_KIND and _ACK.size <= len(data) <= _ACK.size + _MASK_BYTES:
        _, transfer, next_index = _ACK.unpack_from(data)
        mask = int.from_bytes(data[_ACK.size :], "little")
        beyond = frozenset(next_index + 1 + bit for bit in range(mask.bit_length()) if mask >> bit & 1)
        return KeyAck(transfer, next_index, beyond)
    if kind == _REFUSAL_KIND and len(data) == _REFUSAL.size:
        return KeyRefusal(_REFUSAL.unpack(data)[1])
    raise BitstreamError(
        f"key message: got kind {kind} with {len(data)} bytes, expected a chunk, a whole, an ack, a refusal or a probe"
    )


def _unpack_chunk(data: bytes) -> KeyChunk:
    _, transfer, index, count, high, low, check = _CHUNK.unpack_from(data)
    chunk = KeyChunk(transfer, index, count, high << 16 | low, check, data[_CHUNK.size :])
    if not 1 <= chunk.total_bytes <= MAX_TRANSFER_BYTES:
        raise BitstreamError(f"key chunk: a transfer of {chunk.total_bytes} bytes, expected 1 to {MAX_TRANSFER_BYTES}")
    if not (2 <= count <= MAX_CHUNKS and index < count):
        raise BitstreamError(f"key chunk: got {index} of {count}, expected below 2 to {MAX_CHUNKS}")
    body_bytes = body_length(chunk.total_bytes, count)
    last_bytes = chunk.total_bytes - (count - 1) * body_bytes
    expected = last_bytes if index == count - 1 else body_bytes
    if last_bytes < 1 or body_bytes < _LEAST_BODY_BYTES or len(chunk.body) != expected:
        raise BitstreamError(
            f"key chunk {index} of {count} in {chunk.total_bytes} bytes: got {len(chunk.body)} bytes, "
            f"expected {expected}, and at least {_LEAST_BODY_BYTES} in all but the last"
        )
    return chunk


def body_length(total_bytes: int, count: int) -> int:
    """Length of every body but the last."""
    return -(-total_bytes // count)


def split_transfer(data: bytes, transfer: int, body_bytes: int) -> list[KeyChunk]:
    """Cut a transfer into chunks of about equal length.

    Args:
        data: 1 to 300,000 bytes.
        transfer: running number; only its low 16 bits travel.
        body_bytes: greatest length of a body, 128 to 986; what fits one chunk of 986 is never cut.

    Raises:
        ValueError: the data is empty or too long.
    """
    if not 0 < len(data) <= MAX_TRANSFER_BYTES:
        raise ValueError(f"transfer: {len(data)} bytes, expected 1 to {MAX_TRANSFER_BYTES}; lower the picture quality")
    if not MIN_BODY_BYTES <= body_bytes <= MAX_BODY_BYTES:
        raise ValueError(f"chunk body: got {body_bytes} bytes, expected {MIN_BODY_BYTES} to {MAX_BODY_BYTES}")
    count = 1 if len(data) <= MAX_BODY_BYTES else -(-len(data) // body_bytes)
    length = body_length(len(data), count)
    count = -(-len(data) // length)  # rounding the length up can leave the last chunk empty
    check = zlib.crc32(data)
    return [
        KeyChunk(
            transfer % TRANSFER_MODULO, index, count, len(data), check, data[index * length : (index + 1) * length]
        )
        for index in range(count)
    ]
