"""A second decoder, written from docs/bitstream.md alone: it imports nothing of the product.

It is as plain as the document, and slow. Where the product and this decoder differ, one of the three is wrong.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load as load_safetensors

TOTAL = 16384
Q = (64, 76, 91, 108, 128, 152, 181, 215, 256, 304, 362, 431, 512, 609, 724, 861)
DISTANCE_FREQUENCIES = (496, *[864] * 15, *[61] * 48)
INTERVAL_FREQUENCIES = (40, 40, 40, 40, 120, 250, 700, 2400, 9000, 2400, 700, 250, 120, 40, 40, 40, 40, 124)
LARGEST = 2**24

Vector = npt.NDArray[np.float64]


class Refused(ValueError):  # noqa: N818  (what the document calls it)
    """Bytes that do not follow the document."""


class BaseNotHeld(Refused):
    """A message whose base is not among the frames that are held."""


def need(condition: bool, what: str) -> None:
    """Refuse unless the condition holds."""
    if not condition:
        raise Refused(what)


class ArithmeticCode:
    """Section "Arithmetic code"."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.value = int.from_bytes(data, "big")
        self.length = 8 * len(data)
        self.low, self.width, self.bits = 0, 1, 0

    def _part(self, more_bits: int) -> int:
        """Which of the 2**more_bits equal parts of the interval the message lies in."""
        offset = (self.value << self.bits + more_bits) - (self.low << more_bits + self.length)
        return offset // (self.width << self.length)

    def symbol(self, frequencies: Sequence[int]) -> int:
        """The next symbol with these frequencies."""
        part, a = self._part(14), 0
        for symbol, frequency in enumerate(frequencies):
            if part < a + int(frequency):
                self.low = self.low * TOTAL + a * self.width
                self.width *= int(frequency)
                self.bits += 14
                return symbol
            a += int(frequency)
        raise AssertionError("frequencies add up to 16384")

    def raw(self, n: int) -> int:
        """The next n raw bits."""
        x = self._part(n)
        self.low = self.low * 2**n + x * self.width
        self.bits += n
        return x

    def end(self) -> None:
        """Refuse a code that no encoder writes."""
        code = b""
        if self.low:
            zeros = self.bits
            while True:
                number = -(-self.low >> zeros) << zeros  # the multiple of 2**zeros at low or next above
                if number < self.low + self.width:
                    break
                zeros -= 1
            size = -(-(self.bits - zeros) // 8)
            code = ((number << 8 * size) >> self.bits).to_bytes(size, "big")
        need(code == self.data, "not the code that an encoder writes")


@dataclass(frozen=True)
class Frame:
    """A decoded frame, as later messages need it."""

    sequence: int
    time_ms: int
    slot: int
    generation: int
    quality: int
    coefficients: tuple[int, ...]
    parameters: Vector
    repeat: bool


class IndependentDecoder:
    """Motion messages and reference parameters with one model's tables."""

    def __init__(self, tables: bytes) -> None:
        arrays = load_safetensors(tables)
        self.tables = {name: np.asarray(array) for name, array in arrays.items()}
        self.M, size = self.tables["basis"].shape
        self.K = size // 6

    def reference(self, data: bytes, base: Vector | None) -> Vector:
        """A reference's own parameters; base: decoded parameters of the other reference."""
        need(len(data) <= 4096, "parameters above 4096 bytes")
        code = ArithmeticCode(data)
        if base is None:
            rows = self.tables["reference_frequencies"]
            levels = np.array([_level(code, row.tolist()) for row in rows], np.float64)
            code.end()
            value = self.tables["reference_mean"].astype(np.float64) + levels * self.tables["reference_steps"]
            return self._clamped(value)
        c = [level * Q[0] for level in self._frame_levels(code, 0, 0)]
        code.end()
        return self._parameters(c, base)

    def message(self, data: bytes, reference: Vector, held: dict[int, Frame]) -> list[Frame]:
        """The frames of a message, oldest first; held: frames by sequence."""
        need(4 <= len(data) <= 2200, "4 to 2200 bytes")
        place, sequence, time_ms = struct.unpack(">BBH", data[:4])
        slot, generation = place >> 4, place & 15
        code = ArithmeticCode(data[4:])
        d = code.symbol(DISTANCE_FREQUENCIES)
        base: Frame | None = None
        if d:
            base = held.get((sequence - d) % 256)
            if base is None or base.repeat:
                raise BaseNotHeld("its base is not held")
        if base is not None and code.symbol((16128, 256)) == 0:
            q = base.quality
        else:
            q = code.raw(4)
            need(base is None or q != base.quality, "the base's quality spelt out")
        n = code.raw(3) + 1
        need(not d or n <= d, "more frames than lie behind the base")
        repeats = 0
        if n > 1 and code.symbol((15872, 512)):
            repeats = code.raw(3) + 1
            need(repeats < n, "nothing but repeats")
        intervals = self._intervals(code, n, 40 if base is None else (time_ms - base.time_ms) % 65536 // d)
        qualities = [min(15, q + 6) if age >= n - repeats else q for age in range(n)]
        c = self._coefficients(code, n, d, qualities, self._base_c(base, (slot, generation), reference))
        code.end()
        frames, time = [], time_ms
        for age in range(n):
            if age:
                time = (time - intervals[age - 1]) % 65536
            frames.append(
                Frame(
                    sequence=(sequence - age) % 256,
                    time_ms=time,
                    slot=slot,
                    generation=generation,
                    quality=qualities[age],
                    coefficients=tuple(c[age]),
                    parameters=self._parameters(c[age], reference),
                    repeat=age >= n - repeats,
                )
            )
        return frames[::-1]

    def _intervals(self, code: ArithmeticCode, n: int, expected: int) -> list[int]:
        expected = max(1, min(1023, expected))
        intervals: list[int] = []
        for _ in range(n - 1):
            s = code.symbol(INTERVAL_FREQUENCIES)
            if s < 17:
                interval = expected + s - 8
            else:
                interval = code.raw(10)
                need(abs(interval - expected) > 8, "an interval spelt out that has a symbol")
            need(1 <= interval <= 1023, "interval beyond 1 to 1023 ms")
            intervals.append(interval)
            expected = interval
        return intervals

    def _coefficients(
        self, code: ArithmeticCode, n: int, d: int, qualities: list[int], base_c: list[int] | None
    ) -> dict[int, list[int]]:
        """Integers c by age."""
        c: dict[int, list[int]] = {}

        def decode(age: int, p: list[int], mode: int) -> None:
            levels = self._frame_levels(code, mode, qualities[age])
            step = Q[qualities[age]]
            c[age] = [max(-LARGEST, min(LARGEST, at + level * step)) for at, level in zip(p, levels, strict=True)]

        if base_c is None:
            decode(0, [0] * self.M, 0)
            for age in range(1, n):
                decode(age, c[age - 1], 1)
            return c

        def split(left: int, right: int) -> None:
            age = min(n - 1, (left + right) // 2)
            if right < age < left:
                a, b = left - age, age - right
                p = [
                    (b * older + a * newer + (a + b) // 2) // (a + b)
                    for older, newer in zip(c[left], c[right], strict=True)
                ]
                spread = 4 * a * b // (a + b)
                decode(age, p, 9 if spread <= 2 else 10 if spread <= 4 else 11 if spread <= 8 else 12)
                split(left, age)
                split(age, right)

        c[d] = base_c
        decode(0, base_c, next(mode for mode, end in enumerate((1, 2, 3, 4, 6, 9, 14, 63), 1) if d <= end))
        split(d, 0)
        return c

    def _base_c(self, base: Frame | None, place: tuple[int, int], reference: Vector) -> list[int] | None:
        """The base's c for a message with this reference."""
        if base is None:
            return None
        if (base.slot, base.generation) == place:
            return list(base.coefficients)
        points, jacobians = self._split(base.parameters)
        own_points, own_jacobians = self._split(reference)
        D = []
        for J_driving, J in zip(jacobians, own_jacobians, strict=True):
            determinant = J[0, 0] * J[1, 1] - J[0, 1] * J[1, 0]
            determinant = math.copysign(max(abs(determinant), 0.001), determinant)
            inverse = np.array([[J[1, 1], -J[0, 1]], [-J[1, 0], J[0, 0]]]) / determinant
            D.append(J_driving @ inverse - np.eye(2))
        v = np.concatenate(((points - own_points).reshape(-1), np.array(D).reshape(-1)))
        exact = 64 * (self.tables["basis"].astype(np.float64) @ v) / self.tables["steps"]
        return [int(c) for c in np.clip(np.rint(exact), -LARGEST, LARGEST)]

    def _frame_levels(self, code: ArithmeticCode, mode: int, quality: int) -> list[int]:
        """Section "Levels of a frame"."""
        activity = code.symbol(self.tables["activity_frequencies"][mode].tolist())
        frequencies = self.tables["frequencies"]
        levels = []
        for m in range(self.M):
            row = int(self.tables["scales"][mode][m]) - quality + int(self.tables["activity_offsets"][activity])
            levels.append(_level(code, frequencies[max(0, min(len(frequencies) - 1, row))].tolist()))
        return levels

    def _parameters(self, c: Sequence[int], reference: Vector) -> Vector:
        """Parameters of a frame from its integers."""
        v = self.tables["synthesis"].astype(np.float64) @ (np.array(c, np.float64) * self.tables["steps"] / 64)
        points, jacobians = self._split(reference)
        d, D = self._split(v)
        moved = np.array([(np.eye(2) + one) @ J for one, J in zip(D, jacobians, strict=True)])
        return self._clamped(np.concatenate(((points + d).reshape(-1), moved.reshape(-1))))

    def _split(self, vector: Vector) -> tuple[Vector, Vector]:
        """Points [K, 2] and matrices [K, 2, 2] of a vector of 6K numbers."""
        return vector[: 2 * self.K].reshape(-1, 2), vector[2 * self.K :].reshape(-1, 2, 2)

    def _clamped(self, vector: Vector) -> Vector:
        limits = np.array([4.0] * 2 * self.K + [16.0] * 4 * self.K)
        clamped: Vector = np.clip(vector, -limits, limits)
        return clamped


def _level(code: ArithmeticCode, frequencies: Sequence[int]) -> int:
    """A level, escaped or not."""
    R = (len(frequencies) - 2) // 2
    symbol = code.symbol(frequencies)
    if symbol <= 2 * R:
        return symbol - R
    n = code.raw(4) + 1
    need(n <= 15, "escape of 16 bits")
    magnitude = (1 << n - 1) + code.raw(n - 1) + R
    return -magnitude if code.raw(1) else magnitude
