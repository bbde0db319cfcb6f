"""Levels of one frame as symbols: an activity, then every coefficient's level with the row that suits it.

    row = scales[mode][m] - quality + activity_offsets[activity]        clamped to the rows that there are

The encoder tries every activity and takes the cheapest. A level outside the tables' -R..R is the escape symbol and, in
raw bits, n - 1 (4 bits, n = bit length of |level| - R, 1 to 15), the n - 1 bits below the leading one, and the sign
(1 = negative).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from adasr_core.bitstream.entropy import TOTAL, Decoder, Encoder, FrequencyTable
from adasr_core.bitstream.errors import BitstreamError
from adasr_core.bitstream.tables import MotionTables

_ESCAPE_LENGTH_BITS = 4
_MAX_ESCAPE_BITS = 15
MAX_ESCAPE = (1 << _MAX_ESCAPE_BITS) - 1
"""The largest level is R plus this."""


class LevelCoder:
    """Codes the levels of frames with one model's tables. Immutable; serves any number of threads."""

    __slots__ = ("_activities", "_costs", "_offsets", "_radius", "_rows", "_scales")

    def __init__(self, tables: MotionTables) -> None:
        self._radius = tables.radius
        self._rows = [FrequencyTable.from_frequencies(row) for row in tables.frequencies.tolist()]
        self._activities = [FrequencyTable.from_frequencies(row) for row in tables.activity_frequencies.tolist()]
        self._offsets = tables.activity_offsets.astype(np.int64)
        self._scales = tables.scales.astype(np.int64)
        self._costs = np.log2(TOTAL / tables.frequencies.astype(np.float64))

    def encode(self, encoder: Encoder, levels: npt.NDArray[np.int64], mode: int, quality: int) -> None:
        """Add the M levels of a frame."""
        bits = self.bits(levels, mode, quality)
        activity = int(np.argmin(bits.sum(axis=1) + self._activity_bits(mode)))
        encoder.encode(activity, self._activities[mode])
        for level, row in zip(levels.tolist(), self._rows_of(mode, quality, activity), strict=True):
            encode_level(encoder, level, self._radius, self._rows[row])

    def decode(self, decoder: Decoder, mode: int, quality: int) -> list[int]:
        """The next M levels. Raises BitstreamError when an escape is none that `encode` makes."""
        activity = decoder.decode(self._activities[mode])
        return [decode_level(decoder, self._radius, self._rows[row]) for row in self._rows_of(mode, quality, activity)]

    def bits(self, levels: npt.NDArray[np.int64], mode: int, quality: int) -> npt.NDArray[np.float64]:
        """Cost of each level in bits with every activity: float64 [A, M]; an activity's own cost is not in it."""
        rows = self._clamp(self._scales[mode][None] - quality + self._offsets[:, None])
        outside = np.abs(levels) > self._radius
        symbols = np.where(outside, 2 * self._radius + 1, levels + self._radius)
        cost: npt.NDArray[np.float64] = self._costs[rows, symbols[None]]
        if outside.any():
            beyond = np.maximum(np.abs(levels) - self._radius, 1)
            cost = cost + np.where(outside, _ESCAPE_LENGTH_BITS + np.floor(np.log2(beyond)) + 1, 0)
        return cost

    def frame_bits(self, levels: npt.NDArray[np.int64], mode: int, quality: int) -> npt.NDArray[np.float64]:
        """Cost of each level in bits [M] with the activity that `encode` takes, its own cost spread evenly."""
        bits = self.bits(levels, mode, quality)
        own = self._activity_bits(mode)
        activity = int(np.argmin(bits.sum(axis=1) + own))
        spread: npt.NDArray[np.float64] = bits[activity] + own[activity] / len(levels)
        return spread

    def _activity_bits(self, mode: int) -> npt.NDArray[np.float64]:
        cumulative = np.array(self._activities[mode].cumulative, np.float64)
        bits: npt.NDArray[np.float64] = np.log2(TOTAL / np.diff(cumulative))
        return bits

    def _rows_of(self, mode: int, quality: int, activity: int) -> Sequence[int]:
        rows: list[int] = self._clamp(self._scales[mode] - quality + self._offsets[activity]).tolist()
        return rows

    def _clamp(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return np.clip(rows, 0, len(self._rows) - 1)


def to_levels(whole: npt.NDArray[np.float64], radius: int) -> npt.NDArray[np.int64]:
    """Whole numbers as levels, clamped to what the escape of rows with R = `radius` can say."""
    return np.clip(whole, -radius - MAX_ESCAPE, radius + MAX_ESCAPE).astype(np.int64)


def encode_level(encoder: Encoder, level: int, radius: int, table: FrequencyTable) -> None:
    """Add one level with its row; radius: R of the row."""
    if -radius <= level <= radius:
        encoder.encode(level + radius, table)
        return
    encoder.encode(2 * radius + 1, table)
    magnitude = abs(level) - radius
    bits = magnitude.bit_length()
    encoder.encode_bits(bits - 1, _ESCAPE_LENGTH_BITS)
    encoder.encode_bits(magnitude - (1 << bits - 1), bits - 1)
    encoder.encode_bits(int(level < 0), 1)


def decode_level(decoder: Decoder, radius: int, table: FrequencyTable) -> int:
    """Inverse of `encode_level`. Raises BitstreamError when the escape is none that it makes."""
    symbol = decoder.decode(table)
    if symbol <= 2 * radius:
        return symbol - radius
    bits = decoder.decode_bits(_ESCAPE_LENGTH_BITS) + 1
    if bits > _MAX_ESCAPE_BITS:
        raise BitstreamError(f"escaped level: got {bits} bits, expected 1..{_MAX_ESCAPE_BITS}; drop the packet")
    magnitude = (1 << bits - 1) + decoder.decode_bits(bits - 1) + radius
    return -magnitude if decoder.decode_bits(1) else magnitude
