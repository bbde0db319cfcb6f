"""Motion and reference parameters as bytes.

::

    driving, reference -> difference [6K] -> transform [M] -> quantiser -> arithmetic coder -> body
    driving' = reference + inverse of all that        (decode; the sender calls `quantise` to see the same)

The difference holds keypoints ``driving - reference`` (2K) and Jacobians ``J_driving @ inverse(J_reference) - I`` (4K).
It depends on the reference alone, never on an earlier frame: every packet that arrives decodes on its own.

A level outside the table's -R..R is the escape symbol and, in raw bits, n - 1 (4 bits, n = bit length of |level| - R,
1 to 15), the n - 1 bits below the leading one, and the sign (1 = negative).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from adasr_core.bitstream.entropy import Decoder, Encoder, FrequencyTable
from adasr_core.bitstream.errors import BitstreamError
from adasr_core.bitstream.packets import MAX_BODY_BYTES, MAX_PARAMETERS_BYTES, MAX_QUALITY
from adasr_core.bitstream.tables import QUALITIES, MotionTables
from adasr_core.geometry import JACOBIAN_LIMIT, KEYPOINT_LIMIT, MotionParameters

MIN_DETERMINANT = 1e-3
"""A reference Jacobian's determinant is taken as at least this far from zero (sign kept) when it is inverted."""

_ESCAPE_LENGTH_BITS = 4
_MAX_ESCAPE_BITS = 15
_MAX_ESCAPE = (1 << _MAX_ESCAPE_BITS) - 1


class MotionCodec:
    """Codes motion against a reference, and references on their own, with one model's tables.

    Immutable after construction; one object serves any number of streams and threads.
    """

    __slots__ = ("_basis", "_mean", "_reference_rows", "_reference_steps", "_rows", "_steps", "_synthesis", "_tables")

    def __init__(self, tables: MotionTables, keypoints: int) -> None:
        """Prepare the tables of a model with `keypoints` keypoints.

        Raises:
            ValueError: the tables are for another number of keypoints.
        """
        if tables.keypoints != keypoints:
            raise ValueError(
                f"tables: made for {tables.keypoints} keypoints, expected {keypoints}; use the model's own"
            )
        self._tables = tables
        self._rows = [
            [FrequencyTable.from_frequencies(row) for row in tables.frequencies[quality].tolist()]
            for quality in range(QUALITIES)
        ]
        self._reference_rows = [FrequencyTable.from_frequencies(row) for row in tables.reference_frequencies.tolist()]
        # Double precision, so that machines differ by far less than a float32's last digit.
        steps = tables.steps.astype(np.float64)
        self._steps = [steps * 2.0 ** (quality / 4) for quality in range(QUALITIES)]
        self._basis = tables.basis.astype(np.float64)
        self._mean = tables.mean.astype(np.float64)
        self._synthesis = tables.synthesis.astype(np.float64)
        self._reference_steps = tables.reference_steps.astype(np.float64)

    @property
    def keypoints(self) -> int:
        """K, the number of keypoints."""
        return self._tables.keypoints

    def encode(self, driving: MotionParameters, reference: MotionParameters, quality: int) -> bytes:
        """Code a frame's parameters against a reference's *decoded* parameters.

        quality: 0 (finest) to 15. Returns a packet body of at most 250 bytes.

        Raises:
            ValueError: quality, shape or values out of range (not finite, or beyond the limits of `geometry`).
        """
        levels = self._levels(driving, reference, quality)
        encoder = Encoder()
        radius = self._tables.radius
        for level, table in zip(levels.tolist(), self._rows[quality], strict=True):
            _encode_level(encoder, level, radius, table)
        return encoder.finish()

    def decode(self, body: bytes, reference: MotionParameters, quality: int) -> MotionParameters:
        """Inverse of `encode`, up to quantisation; values are clamped to the limits of `geometry`.

        Raises:
            BitstreamError: the body is too long or no code that `encode` makes.
            ValueError: quality or the reference's shape is out of range.
        """
        self._check(reference, "reference")
        _check_quality(quality)
        decoder = Decoder(body, MAX_BODY_BYTES)
        radius = self._tables.radius
        levels = np.array([_decode_level(decoder, radius, table) for table in self._rows[quality]], dtype=np.int64)
        decoder.finish()
        return self._rebuild(levels, reference, quality)

    def quantise(self, driving: MotionParameters, reference: MotionParameters, quality: int) -> MotionParameters:
        """What `decode` will make of `encode`'s body: the parameters that the receiver rebuilds with.

        Raises:
            ValueError: as `encode`.
        """
        return self._rebuild(self._levels(driving, reference, quality), reference, quality)

    def transform(self, driving: MotionParameters, reference: MotionParameters) -> npt.NDArray[np.float64]:
        """Transform coefficients of a frame against a reference, before quantisation: float64 [M].

        Raises:
            ValueError: shape or values out of range, as `encode`.
        """
        self._check(driving, "driving")
        self._check(reference, "reference")
        points = driving.keypoints.astype(np.float64) - reference.keypoints
        jacobians = driving.jacobians.astype(np.float64) @ _inverse(reference.jacobians) - np.eye(2)
        difference = np.concatenate((points.reshape(-1), jacobians.reshape(-1)))
        coefficients: npt.NDArray[np.float64] = self._basis @ (difference - self._mean)
        return coefficients

    def inverse_transform(self, coefficients: npt.NDArray[np.float64], reference: MotionParameters) -> MotionParameters:
        """Parameters of a frame from its transform coefficients [M], clamped to the limits of `geometry`."""
        difference = self._mean + self._synthesis @ coefficients
        points = difference[: 2 * self.keypoints].reshape(-1, 2)
        jacobians = difference[2 * self.keypoints :].reshape(-1, 2, 2)
        return MotionParameters.create(
            np.clip(reference.keypoints + points, -KEYPOINT_LIMIT, KEYPOINT_LIMIT),
            np.clip((np.eye(2) + jacobians) @ reference.jacobians, -JACOBIAN_LIMIT, JACOBIAN_LIMIT),
        )

    def encode_reference(self, parameters: MotionParameters) -> bytes:
        """Code a reference's own parameters, at most 4096 bytes. Both ends go on with `decode_reference` of it.

        Raises:
            ValueError: shape or values out of range (not finite, or beyond the limits of `geometry`).
        """
        self._check(parameters, "reference")
        radius = self._tables.reference_radius
        scaled = (parameters.vector() - self._tables.reference_mean) / self._reference_steps
        encoder = Encoder()
        for level, table in zip(_to_levels(scaled, radius).tolist(), self._reference_rows, strict=True):
            _encode_level(encoder, level, radius, table)
        return encoder.finish()

    def decode_reference(self, data: bytes) -> MotionParameters:
        """Inverse of `encode_reference`, up to quantisation; values are clamped to the limits of `geometry`.

        Raises:
            BitstreamError: the bytes are too many or no code that `encode_reference` makes.
        """
        decoder = Decoder(data, MAX_PARAMETERS_BYTES)
        radius = self._tables.reference_radius
        levels = np.array([_decode_level(decoder, radius, table) for table in self._reference_rows], dtype=np.int64)
        decoder.finish()
        return MotionParameters.from_vector(levels * self._reference_steps + self._tables.reference_mean).clamped()

    def _levels(self, driving: MotionParameters, reference: MotionParameters, quality: int) -> npt.NDArray[np.int64]:
        """Quantised transform coefficients, int64 [M]."""
        _check_quality(quality)
        return _to_levels(self.transform(driving, reference) / self._steps[quality], self._tables.radius)

    def _rebuild(self, levels: npt.NDArray[np.int64], reference: MotionParameters, quality: int) -> MotionParameters:
        """Driving parameters from quantised coefficients."""
        return self.inverse_transform(levels * self._steps[quality], reference)

    def _check(self, parameters: MotionParameters, name: str) -> None:
        expected = (self.keypoints, 2)
        if parameters.keypoints.shape != expected or parameters.jacobians.shape != (*expected, 2):
            raise ValueError(f"{name}: got {parameters.keypoints.shape} keypoints, expected {expected}; use one model")
        # Written so that a value that is not a number fails as well.
        if not (np.abs(parameters.keypoints).max() <= KEYPOINT_LIMIT):
            raise ValueError(f"{name}: got a keypoint that is not within {KEYPOINT_LIMIT:g}; drop this frame")
        if not (np.abs(parameters.jacobians).max() <= JACOBIAN_LIMIT):
            raise ValueError(f"{name}: got a Jacobian entry that is not within {JACOBIAN_LIMIT:g}; drop this frame")


