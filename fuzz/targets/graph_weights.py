"""Weights inside ONNX files, which an adapter replaces."""

from __future__ import annotations

import struct

from adasr_core.graph_weights import GraphFormatError, read_weights, replace_weights
from fuzz.target import Target

_GRAPH, _INITIALIZER = 7, 5


def build() -> Target:
    """What can be read can be replaced by itself, which changes no byte."""
    seeds = (
        _graph(_tensor("w", (2, 3)), _tensor("grow.bias", (4,))),
        _graph(_tensor("scalar", ())),
    )
    return Target(check=_check, errors=(GraphFormatError,), seeds=seeds, max_bytes=1024)


def _check(data: bytes) -> None:
    weights = read_weights(data)
    assert replace_weights(data, weights) == data


def _field(number: int, content: bytes) -> bytes:
    return bytes((number << 3 | 2, len(content))) + content


def _tensor(name: str, shape: tuple[int, ...]) -> bytes:
    """An ONNX TensorProto of float32: dims = 1, data_type = 2, name = 8, raw_data = 9."""
    count = 1
    for size in shape:
        count *= size
    dims = b"".join(bytes((1 << 3, size)) for size in shape)
    values = struct.pack(f"<{count}f", *range(count))
    return dims + bytes((2 << 3, 1)) + _field(8, name.encode()) + _field(9, values)


def _graph(*tensors: bytes) -> bytes:
    return _field(_GRAPH, b"".join(_field(_INITIALIZER, tensor) for tensor in tensors))
