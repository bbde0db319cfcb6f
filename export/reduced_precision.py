"""Half precision, written into the graph: TensorRT's networks are strongly typed, so what the ONNX says is what runs.

    float32 --> Cast --> [Conv, LeakyRelu, SPADE's products and sums, pixel shuffle] --> Cast --> float32

Reduced are encoder, generator and refiner, from each convolution on through `THROUGH`. All else stays float32:
* the motion field and the detector: coordinates. A bfloat16 has 8 significant bits, a pixel or two of 512;
* every GridSample and what makes its grid, for the same reason (and TensorRT samples in float32 and float16 alone);
* the blend of warped picture and paint, and the way to uint8: a bfloat16 in [0.5, 1] has steps of a whole grey level.
"""

from __future__ import annotations

from typing import Literal, get_args

import ml_dtypes
import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper, shape_inference

from adasr_core.fused_graph import MOTION_PREFIX

Precision = Literal["fp32", "fp16", "bf16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

THROUGH = frozenset(["Add", "Concat", "Conv", "DepthToSpace", "LeakyRelu", "Mul", "Split"])
"""Operators that compute in half precision where all they read is the outcome of one that does."""

_TYPES: dict[str, tuple[int, np.dtype[np.generic]]] = {
    "fp16": (TensorProto.FLOAT16, np.dtype(np.float16)),
    "bf16": (TensorProto.BFLOAT16, np.dtype(ml_dtypes.bfloat16)),
}


def reduce_precision(content: bytes, precision: Precision) -> bytes:
    """The same graph with encoder, generator or refiner in `precision`; inputs and outputs keep their types.

    `content`: an ONNX file made by `adasr_core.fused_graph`.

    Raises:
        ValueError: `precision` is none of PRECISIONS, or a weight does not fit into it.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision: got {precision!r}, expected one of {', '.join(PRECISIONS)}")
    if precision == "fp32":
        return content
    model = ModelProto.FromString(content)
    _cast_between(model, reduced_nodes(model), precision)
    del model.graph.value_info[:]
    # Types are not checked: ONNX lets Conv take bfloat16 from opset 22 on, TensorRT whatever the opset says.
    inferred = shape_inference.infer_shapes(model, check_type=False, strict_mode=True, data_prop=True)
    reduced: bytes = inferred.SerializeToString(deterministic=True)
    return reduced


def reduced_nodes(model: ModelProto) -> set[str]:
    """Names of the nodes that compute in half precision."""
    nodes = [node for node in model.graph.node if not node.name.startswith(MOTION_PREFIX) and node.op_type in THROUGH]
    constants = {tensor.name for tensor in model.graph.initializer}
    readers: dict[str, list[NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    outputs = {output.name for output in model.graph.output}
    chosen = {node.name for node in nodes if node.op_type == "Conv"}
    made = {name for node in nodes if node.name in chosen for name in node.output}
    grown = True
    while grown:
        grown = False
        for node in nodes:
            read = [name for name in node.input if name and name not in constants]
            if node.name in chosen or not made.intersection(read):
                continue
            all_reduced = made.issuperset(read)
            # What joins features only to feed convolutions would be cast for them anyway.
            feeds = [reader for name in node.output for reader in readers.get(name, [])]
            for_convolutions = bool(feeds) and all(reader.op_type == "Conv" for reader in feeds)
            if all_reduced or (for_convolutions and not outputs.intersection(node.output)):
                chosen.add(node.name)
                made.update(node.output)
                grown = True
    return chosen


def _cast_between(model: ModelProto, reduced: set[str], precision: Precision) -> None:
    """Put a Cast on every edge between the two precisions and turn the reduced nodes' weights into it."""
    kind, dtype = _TYPES[precision]
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    outputs = {output.name for output in graph.output}
    made = {name for node in graph.node if node.name in reduced for name in node.output}
    nodes: list[NodeProto] = []
    cast: set[str] = set()

    def converted(name: str, suffix: str, to: int) -> str:
        # Made where it is first read: its source comes before, so the order stays topological.
        new = f"{name}@{suffix}"
        if new not in cast:
            cast.add(new)
            source = f"{name}@{precision}" if suffix == "f32" and name in outputs else name
            nodes.append(helper.make_node("Cast", [source], [new], f"cast_{new}", to=to))
        return new

    for node in graph.node:
        is_reduced = node.name in reduced
        for index, name in enumerate(node.input):
            if not name:
                continue
            if is_reduced and name in constants:
                if constants[name].data_type == TensorProto.FLOAT:
                    node.input[index] = _reduced_constant(graph, constants, name, precision, dtype)
            elif is_reduced and name not in made:
                node.input[index] = converted(name, precision, kind)
            elif is_reduced and name in outputs:
                node.input[index] = f"{name}@{precision}"
            elif not is_reduced and name in made:
                node.input[index] = converted(name, "f32", TensorProto.FLOAT)
        nodes.append(node)
        if is_reduced:
            for index, name in enumerate(node.output):
                if name in outputs:
                    node.output[index] = f"{name}@{precision}"
                    nodes.append(
                        helper.make_node("Cast", [node.output[index]], [name], f"cast_{name}", to=TensorProto.FLOAT)
                    )
    kept = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)
    used = {name for node in graph.node for name in node.input}
    remaining = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(remaining)


def _reduced_constant(
    graph: onnx.GraphProto,
    constants: dict[str, TensorProto],
    name: str,
    precision: Precision,
    dtype: np.dtype[np.generic],
) -> str:
    new = f"{name}@{precision}"
    if new not in constants:
        values = numpy_helper.to_array(constants[name])
        rounded = values.astype(dtype)
        if not np.isfinite(rounded.astype(np.float32)).all():
            largest = np.abs(values).max()
            raise ValueError(f"weight {name}: its largest value {largest:g} is beyond {precision}; use bf16")
        tensor = numpy_helper.from_array(rounded, new)
        graph.initializer.append(tensor)
        constants[new] = tensor
    return new
