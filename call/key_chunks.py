"""References in chunks, paced, so that a picture never delays the motion packets behind it.

One SCTP association sends everything in one order (no RFC 8260 interleaving in aiortc): a 40 kB message in one piece
delays motion by 51 to 8,868 ms (measured), 1.1 kB every 10 ms by 2 to 7 ms. Layout of a chunk::

    transfer u16 | index u16 | count u16 | up to 1,094 bytes

All fields big-endian. The channel is reliable and ordered, so a chunk out of order is an error, not a loss.
"""

from __future__ import annotations

import struct

from adasr_core.bitstream.errors import BitstreamError

CHUNK_BYTES = 1100
MAX_TRANSFER_BYTES = 300_000

_HEADER = struct.Struct("!HHH")
_BODY_BYTES = CHUNK_BYTES - _HEADER.size
_ROUNDING_BYTES = 1e-3
_MAX_COUNT = -(-MAX_TRANSFER_BYTES // _BODY_BYTES)


def split_chunks(data: bytes, transfer: int) -> list[bytes]:
    """Cut one transfer into chunks of at most 1,100 bytes each.

    Args:
        data: 1 to 300,000 bytes.
        transfer: running number; only its low 16 bits travel.

    Raises:
        ValueError: the data is empty or too long.
    """
    if not 0 < len(data) <= MAX_TRANSFER_BYTES:
        raise ValueError(f"transfer: {len(data)} bytes, expected 1 to {MAX_TRANSFER_BYTES}; lower the picture quality")
    count = -(-len(data) // _BODY_BYTES)
    return [
        _HEADER.pack(transfer & 0xFFFF, index, count) + data[index * _BODY_BYTES : (index + 1) * _BODY_BYTES]
        for index in range(count)
    ]


class ChunkAssembler:
    """Puts the chunks of one ordered channel together again; holds at most one transfer."""

    def __init__(self) -> None:
        """Start without a transfer."""
        self._transfer = -1
        self._count = 0
        self._parts: list[bytes] = []

    def receive(self, chunk: bytes) -> bytes | None:
        """Take one chunk; return the whole transfer with its last one.

        Raises:
            BitstreamError: the chunk is malformed or does not follow the one before; the transfer is forgotten.
        """
        if not _HEADER.size < len(chunk) <= CHUNK_BYTES:
            self._forget()
            raise BitstreamError(f"chunk: {len(chunk)} bytes, expected {_HEADER.size + 1} to {CHUNK_BYTES}")
        transfer, index, count = _HEADER.unpack_from(chunk)
        follows = index == 0 or (transfer == self._transfer and count == self._count and index == len(self._parts))
        full = index == count - 1 or len(chunk) == CHUNK_BYTES
        if not 1 <= count <= _MAX_COUNT or not follows or index >= count or not full:
            expected = f"chunk {len(self._parts)} of {self._count} in transfer {self._transfer}"
            self._forget()
            raise BitstreamError(
                f"chunk: got {index} of {count} in transfer {transfer}, expected {expected} or a new one"
            )
        if index == 0:
            self._transfer, self._count, self._parts = transfer, count, []
        self._parts.append(chunk[_HEADER.size :])
        if len(self._parts) < count:
            return None
        data = b"".join(self._parts)
        self._forget()
        return data

    def _forget(self) -> None:
        self._transfer, self._count, self._parts = -1, 0, []


class Pacer:
    """Token bucket: says how long to wait before so many bytes may go (pure; the clock is the caller's)."""

    def __init__(self, now: float, *, bytes_per_s: float, burst_bytes: float) -> None:
        """Start with a full bucket at ``now`` (seconds).

        Raises:
            ValueError: a rate or burst that is not positive.
        """
        if bytes_per_s <= 0 or burst_bytes <= 0:
            raise ValueError(f"pacer: got {bytes_per_s} B/s and burst {burst_bytes} B, expected positive numbers")
        self._rate = bytes_per_s
        self._burst = burst_bytes
        self._tokens = burst_bytes
        self._then = now

    def delay(self, size: int, now: float) -> float:
        """Seconds until ``size`` bytes may be sent; 0 takes them from the bucket at once."""
        self._tokens = min(self._burst, self._tokens + (now - self._then) * self._rate)
        self._then = now
        wanted = min(float(size), self._burst)
        if self._tokens >= wanted - _ROUNDING_BYTES:
            self._tokens -= size
            return 0.0
        return (wanted - self._tokens) / self._rate
