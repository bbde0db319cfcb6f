"""The weights inside an ONNX file, read and replaced in place, without the onnx package.

An adapter changes weights and nothing else: the same number of float32 values at the same place. So the file's bytes
are copied and those values overwritten, and every engine that reads ONNX loads the result as it would load an export.

Only as much of the protobuf wire format as that takes: ModelProto.graph = 7, GraphProto.initializer = 5, and of
TensorProto dims = 1, data_type = 2, name = 8, raw_data = 9 (https://protobuf.dev/programming-guides/encoding,
onnx/onnx.proto3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

_GRAPH, _INITIALIZER = 7, 5
_DIMS, _DATA_TYPE, _NAME, _RAW_DATA = 1, 2, 8, 9
_FLOAT = 1
_MAX_VARINT_BYTES = 10
_MAX_DIMS = 8
_MAX_VALUES = 1 << 40


class GraphFormatError(ValueError):
    """The bytes are no ONNX model, or a weight in it is not stored as it must be. The message says what to do."""


@dataclass(frozen=True, slots=True)
class _Span:
    """Where a weight lies: the half-open range start..end of the file's bytes, float32 of `shape`."""

    start: int
    end: int
    shape: tuple[int, ...]


def read_weights(model: bytes) -> dict[str, Array]:
    """Every float32 initializer of an ONNX model by name, copied.

    Raises:
        GraphFormatError: the bytes are no ONNX model.
    """
    return {
        name: np.frombuffer(model, "<f4", (span.end - span.start) // 4, span.start).reshape(span.shape).copy()
        for name, span in _find(model).items()
    }


def replace_weights(model: bytes, weights: Mapping[str, Array]) -> bytes:
    """The same model with some of its float32 initializers replaced.

    Raises:
        GraphFormatError: the bytes are no ONNX model.
        ValueError: a weight is not in the model or has another shape or type.
    """
    spans = _find(model)
    changed = bytearray(model)
    for name, values in weights.items():
        if name not in spans:
            raise ValueError(f"weight {name!r}: not in the graph; use the model that the weights were made for")
        span = spans[name]
        if values.dtype != np.float32 or values.shape != span.shape:
            raise ValueError(f"weight {name!r}: got {values.dtype} {values.shape}, expected float32 {span.shape}")
        changed[span.start : span.end] = values.astype("<f4").tobytes()
    return bytes(changed)


def _find(model: bytes) -> dict[str, _Span]:
    spans: dict[str, _Span] = {}
    for number, start, end in _fields(model, 0, len(model)):
        if number == _GRAPH:
            for inner, first, last in _fields(model, start, end):
                if inner == _INITIALIZER:
                    name, span = _tensor(model, first, last)
                    if span is not None:
                        spans[name] = span
    if not spans:
        raise GraphFormatError("graph: no float32 weight found in it; expected an exported ONNX model")
    return spans


def _tensor(model: bytes, start: int, end: int) -> tuple[str, _Span | None]:
    """Name and place of one TensorProto; None for other types than float32 and for values not stored as raw bytes."""
    name, data_type, shape, raw = "", 0, [], None
    for number, first, last in _fields(model, start, end):
        if number == _NAME:
            name = model[first:last].decode("utf-8", "replace")
        elif number == _DATA_TYPE:
            data_type = _varint(model, first, last)[0]
        elif number == _DIMS:
            while first < last:  # one value, or all of them packed
                value, first = _varint(model, first, last)
                shape.append(value)
        elif number == _RAW_DATA:
            raw = (first, last)
    if data_type != _FLOAT or raw is None:
        return name, None
    # An empty weight may still claim sizes that no array has: 0 x 2**62.
    if len(shape) > _MAX_DIMS or prod(max(size, 1) for size in shape) > _MAX_VALUES:
        raise GraphFormatError(
            f"weight {name[:40]!r}: its shape is absurd ({len(shape)} sizes); install the model again"
        )
    if raw[1] - raw[0] != 4 * prod(shape):
        raise GraphFormatError(f"weight {name!r}: {raw[1] - raw[0]} bytes for shape {shape}; install the model again")
    return name, _Span(*raw, tuple(shape))


def _fields(model: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Fields of one message as (number, start, end) of their values."""
    at = start
    while at < end:
        key, at = _varint(model, at, end)
        first = at
        match key & 7:
            case 0:
                _, at = _varint(model, at, end)
            case 1:
                at += 8
            case 2:
                length, first = _varint(model, at, end)
                at = first + length
            case 5:
                at += 4
            case wire:
                raise GraphFormatError(f"graph: wire type {wire} at byte {first}; expected an exported ONNX model")
        if at > end:
            raise GraphFormatError(f"graph: a field at byte {first} runs past its end; install the model again")
        yield key >> 3, first, at


def _varint(model: bytes, at: int, end: int) -> tuple[int, int]:
    """A varint and the place after it."""
    value = 0
    for count in range(_MAX_VARINT_BYTES):
        if at + count >= end:
            break
        byte = model[at + count]
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value, at + count + 1
    raise GraphFormatError(f"graph: a number at byte {at} does not end; install the model again")