def _check_quality(quality: int) -> None:
    if not 0 <= quality <= MAX_QUALITY:
        raise ValueError(f"quality: got {quality}, expected 0..{MAX_QUALITY}")


def _inverse(matrices: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Inverse of 2x2 matrices [K, 2, 2], determinants kept `MIN_DETERMINANT` away from zero."""
    a, b = matrices[:, 0, 0].astype(np.float64), matrices[:, 0, 1].astype(np.float64)
    c, d = matrices[:, 1, 0].astype(np.float64), matrices[:, 1, 1].astype(np.float64)
    determinant = a * d - b * c
    safe = np.copysign(np.maximum(np.abs(determinant), MIN_DETERMINANT), determinant)
    adjugate = np.stack((d, -b, -c, a), axis=1).reshape(-1, 2, 2)
    inverse: npt.NDArray[np.float64] = adjugate / safe[:, None, None]
    return inverse


def _to_levels(scaled: npt.NDArray[np.float64], radius: int) -> npt.NDArray[np.int64]:
    """Nearest levels, clamped to what the escape can say."""
    largest = radius + _MAX_ESCAPE
    return np.clip(np.rint(scaled), -largest, largest).astype(np.int64)


def _encode_level(encoder: Encoder, level: int, radius: int, table: FrequencyTable) -> None:
    if -radius <= level <= radius:
        encoder.encode(level + radius, table)
        return
    encoder.encode(2 * radius + 1, table)
    magnitude = abs(level) - radius
    bits = magnitude.bit_length()
    encoder.encode_bits(bits - 1, _ESCAPE_LENGTH_BITS)
    encoder.encode_bits(magnitude - (1 << bits - 1), bits - 1)
    encoder.encode_bits(int(level < 0), 1)


def _decode_level(decoder: Decoder, radius: int, table: FrequencyTable) -> int:
    symbol = decoder.decode(table)
    if symbol <= 2 * radius:
        return symbol - radius
    bits = decoder.decode_bits(_ESCAPE_LENGTH_BITS) + 1
    if bits > _MAX_ESCAPE_BITS:
        raise BitstreamError(f"escaped level: got {bits} bits, expected 1..{_MAX_ESCAPE_BITS}; drop the packet")
    magnitude = (1 << bits - 1) + decoder.decode_bits(bits - 1) + radius
    return -magnitude if decoder.decode_bits(1) else magnitude
