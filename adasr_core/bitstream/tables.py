"""The frozen tables that a model folder carries: transform, quantiser steps and integer frequencies.

One safetensors file holds every array of `MotionTables` under its field name. Symbols 0..2R of a row are the levels
-R..R; symbol 2R + 1 is the escape, after which the level follows in raw bits (`adasr_core.bitstream.levels`).

A level's row of `frequencies` is its *scale*, the expected size of the level on a logarithmic axis: a quarter of an
octave a row. It is that of the mode and the coefficient (`scales`, at quality 0), less the quality index, plus what the
frame's *activity* adds: one symbol a frame that says how much of it is unforeseen.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from adasr_core.bitstream.entropy import TOTAL
from adasr_core.bitstream.prediction import MODES
from adasr_core.geometry import MAX_KEYPOINTS

QUALITIES = 16
"""Quality indices 0..15; the step of index q is the step of index 0 times 2**(q / 4)."""

MAX_COMPONENTS = 64
"""The most transform coefficients: with every one escaped, eight frames still fit a message."""

MAX_TABLES_BYTES = 64 * 1024 * 1024
_MAX_SYMBOLS = 1024
_MAX_SCALES = 128
_MAX_ACTIVITIES = 32
_STEP_RANGE = (1e-6, 1e3)
_LARGEST_VALUE = 1e4


@dataclass(frozen=True, slots=True, eq=False)
class MotionTables:
    """Transform, steps and frequencies of motion and reference parameters (K keypoints, M coefficients).

    A parameter vector has 6K entries: x and y of each keypoint, then the four entries of each Jacobian.

    basis: float32 [M, 6K], analysis: coefficients = basis @ difference.
    synthesis: float32 [6K, M]: difference = synthesis @ coefficients.
    steps: float32 [M], quantiser step of each coefficient at quality index 0.
    scales: uint8 [13, M], expected size of a level at quality index 0 by mode (`prediction`), a row of `frequencies`.
    frequencies: uint16 [S, 2R + 2], distribution of the levels of a scale; each row adds up to 16384, none is 0.
    activity_offsets: int8 [A], what an activity adds to the scale.
    activity_frequencies: uint16 [13, A], distribution of the activities by mode, like `frequencies`.
    reference_mean: float32 [6K], mean of a reference's own parameters.
    reference_steps: float32 [6K], quantiser step of each of them.
    reference_frequencies: uint16 [6K, 2S + 2], distribution of their levels, like `frequencies`.

    The constructor checks everything and raises ValueError.
    """

    basis: npt.NDArray[np.float32]
    synthesis: npt.NDArray[np.float32]
    steps: npt.NDArray[np.float32]
    scales: npt.NDArray[np.uint8]
    frequencies: npt.NDArray[np.uint16]
    activity_offsets: npt.NDArray[np.int8]
    activity_frequencies: npt.NDArray[np.uint16]
    reference_mean: npt.NDArray[np.float32]
    reference_steps: npt.NDArray[np.float32]
    reference_frequencies: npt.NDArray[np.uint16]

    def __post_init__(self) -> None:
        """Check shapes, types and values. Raises ValueError that names the array."""
        if self.basis.ndim != 2:
            raise ValueError(f"tables: basis has shape {self.basis.shape}, expected [M, 6K]")
        components, size = self.basis.shape
        if size % 6 or not 1 <= size // 6 <= MAX_KEYPOINTS or not 1 <= components <= min(size, MAX_COMPONENTS):
            raise ValueError(
                f"tables: basis has shape {self.basis.shape}, expected [M, 6K] with K up to {MAX_KEYPOINTS} and "
                f"M up to {MAX_COMPONENTS} and 6K"
            )
        _check_floats("basis", self.basis, (components, size))
        _check_floats("synthesis", self.synthesis, (size, components))
        _check_steps("steps", self.steps, components)
        if self.frequencies.ndim != 2 or not 1 <= len(self.frequencies) <= _MAX_SCALES:
            raise ValueError(f"tables: frequencies has shape {self.frequencies.shape}, expected [S, 2R + 2]")
        _check_frequencies("frequencies", self.frequencies, (len(self.frequencies),))
        if self.scales.dtype != np.uint8 or self.scales.shape != (MODES, components):
            raise ValueError(
                f"tables: scales is {self.scales.dtype} {self.scales.shape}, expected uint8 {(MODES, components)}"
            )
        activities = self.activity_offsets.shape
        if self.activity_offsets.dtype != np.int8 or len(activities) != 1 or not 1 <= activities[0] <= _MAX_ACTIVITIES:
            raise ValueError(
                f"tables: activity_offsets is {self.activity_offsets.dtype} {activities}, expected int8 [A] with A up "
                f"to {_MAX_ACTIVITIES}"
            )
        _check_distribution("activity_frequencies", self.activity_frequencies, (MODES, activities[0]))
        _check_floats("reference_mean", self.reference_mean, (size,))
        _check_steps("reference_steps", self.reference_steps, size)
        _check_frequencies("reference_frequencies", self.reference_frequencies, (size,))

    @property
    def keypoints(self) -> int:
        """K, the number of keypoints."""
        return int(self.basis.shape[1]) // 6

    @property
    def components(self) -> int:
        """M, the number of transform coefficients."""
        return int(self.basis.shape[0])

    @property
    def radius(self) -> int:
        """R: levels -R..R have symbols of their own."""
        return (int(self.frequencies.shape[1]) - 2) // 2

    @property
    def reference_radius(self) -> int:
        """S: the same for reference parameters."""
        return (int(self.reference_frequencies.shape[1]) - 2) // 2

    def save(self, path: Path) -> None:
        """Write the tables as one safetensors file; equal tables give equal bytes."""
        # safetensors stores memory as it lies: a transposed view would come back scrambled.
        arrays = {field.name: np.ascontiguousarray(getattr(self, field.name)) for field in fields(self)}
        path.write_bytes(save_safetensors(arrays))

    @classmethod
    def load(cls, path: Path) -> MotionTables:
        """Read and check a file that `save` wrote.

        Raises:
            ValueError: the file is no safetensors file, is too large, or an array is missing, unknown or wrong.
            OSError: the file cannot be read.
        """
        size = path.stat().st_size
        if size > MAX_TABLES_BYTES:
            raise ValueError(f"tables {path.name}: got {size} bytes, expected at most {MAX_TABLES_BYTES}")
        try:
            arrays: dict[str, npt.NDArray[Any]] = load_safetensors(path.read_bytes())
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"tables {path.name}: not a safetensors file ({error}); install the model again"
            ) from error
        expected = {field.name for field in fields(cls)}
        if set(arrays) != expected:
            raise ValueError(
                f"tables {path.name}: got arrays {sorted(arrays)}, expected {sorted(expected)}; install the model again"
            )
        return cls(**arrays)


def _check_floats(name: str, values: npt.NDArray[Any], shape: tuple[int, ...]) -> None:
    if values.dtype != np.float32 or values.shape != shape:
        raise ValueError(f"tables: {name} is {values.dtype} {values.shape}, expected float32 {shape}")
    if not np.isfinite(values).all() or np.abs(values).max() > _LARGEST_VALUE:
        raise ValueError(f"tables: {name} has values that are not finite or above {_LARGEST_VALUE:g}")


def _check_steps(name: str, values: npt.NDArray[Any], count: int) -> None:
    _check_floats(name, values, (count,))
    lowest, highest = _STEP_RANGE
    if values.min() < lowest or values.max() > highest:
        raise ValueError(f"tables: {name} runs from {values.min()} to {values.max()}, expected {lowest:g}..{highest:g}")


def _check_frequencies(name: str, values: npt.NDArray[Any], rows: tuple[int, ...]) -> None:
    if values.ndim != len(rows) + 1 or values.shape[:-1] != rows:
        raise ValueError(f"tables: {name} is {values.dtype} {values.shape}, expected uint16 {(*rows, '2R + 2')}")
    symbols = values.shape[-1]
    if symbols % 2 or not 4 <= symbols <= _MAX_SYMBOLS:
        raise ValueError(f"tables: {name} has {symbols} symbols a row, expected an even number in 4..{_MAX_SYMBOLS}")
    _check_distribution(name, values, (*rows, symbols))


def _check_distribution(name: str, values: npt.NDArray[Any], shape: tuple[int, ...]) -> None:
    if values.dtype != np.uint16 or values.shape != shape:
        raise ValueError(f"tables: {name} is {values.dtype} {values.shape}, expected uint16 {shape}")
    if values.min() < 1 or (values.sum(axis=-1, dtype=np.int64) != TOTAL).any():
        raise ValueError(f"tables: {name} has a zero frequency or a row that does not add up to {TOTAL}")
