"""Differences of network weights in few bytes: float16, int8 with a scale for each channel, or a product of low rank.

Each checks itself when it is made, for it may come from a peer: types, shapes that fit each other, small finite values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Tensors = Mapping[str, npt.NDArray[Any]]

_LARGEST = 64.0


@dataclass(frozen=True, slots=True, eq=False)
class HalfDifference:
    """values: float16, the weight's own shape."""

    values: npt.NDArray[np.float16]

    def __post_init__(self) -> None:
        """Raise ValueError for another type or a value that is not a small number."""
        _check_array("half", self.values, np.float16, self.values.ndim in (1, 2, 3, 4))
        _check_bound(np.abs(self.values.astype(np.float64)).max())

    def tensors(self) -> Tensors:
        """Arrays of the file by suffix."""
        return {"half": self.values}

    def expand(self, shape: tuple[int, ...]) -> Array:
        """The difference as float32 of `shape`. Raises ValueError when it is for another shape."""
        _check_shape(self.values.shape, shape)
        return self.values.astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class ByteDifference:
    """values: int8, the weight's own shape [O, ...]; scale: float32 [O], 0 or more."""

    values: npt.NDArray[np.int8]
    scale: Array

    def __post_init__(self) -> None:
        """Raise ValueError for other types, shapes that do not fit, or values that are not small numbers."""
        _check_array("bytes", self.values, np.int8, self.values.ndim in (2, 3, 4))
        _check_array("scale", self.scale, np.float32, self.scale.shape == self.values.shape[:1])
        if not (self.scale >= 0).all():
            raise ValueError("scale: got a negative value or none that is a number, expected 0 or more")
        _check_bound(self.scale.max() * 128.0)

    @classmethod
    def quantize(cls, difference: Array) -> ByteDifference:
        """Nearest multiples of 1/127 of the largest magnitude in each channel (first index)."""
        flat = difference.reshape(len(difference), -1)
        scale = (np.abs(flat).max(axis=1) / 127).astype(np.float32)
        levels = np.rint(flat / np.maximum(scale, np.finfo(np.float32).tiny)[:, None])
        return cls(np.clip(levels, -127, 127).astype(np.int8).reshape(difference.shape), scale)

    def tensors(self) -> Tensors:
        """Arrays of the file by suffix."""
        return {"bytes": self.values, "scale": self.scale}

    def expand(self, shape: tuple[int, ...]) -> Array:
        """The difference as float32 of `shape`. Raises ValueError when it is for another shape."""
        _check_shape(self.values.shape, shape)
        return self.values * self.scale.reshape(-1, *(1,) * (len(shape) - 1))


@dataclass(frozen=True, slots=True, eq=False)
class LowRankDifference:
    """up @ down; up: float16 [O, R], down: float16 [R, N / O] for a weight of N values, O its first size."""

    up: npt.NDArray[np.float16]
    down: npt.NDArray[np.float16]

    def __post_init__(self) -> None:
        """Raise ValueError for other types, shapes that do not fit, or values that are not small numbers."""
        _check_array("up", self.up, np.float16, self.up.ndim == 2)
        _check_array("down", self.down, np.float16, self.down.ndim == 2 and len(self.down) == self.up.shape[1])
        largest = [float(np.abs(factor.astype(np.float64)).max()) for factor in (self.up, self.down)]
        _check_bound(math.prod(largest) * self.up.shape[1])

    def tensors(self) -> Tensors:
        """Arrays of the file by suffix."""
        return {"up": self.up, "down": self.down}

    def expand(self, shape: tuple[int, ...]) -> Array:
        """The difference as float32 of `shape`. Raises ValueError when it is for another shape."""
        # Before the product, which a hostile file could make of any size.
        _check_shape((self.up.shape[0], self.down.shape[1]), (shape[0], math.prod(shape[1:])) if shape else ())
        product: Array = self.up.astype(np.float32) @ self.down.astype(np.float32)
        return product.reshape(shape)


Difference = HalfDifference | ByteDifference | LowRankDifference


def parse_difference(tensors: Tensors) -> Difference:
    """Inverse of `tensors` of any of the three.

    Raises:
        ValueError: unknown suffixes, or arrays that are not what they should be.
    """
    match sorted(tensors):
        case ["half"]:
            return HalfDifference(tensors["half"])
        case ["bytes", "scale"]:
            return ByteDifference(tensors["bytes"], tensors["scale"])
        case ["down", "up"]:
            return LowRankDifference(tensors["up"], tensors["down"])
        case names:
            shown = [name[:16] for name in names[:4]]
            raise ValueError(f"got tensors {shown}, expected half, bytes and scale, or up and down; update adasr")


def _check_array(name: str, array: npt.NDArray[Any], dtype: type[np.generic], fits: bool) -> None:
    if array.dtype != dtype or not array.size or not fits:
        raise ValueError(f"{name}: got {array.dtype} {array.shape}, expected {np.dtype(dtype)} of a fitting shape")


def _check_bound(largest: float) -> None:
    # Written so that a value that is not a number fails as well.
    if not largest <= _LARGEST:
        raise ValueError(f"got values that are not finite or may exceed {_LARGEST:g}")


def _check_shape(got: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if got != expected:
        raise ValueError(f"got shape {got}, expected {expected}")
