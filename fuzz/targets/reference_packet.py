"""Reference packets, as they come from a peer and with their check put right."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from adasr_core.bitstream import PICTURE_KEPT, BitstreamError, ReferencePacket
from fuzz.target import Target

_CHECK_BYTES = 8


def build() -> Target:
    """Every packet that unpacks must pack to the same bytes."""
    packet = ReferencePacket(slot=3, generation=9, time_ms=4711, frame_px=512, parameters=b"pq", picture=b"xyz")
    seeds = (
        packet.pack(),
        replace(packet, slot=15, generation=15, time_ms=65535, frame_px=2048, parameters=b"").pack(),
        replace(packet, picture=bytes(range(200))).pack(),
        replace(packet, picture=bytes(range(16)), picture_codec=PICTURE_KEPT).pack(),
        replace(packet, picture=bytes(16), picture_codec=PICTURE_KEPT, base=(1, 2)).pack(),
    )
    return Target(check=_check, errors=(BitstreamError,), seeds=seeds, max_bytes=512)


def _check(data: bytes) -> None:
    content = data[:-_CHECK_BYTES]
    for packed in (content + hashlib.sha256(content).digest()[:_CHECK_BYTES], data):
        assert ReferencePacket.unpack(packed).pack() == packed
