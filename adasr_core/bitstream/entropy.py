"""Exact integer arithmetic coder for packets of a few bytes.

The coder keeps the whole interval as Python integers, so it never rounds, carries or renormalises: after the symbols
s1..sn the interval is ``[low, low + width) / 2**bits``, and the code is the *shortest* byte string that lies in it when
zeros are imagined behind its end. That costs at most one byte above the information content; there is no float, so
every machine agrees on every bit. Cost grows with the square of the packet's length, which is tens of microseconds at
these sizes.

A general library such as constriction works in 32-bit words with 24-bit precision; its flush costs two to four bytes a
packet here, a fifth of the whole packet.

Frequencies are integer tables that add up to `TOTAL`; they are frozen and travel with the model.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from adasr_core.bitstream.errors import BitstreamError

PRECISION_BITS = 14
TOTAL = 1 << PRECISION_BITS
"""Every table's frequencies add up to this."""

MAX_RAW_BITS = 32


@dataclass(frozen=True, slots=True)
class FrequencyTable:
    """A frozen distribution over the symbols 0..N-1.

    cumulative: N + 1 integers, from 0 to `TOTAL`, strictly rising: symbol s owns [cumulative[s], cumulative[s + 1]).
    """

    cumulative: tuple[int, ...]

    @classmethod
    def from_frequencies(cls, frequencies: Sequence[int]) -> FrequencyTable:
        """Build from N frequencies, each 1 or more.

        Raises:
            ValueError: a frequency is below 1, or they do not add up to `TOTAL`.
        """
        cumulative = [0]
        for symbol, frequency in enumerate(frequencies):
            if frequency < 1:
                raise ValueError(f"frequency of symbol {symbol}: got {frequency}, expected 1 or more")
            cumulative.append(cumulative[-1] + int(frequency))
        if cumulative[-1] != TOTAL:
            raise ValueError(f"frequencies: got a sum of {cumulative[-1]}, expected {TOTAL}")
        return cls(tuple(cumulative))

    @property
    def symbols(self) -> int:
        """N, the number of symbols."""
        return len(self.cumulative) - 1


def _shortest_code(low: int, width: int, bits: int) -> bytes:
    """The shortest byte string whose value lies in [low, low + width) / 2**bits; never ends in a zero byte."""
    if low == 0:
        return b""
    # Of all numbers in [low, last], the one with the most trailing zero bits: cut `last` below the highest bit in
    # which it differs from low - 1. It is unique, and it is what both ends agree on.
    last = low + width - 1
    zero_bits = (last ^ (low - 1)).bit_length() - 1
    code = last >> zero_bits
    length = -(-(bits - zero_bits) // 8)
    return (code << 8 * length - (bits - zero_bits)).to_bytes(length, "big")


class Encoder:
    """Codes symbols and raw bits into the shortest byte string that `Decoder` reads back."""

    __slots__ = ("_bits", "_low", "_width")

    def __init__(self) -> None:
        """Start with the empty message: the interval [0, 1)."""
        self._low = 0
        self._width = 1
        self._bits = 0

    def encode(self, symbol: int, table: FrequencyTable) -> None:
        """Add one symbol. Raises ValueError when the table has no such symbol."""
        if not 0 <= symbol < table.symbols:
            raise ValueError(f"symbol: got {symbol}, expected 0..{table.symbols - 1}")
        start = table.cumulative[symbol]
        self._low = (self._low << PRECISION_BITS) + start * self._width
        self._width *= table.cumulative[symbol + 1] - start
        self._bits += PRECISION_BITS

    def encode_bits(self, value: int, count: int) -> None:
        """Add `count` raw bits, 0..32. Raises ValueError when the value does not fit."""
        if not 0 <= count <= MAX_RAW_BITS or not 0 <= value < 1 << count:
            raise ValueError(f"raw bits: got {value} in {count} bits, expected 0..{MAX_RAW_BITS} bits that hold it")
        self._low = (self._low << count) + value * self._width
        self._bits += count

    def finish(self) -> bytes:
        """The code of all symbols so far; never ends in a zero byte."""
        return _shortest_code(self._low, self._width, self._bits)


class Decoder:
    """Exact inverse of `Encoder`. Any bytes decode to some symbols; `finish` refuses all but the encoder's own."""

    __slots__ = ("_bits", "_data", "_low", "_rest", "_scale", "_width")

    def __init__(self, data: bytes, max_bytes: int) -> None:
        """Read at most max_bytes.

        Raises:
            BitstreamError: the code is longer.
        """
        if len(data) > max_bytes:
            raise BitstreamError(f"coded bytes: got {len(data)}, expected at most {max_bytes}; drop the packet")
        self._data = bytes(data)
        # The code lies (rest / scale) of the current interval's width above its lower end; 0 <= rest < scale.
        self._rest = int.from_bytes(self._data, "big")
        self._scale = 1 << 8 * len(self._data)
        self._low = 0
        self._width = 1
        self._bits = 0

    def decode(self, table: FrequencyTable) -> int:
        """The next symbol."""
        rest = self._rest << PRECISION_BITS
        symbol = bisect_right(table.cumulative, rest // self._scale) - 1
        start = table.cumulative[symbol]
        frequency = table.cumulative[symbol + 1] - start
        self._rest = rest - start * self._scale
        self._scale *= frequency
        self._low = (self._low << PRECISION_BITS) + start * self._width
        self._width *= frequency
        self._bits += PRECISION_BITS
        return symbol

    def decode_bits(self, count: int) -> int:
        """The next `count` raw bits, 0..32. Raises ValueError on another count."""
        if not 0 <= count <= MAX_RAW_BITS:
            raise ValueError(f"raw bits: got a count of {count}, expected 0..{MAX_RAW_BITS}")
        value, self._rest = divmod(self._rest << count, self._scale)
        self._low = (self._low << count) + value * self._width
        self._bits += count
        return value

    def finish(self) -> None:
        """Check that the code is what `Encoder` makes of the decoded symbols.

        Raises:
            BitstreamError: it is longer than it must be, or another code of the same symbols.
        """
        if _shortest_code(self._low, self._width, self._bits) != self._data:
            raise BitstreamError("coded bytes: not the shortest code of their own symbols; drop the packet")
