"""Several messages in one input, for parsers that keep a state: each with its length in front."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

_LENGTH_BYTES = 2


def joined(messages: Iterable[bytes]) -> bytes:
    """One input of messages of at most 65535 bytes each: length u16 (big endian), message, ..."""
    return b"".join(len(message).to_bytes(_LENGTH_BYTES, "big") + message for message in messages)


def parted(data: bytes) -> Iterator[bytes]:
    """Inverse of `joined` for any bytes: a message that is cut short comes as it is."""
    at = 0
    while at + _LENGTH_BYTES <= len(data):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(data[at:start], "big")
        yield data[start:at]
