"""Motion and tables that the tests of the coder share; all made up from a seed number."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil

import numpy as np

from adasr_core.bitstream import CodedFrame, FrameToCode, MotionCodec
from adasr_core.bitstream.prediction import MODES
from adasr_core.bitstream.tables import MotionTables
from adasr_core.geometry import MotionParameters


def made_reference(K: int, seed: int = 0) -> MotionParameters:
    """Keypoints anywhere, Jacobians near the identity."""
    generator = np.random.default_rng(seed)
    jacobians = np.eye(2) + generator.normal(size=(K, 2, 2)) * 0.1
    return MotionParameters.create(generator.uniform(-0.7, 0.7, (K, 2)), jacobians)


def moved(reference: MotionParameters, amount: float, seed: int = 1) -> MotionParameters:
    """Every value changed at random."""
    generator = np.random.default_rng(seed)
    return MotionParameters.create(
        reference.keypoints + generator.normal(size=reference.keypoints.shape) * amount,
        reference.jacobians + generator.normal(size=reference.jacobians.shape) * amount,
    )


def walk(reference: MotionParameters, count: int, amount: float = 0.01, seed: int = 2) -> list[MotionParameters]:
    """Frames that wander about the reference: each a random step from the one before, drawn back a little."""
    generator = np.random.default_rng(seed)
    start = reference.vector().astype(np.float64)
    place = np.zeros_like(start)
    frames = []
    for _ in range(count):
        place = 0.95 * place + generator.normal(size=place.shape) * amount
        frames.append(MotionParameters.from_vector((start + place).astype(np.float32)))
    return frames


def assert_same(a: MotionParameters, b: MotionParameters) -> None:
    """Equal to the last bit."""
    np.testing.assert_array_equal(a.keypoints, b.keypoints)
    np.testing.assert_array_equal(a.jacobians, b.jacobians)


def assert_same_frames(a: Sequence[CodedFrame], b: Sequence[CodedFrame]) -> None:
    """Two ends have the same frames, to the last bit."""
    assert len(a) == len(b)
    for one, other in zip(a, b, strict=True):
        assert (one.sequence, one.time_ms, one.slot, one.generation) == (
            other.sequence,
            other.time_ms,
            other.slot,
            other.generation,
        )
        assert (one.quality, one.coefficients, one.repeat) == (other.quality, other.coefficients, other.repeat)
        assert_same(one.parameters, other.parameters)


def single(
    codec: MotionCodec,
    driving: MotionParameters,
    reference: MotionParameters,
    *,
    sequence: int = 0,
    time_ms: int = 0,
    quality: int = 4,
    slot: int = 0,
    generation: int = 0,
) -> CodedFrame:
    """One frame, coded against the reference alone: a base for others."""
    _, (frame,) = codec.encode_message(
        [FrameToCode(time_ms, driving)],
        reference,
        slot=slot,
        generation=generation,
        sequence=sequence,
        quality=quality,
    )
    return frame


def plain_tables() -> MotionTables:
    """One keypoint, no transform, steps that floats hold exactly, all symbols alike: bytes that can be done by hand."""
    row = np.full(64, 256, np.uint16)
    return MotionTables(
        basis=np.eye(6, dtype=np.float32),
        synthesis=np.eye(6, dtype=np.float32),
        steps=np.full(6, 1 / 64, dtype=np.float32),
        scales=np.zeros((MODES, 6), np.uint8),
        frequencies=row[None],
        activity_offsets=np.zeros(1, np.int8),
        activity_frequencies=np.full((MODES, 1), 16384, np.uint16),
        reference_mean=np.array([0, 0, 1, 0, 0, 1], dtype=np.float32),
        reference_steps=np.full(6, 1 / 64, dtype=np.float32),
        reference_frequencies=np.tile(row, (6, 1)),
    )


def code_of(parts: Sequence[tuple[int, int, int]]) -> bytes:
    """What the document calls for, done with fractions: parts are (start, frequency, total) of every symbol."""
    low, width = Fraction(0), Fraction(1)
    for start, frequency, total in parts:
        low += width * Fraction(start, total)
        width *= Fraction(frequency, total)
    bits = 0
    while (number := ceil(low * 2**bits)) >= (low + width) * 2**bits:
        bits += 1
    length = -(-bits // 8)
    return int(number << 8 * length - bits).to_bytes(length, "big")


def raw(value: int, count: int) -> tuple[int, int, int]:
    """Raw bits as a part of `code_of`."""
    return value, 1, 1 << count
