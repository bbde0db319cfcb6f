"""Levels as symbols: rows, activities, escapes, what they cost."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from adasr_core.bitstream.entropy import Decoder, Encoder, FrequencyTable
from adasr_core.bitstream.errors import BitstreamError
from adasr_core.bitstream.levels import MAX_ESCAPE, LevelCoder, decode_level, encode_level, to_levels
from adasr_core.bitstream.prediction import MODES
from adasr_core.bitstream.tables import MotionTables
from tests.adasr_core.motion_material import code_of, raw

Build = Callable[[int], MotionTables]
Levels = npt.NDArray[np.int64]
RADIUS = 31
TAIL, TAIL_BITS = 0xA5C39D71, 32
ROW = FrequencyTable.from_frequencies([256] * 64)


@pytest.fixture(scope="module")
def tables(synthetic_tables: Build) -> MotionTables:
    return synthetic_tables(40)


@pytest.fixture(scope="module")
def coder(tables: MotionTables) -> LevelCoder:
    return LevelCoder(tables)


def _encoded(coder: LevelCoder, levels: Levels, mode: int, quality: int) -> bytes:
    encoder = Encoder()
    coder.encode(encoder, levels, mode, quality)
    return encoder.finish()


def _decoded(coder: LevelCoder, data: bytes, mode: int, quality: int) -> list[int]:
    decoder = Decoder(data, 2196)
    levels = coder.decode(decoder, mode, quality)
    decoder.finish()
    return levels


@settings(deadline=None)
@given(
    levels=arrays(np.int64, 40, elements=st.integers(-RADIUS - MAX_ESCAPE, RADIUS + MAX_ESCAPE)),
    shift=st.integers(0, 16),
    mode=st.integers(0, MODES - 1),
    quality=st.integers(0, 15),
)
@example(levels=np.full(40, 30, np.int64), shift=0, mode=0, quality=2)
def test_round_trip(coder: LevelCoder, levels: Levels, shift: int, mode: int, quality: int) -> None:
    levels = levels >> shift
    data = _encoded(coder, levels, mode, quality)
    assert _decoded(coder, data, mode, quality) == levels.tolist()
    # What `frame_bits` foretells is what it costs, to the rounding of the code.
    foretold = np.ceil(coder.frame_bits(levels, mode, quality).sum()) + 1
    assert 8 * len(data) - 8 <= foretold
    # A code may be shorter by luck, as the same level over and over ends near a short fraction; not with a tail.
    encoder = Encoder()
    coder.encode(encoder, levels, mode, quality)
    encoder.encode_bits(TAIL, TAIL_BITS)
    assert foretold + TAIL_BITS <= 8 * len(encoder.finish()) + 16


def test_the_activity_is_the_cheapest(coder: LevelCoder, tables: MotionTables) -> None:
    generator = np.random.default_rng(0)
    for size in (0.1, 1.0, 10.0, 100.0):
        levels = np.rint(generator.normal(0, size, 40)).astype(np.int64)
        bits = coder.bits(levels, 0, 4)
        assert bits.shape == (len(tables.activity_offsets), 40)
        # All activities are alike in these tables: two bits each.
        assert coder.frame_bits(levels, 0, 4).sum() == pytest.approx(bits.sum(axis=1).min() + 2)
        decoder = Decoder(_encoded(coder, levels, 0, 4), 2196)
        activity = decoder.decode(FrequencyTable.from_frequencies(tables.activity_frequencies[0].tolist()))
        assert activity == bits.sum(axis=1).argmin()


def test_bigger_levels_cost_more_and_a_coarser_quality_expects_smaller_ones(coder: LevelCoder) -> None:
    costs = [coder.frame_bits(np.full(40, level, np.int64), 0, 4).sum() for level in (0, 1, 4, 16, 64, 1024)]
    assert costs == sorted(costs)
    still = np.zeros(40, np.int64)
    assert coder.frame_bits(still, 0, 15).sum() < coder.frame_bits(still, 0, 0).sum()


def test_golden_levels() -> None:
    """-31..31 are symbols 0..62 of a plain row of 64; 63 escapes."""
    encoder = Encoder()
    for level in (-31, 0, 31, 32, -64, 31 + MAX_ESCAPE):
        encode_level(encoder, level, RADIUS, ROW)
    parts = [raw(0, 6), raw(31, 6), raw(62, 6)]
    parts += [raw(63, 6), raw(0, 4), raw(0, 1)]  # 32 = 31 + 1: one bit, and it is the leading one
    parts += [raw(63, 6), raw(5, 4), raw(0b00001, 5), raw(1, 1)]  # 64 = 31 + 100001b
    parts += [raw(63, 6), raw(14, 4), raw((1 << 14) - 1, 14), raw(0, 1)]
    data = encoder.finish()
    assert data == code_of(parts)
    decoder = Decoder(data, 64)
    assert [decode_level(decoder, RADIUS, ROW) for _ in range(6)] == [-31, 0, 31, 32, -64, 31 + MAX_ESCAPE]


def test_an_escape_of_sixteen_bits_is_refused() -> None:
    encoder = Encoder()
    encoder.encode(63, ROW)
    encoder.encode_bits(15, 4)
    with pytest.raises(BitstreamError, match="escaped level: got 16 bits"):
        decode_level(Decoder(encoder.finish(), 64), RADIUS, ROW)


def test_whole_numbers_become_levels_that_can_be_said() -> None:
    most = RADIUS + MAX_ESCAPE
    assert to_levels(np.array([-1e30, -3.0, 0.0, 1e6]), RADIUS).tolist() == [-most, -3, 0, most]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.integers(0, MODES - 1), st.integers(0, 15))
def test_fuzz(coder: LevelCoder, data: bytes, mode: int, quality: int) -> None:
    try:
        levels = _decoded(coder, data, mode, quality)
    except BitstreamError:
        return
    assert max(map(abs, levels)) <= RADIUS + MAX_ESCAPE
