"""The exact arithmetic coder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adasr_core.bitstream.entropy import TOTAL, Decoder, Encoder, FrequencyTable
from adasr_core.bitstream.errors import BitstreamError

EVEN = FrequencyTable.from_frequencies([4096] * 4)
SKEWED = FrequencyTable.from_frequencies([16000, 256, 120, 4, 4])


@st.composite
def _tables(draw: st.DrawFn) -> FrequencyTable:
    cuts = draw(st.lists(st.integers(1, TOTAL - 1), min_size=1, max_size=20, unique=True))
    edges = [0, *sorted(cuts), TOTAL]
    return FrequencyTable.from_frequencies([b - a for a, b in pairwise(edges)])


@st.composite
def _messages(draw: st.DrawFn) -> list[tuple[FrequencyTable | int, int]]:
    """(table, symbol) or (number of raw bits, value)."""
    message: list[tuple[FrequencyTable | int, int]] = []
    for table in draw(st.lists(st.one_of(_tables(), st.integers(0, 32)), max_size=30)):
        highest = (1 << table) - 1 if isinstance(table, int) else table.symbols - 1
        message.append((table, draw(st.integers(0, highest))))
    return message


def _encode(message: Sequence[tuple[FrequencyTable | int, int]]) -> bytes:
    encoder = Encoder()
    for table, value in message:
        if isinstance(table, int):
            encoder.encode_bits(value, table)
        else:
            encoder.encode(value, table)
    return encoder.finish()


@given(_messages())
def test_round_trip_within_a_byte_of_the_information(message: list[tuple[FrequencyTable | int, int]]) -> None:
    code = _encode(message)
    decoder = Decoder(code, len(code))
    for table, value in message:
        assert (decoder.decode_bits(table) if isinstance(table, int) else decoder.decode(table)) == value
    decoder.finish()
    information_bits = 0.0
    for table, value in message:
        frequency = 1 if isinstance(table, int) else table.cumulative[value + 1] - table.cumulative[value]
        information_bits += table if isinstance(table, int) else math.log2(TOTAL / frequency)
    assert len(code) <= math.ceil((information_bits + 1) / 8 + 1e-9)
    assert not code.endswith(b"\0")


@given(_messages())
def test_no_shorter_code_has_the_same_symbols(message: list[tuple[FrequencyTable | int, int]]) -> None:
    code = _encode(message)
    if not code:
        return
    below = int.from_bytes(code, "big") >> 8
    # If any code a byte shorter lay in the interval, the nearest one below or above this code would as well.
    for number in (below, min(below + 1, (1 << 8 * (len(code) - 1)) - 1)):
        decoder = Decoder(number.to_bytes(len(code) - 1, "big"), len(code))
        values = [
            decoder.decode_bits(table) if isinstance(table, int) else decoder.decode(table) for table, _ in message
        ]
        assert values != [value for _, value in message]


@given(data=st.binary(max_size=24), tables=st.lists(_tables(), max_size=20))
def test_any_bytes_decode_and_only_the_encoders_own_pass(data: bytes, tables: list[FrequencyTable]) -> None:
    decoder = Decoder(data, 24)
    symbols = [decoder.decode(table) for table in tables]
    canonical = _encode(list(zip(tables, symbols, strict=True)))
    if canonical == data:
        decoder.finish()
    else:
        with pytest.raises(BitstreamError, match="shortest"):
            decoder.finish()


def test_frequencies_add_up_to_fourteen_bits() -> None:
    assert TOTAL == 16384


def test_golden_bytes() -> None:
    assert _encode([]) == b""
    assert _encode([(EVEN, 0)] * 9) == b""
    assert _encode([(EVEN, 1), (EVEN, 2), (EVEN, 3), (EVEN, 0)]) == b"\x6c"
    assert _encode([(EVEN, 3)] * 5).hex() == "ffc0"
    assert _encode([(SKEWED, 4), (SKEWED, 0), (SKEWED, 1), (SKEWED, 3)]).hex() == "ffff80bc"
    assert _encode([(SKEWED, 1), (7, 100), (EVEN, 2)]).hex() == "fd24"


def test_likely_symbols_cost_almost_nothing() -> None:
    assert len(_encode([(SKEWED, 0)] * 200)) <= 1
    assert len(_encode([(SKEWED, 0)] * 100 + [(SKEWED, 1)] + [(SKEWED, 0)] * 100)) <= 2


def test_refusals() -> None:
    with pytest.raises(ValueError, match="symbol"):
        Encoder().encode(4, EVEN)
    with pytest.raises(ValueError, match="symbol"):
        Encoder().encode(-1, EVEN)
    with pytest.raises(ValueError, match="raw bits"):
        Encoder().encode_bits(8, 3)
    with pytest.raises(ValueError, match="raw bits"):
        Encoder().encode_bits(0, 33)
    with pytest.raises(ValueError, match="raw bits"):
        Decoder(b"", 1).decode_bits(-1)
    with pytest.raises(BitstreamError, match="coded bytes"):
        Decoder(b"123", 2)
    with pytest.raises(ValueError, match="sum"):
        FrequencyTable.from_frequencies([1, 2])
    with pytest.raises(ValueError, match="symbol 1"):
        FrequencyTable.from_frequencies([TOTAL, 0])
