"""A reference's own parameters as bytes, without any other reference: one arithmetic code of 6K levels.

    level_i = round((value_i - mean_i) / step_i)        value'_i = mean_i + level_i * step_i

in the order of `MotionParameters.vector`; every value has a row of frequencies of its own.
"""

from __future__ import annotations

import numpy as np

from adasr_core.bitstream.entropy import Decoder, Encoder, FrequencyTable
from adasr_core.bitstream.levels import decode_level, encode_level, to_levels
from adasr_core.bitstream.packets import MAX_PARAMETERS_BYTES
from adasr_core.bitstream.tables import MotionTables
from adasr_core.geometry import MotionParameters


class ReferenceCoder:
    """Codes references' parameters with one model's tables. Immutable; serves any number of threads."""

    __slots__ = ("_mean", "_radius", "_rows", "_steps")

    def __init__(self, tables: MotionTables) -> None:
        self._rows = [FrequencyTable.from_frequencies(row) for row in tables.reference_frequencies.tolist()]
        self._radius = tables.reference_radius
        self._mean = tables.reference_mean.astype(np.float64)
        self._steps = tables.reference_steps.astype(np.float64)

    def encode(self, parameters: MotionParameters) -> bytes:
        """Code K keypoints and Jacobians, finite and of the tables' K."""
        encoder = Encoder()
        levels = to_levels(np.rint((parameters.vector() - self._mean) / self._steps), self._radius)
        for level, row in zip(levels.tolist(), self._rows, strict=True):
            encode_level(encoder, level, self._radius, row)
        return encoder.finish()

    def decode(self, data: bytes) -> MotionParameters:
        """Inverse of `encode`, up to quantisation; values are clamped to the limits of `geometry`.

        Raises:
            BitstreamError: the bytes are too many or no code that `encode` makes.
        """
        decoder = Decoder(data, MAX_PARAMETERS_BYTES)
        levels = np.array([decode_level(decoder, self._radius, row) for row in self._rows], np.int64)
        decoder.finish()
        return MotionParameters.from_vector(levels * self._steps + self._mean).clamped()
