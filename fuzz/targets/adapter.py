"""Adapter files: safetensors with differences of weights, from a peer."""

from __future__ import annotations

import struct

import numpy as np

from adasr_core.adapter import Adapter, AdapterError
from adasr_core.weight_difference import ByteDifference, Difference, HalfDifference, LowRankDifference
from fuzz.target import Target


def build() -> Target:
    """What loads saves to bytes that load to the same."""
    half = HalfDifference(np.linspace(-0.5, 0.5, 6).astype(np.float16))
    by_bytes = ByteDifference.quantize(np.linspace(-0.1, 0.1, 12).reshape(3, 4).astype(np.float32))
    low_rank = LowRankDifference(np.full((3, 1), 0.5, np.float16), np.full((1, 4), 0.25, np.float16))
    sets: tuple[dict[str, Difference], ...] = (
        {"generator.grow.bias": half},
        {"motion.head.weight": by_bytes},
        {"encoder.blocks.0.first.weight": low_rank, "generator.grow.bias": half},
    )
    return Target(check=_check, errors=(AdapterError,), seeds=tuple(map(_packed, sets)), max_bytes=2048)


def _packed(differences: dict[str, Difference]) -> bytes:
    adapter = Adapter(
        model="edge",
        codec_id="0" * 16,
        base_sha256="0" * 64,
        differences=differences,
        person="a",
        steps=1,
        gain_db=0.5,
        face_gain_db=0.25,
    )
    return adapter.to_bytes()


def _check(data: bytes) -> None:
    adapter = Adapter.from_bytes(_with_right_length(data))
    packed = adapter.to_bytes()
    assert Adapter.from_bytes(packed).to_bytes() == packed


def _with_right_length(data: bytes) -> bytes:
    """The header's length put right where the header's end can be found: few mutations keep both."""
    end = data.rfind(b"}")
    if len(data) < 9 or end < 8 or data[0] % 2 == 0:
        return data
    return struct.pack("<Q", end + 1 - 8) + data[8:]
