"""What TensorRT is documented to run, and a walk over a graph that says whether it keeps to it. Needs no GPU.

Source: the operator table of TensorRT's ONNX parser (docs/operators.md of onnx/onnx-tensorrt, as of TensorRT 10.15),
read for the operators that the exported graphs may use. A graph that passes needs no plugin, has static shapes only
and no shape that hangs on data; whether it builds, TensorRT alone can say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper, shape_inference

OPSET = 18
"""What every graph is exported with (`export.onnx_graphs` says it too, but needs torch)."""
DOCUMENTED_VERSION = "10.15"
DOCUMENTED_OPSETS = range(9, 25)

_FLOATS = frozenset(["FLOAT", "FLOAT16", "BFLOAT16"])
_NUMBERS = _FLOATS | {"INT32", "INT64"}
_ANY = _NUMBERS | {"BOOL"}
# GridSample is the one operator here without bfloat16.
DOCUMENTED_TYPES: dict[str, frozenset[str]] = {
    **dict.fromkeys(["Add", "Div", "Max", "Min", "Mul", "Neg", "Pad", "Pow", "Sub", "DepthToSpace"], _NUMBERS),
    **dict.fromkeys(["ReduceMax", "ReduceMean", "ReduceSum"], _NUMBERS),
    **dict.fromkeys(["AveragePool", "Clip", "Conv", "Exp", "Gemm", "GlobalAveragePool", "LeakyRelu"], _FLOATS),
    **dict.fromkeys(["MatMul", "Reciprocal", "Resize", "Sigmoid", "Softmax", "Sqrt"], _FLOATS),
    **dict.fromkeys(["Concat", "Expand", "Flatten", "Gather", "Identity", "Reshape", "Shape", "Slice"], _ANY),
    **dict.fromkeys(["Split", "Squeeze", "Tile", "Transpose", "Unsqueeze"], _ANY),
    "Cast": _ANY | {"UINT8"},
    "Constant": _ANY,
    "GridSample": frozenset(["FLOAT", "FLOAT16"]),
    "QuantizeLinear": _FLOATS,
    "DequantizeLinear": frozenset(["INT8"]),
}
# Inputs that decide a shape: they must be known when the engine is built.
SHAPE_INPUTS: dict[str, tuple[int, ...]] = {
    "Expand": (1,),
    "Pad": (1, 3),
    "ReduceMax": (1,),
    "ReduceMean": (1,),
    "ReduceSum": (1,),
    "Reshape": (1,),
    "Resize": (2, 3),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Tile": (1,),
    "Unsqueeze": (1,),
}
_RESIZE_TRANSFORMATIONS = {"half_pixel", "pytorch_half_pixel", "tf_half_pixel_for_nn", "asymmetric", "align_corners"}
_RESIZE_NEAREST = {"floor", "ceil", "round_prefer_floor", "round_prefer_ceil"}


@dataclass(frozen=True, slots=True)
class Finding:
    """What TensorRT is not documented to run. node: name and operator. reason: what is wrong."""

    node: str
    reason: str

    def __str__(self) -> str:
        """One line."""
        return f"{self.node}: {self.reason}"


@dataclass(frozen=True, slots=True)
class _Walk:
    """A graph with the type and shape of every tensor: type "" and shape () where none is known."""

    types: dict[str, str]
    shapes: dict[str, tuple[int, ...] | None]
    constants: dict[str, TensorProto]
    edges: frozenset[str]


def findings(content: bytes) -> list[Finding]:
    """Everything in a graph (the bytes of an ONNX file) that is not documented to run on TensorRT."""
    model = ModelProto.FromString(content)
    found = list(_opset(model))
    inferred = shape_inference.infer_shapes(model, check_type=False, data_prop=True)
    graph = inferred.graph
    edges = (*graph.input, *graph.output)
    walk = _Walk({}, {}, {t.name: t for t in graph.initializer}, frozenset(value.name for value in edges))
    for tensor in graph.initializer:
        walk.types[tensor.name] = TensorProto.DataType.Name(tensor.data_type)
        walk.shapes[tensor.name] = tuple(tensor.dims)
    for value in (*edges, *graph.value_info):
        kind = value.type.tensor_type
        sizes = [d.dim_value if d.HasField("dim_value") else 0 for d in kind.shape.dim]
        walk.types[value.name] = TensorProto.DataType.Name(kind.elem_type)
        walk.shapes[value.name] = tuple(sizes) if kind.HasField("shape") and all(s > 0 for s in sizes) else None
    open_shape = "has an open shape; export static shapes"
    found += [Finding(f"tensor {value.name}", open_shape) for value in edges if walk.shapes[value.name] is None]
    for node in graph.node:
        name = f"{node.name or node.output[0]} ({node.op_type})"
        found += [Finding(name, reason) for reason in _reasons(node, walk)]
    return found


def check_supported(content: bytes, name: str) -> None:
    """Raise ValueError, listing them, when `findings` has any for the graph called `name`."""
    found = findings(content)
    if found:
        listed = "; ".join(str(finding) for finding in found[:8])
        raise ValueError(f"graph {name}: {len(found)} things that TensorRT is not documented to run: {listed}")


def _opset(model: ModelProto) -> Iterator[Finding]:
    versions = {entry.domain: entry.version for entry in model.opset_import}
    if versions != {"": OPSET}:
        # Also inside the documented range: opset 20's GridSample is silently wrong in 10.13 (NVIDIA/TensorRT#4646).
        yield Finding("opset", f"got {versions}, expected {OPSET} alone")
    if model.functions:
        yield Finding("functions", f"got {len(model.functions)} local functions, expected none")


def _reasons(node: NodeProto, walk: _Walk) -> Iterator[str]:
    if node.domain or node.op_type not in DOCUMENTED_TYPES:
        yield f"operator {node.domain or 'ai.onnx'}:{node.op_type} is not in the table"
        return
    if any(attribute.HasField("g") or len(attribute.graphs) for attribute in node.attribute):
        yield "holds a subgraph"
    for name in node.output:
        if walk.shapes.get(name) is None:
            yield f"shape of {name} is open or depends on data"
    for index in SHAPE_INPUTS.get(node.op_type, ()):
        if index < len(node.input) and node.input[index] and node.input[index] not in walk.constants:
            yield f"input {index} ({node.input[index]}) decides a shape and is no constant"
    yield from _type_reasons(node, walk)
    rule = _RULES.get(node.op_type)
    if rule is not None:
        yield from rule(node, walk)


def _type_reasons(node: NodeProto, walk: _Walk) -> Iterator[str]:
    # Shapes, axes and zero points are read when the engine is built; the table's types are those of the data.
    data = node.input[:1] if node.op_type != "Concat" else node.input
    if node.op_type in ("Add", "Conv", "Div", "Gemm", "GridSample", "MatMul", "Max", "Min", "Mul", "Pow", "Sub"):
        data = [name for name in node.input if name]
    kinds = {walk.types.get(name, "unknown") for name in data}
    for kind in sorted(kinds - DOCUMENTED_TYPES[node.op_type]):
        yield f"type {kind} is not documented for it"
    if len(kinds) > 1:
        yield f"mixes types {sorted(kinds)}, which a strongly typed network refuses"
    for name in (*node.input, *node.output):
        if walk.types.get(name) == "UINT8" and (name not in walk.edges or node.op_type != "Cast"):
            yield f"uint8 tensor {name} is inside the network; TensorRT takes it at the edge, through a Cast"


def _grid_sample(node: NodeProto, walk: _Walk) -> Iterator[str]:
    shape = walk.shapes.get(node.input[0])
    if shape is None or len(shape) != 4:
        yield f"input has {'an open shape' if shape is None else f'{len(shape)} dimensions'}, expected 4"
    if "FLOAT" not in {walk.types.get(node.input[1])}:
        yield f"grid is {walk.types.get(node.input[1])}, expected FLOAT: half precision is a pixel or two"


def _resize(node: NodeProto, walk: _Walk) -> Iterator[str]:
    attributes = _attributes(node)
    if attributes.get("mode", "nearest") not in ("nearest", "linear"):
        yield f"mode {attributes['mode']}"
    if attributes.get("coordinate_transformation_mode", "half_pixel") not in _RESIZE_TRANSFORMATIONS:
        yield f"coordinate_transformation_mode {attributes['coordinate_transformation_mode']}"
    if attributes.get("nearest_mode", "round_prefer_floor") not in _RESIZE_NEAREST:
        yield f"nearest_mode {attributes['nearest_mode']}"
    if attributes.get("antialias", 0) or attributes.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        yield "antialias or an aspect ratio policy other than stretch"


def _window(node: NodeProto, walk: _Walk) -> Iterator[str]:
    shape = walk.shapes.get(node.input[0])
    if shape is not None and len(shape) not in (4, 5):
        yield f"input has {len(shape)} dimensions, expected 4 or 5"
    if node.op_type == "AveragePool" and any(d != 1 for d in _attributes(node).get("dilations", [1])):  # type: ignore[attr-defined]
        yield "dilations"


def _zero_point(node: NodeProto, walk: _Walk) -> Iterator[str]:
    for name in node.input[1:]:
        if name not in walk.constants:
            yield f"{name} is no constant"
    zero = walk.constants.get(node.input[2]) if len(node.input) > 2 else None
    if zero is not None and (zero.data_type != TensorProto.INT8 or np.any(numpy_helper.to_array(zero))):
        yield "zero point is not an int8 zero"


def _attributes(node: NodeProto) -> dict[str, object]:
    values = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in values.items()}


_RULES: dict[str, Callable[[NodeProto, _Walk], Iterator[str]]] = {
    "AveragePool": _window,
    "Conv": _window,
    "DequantizeLinear": _zero_point,
    "GridSample": _grid_sample,
    "QuantizeLinear": _zero_point,
    "Resize": _resize,
}
