"""A frame graph as I/O binding wants it: an input for each stream's features, and all parameters in one tensor.

    picture_0 .. picture_N-1 [1,...] --> Concat --> picture [N,...]      (features, detail and context likewise)
    parameters [N,12K] --> Split, Reshape --> keypoints and Jacobians of the reference and of the driving frame

So every stream's features stay where the encoder wrote them, and one small copy brings what is new in a frame.

GridSample becomes ONNX Runtime's own (domain com.microsoft): its CUDA kernel is in every build since 1.10, that of the
standard operator was missing for years and is looked up by opset (microsoft/onnxruntime#19626, #20191); without it the
features would cross the bus for every frame. The two compute the same.

The onnx package is imported when a graph is made, not before: only the engines of NVIDIA GPUs need it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from adasr_core.geometry import MotionParameters

if TYPE_CHECKING:
    import onnx

RUNTIME_DOMAIN = "com.microsoft"
FEATURES = ("picture", "features", "detail", "context")
# As `frame_graph` names them, in the order in which `pack_parameters` lays them out.
PARAMETERS = ("keypoints_reference", "keypoints_driving", "jacobians_reference", "jacobians_driving")


def pack_parameters(reference: MotionParameters, driving: MotionParameters) -> npt.NDArray[np.float32]:
    """Float32 [12K]: keypoints of the reference and of the driving frame, then their Jacobians in the same order."""
    parts = (reference.keypoints, driving.keypoints, reference.jacobians, driving.jacobians)
    return np.concatenate([part.reshape(-1) for part in parts]).astype(np.float32)


def bound_frame_graph(frame: bytes) -> bytes:
    """Put the binding's inputs before a frame graph of any batch size; outputs and weights stay as they are.

    Raises:
        ValueError: the graph has not the inputs of a frame graph.
    """
    import onnx
    from onnx import TensorProto, helper

    model = onnx.load_from_string(frame)
    inputs = {value.name: value for value in model.graph.input}
    if set(inputs) != {*FEATURES, *PARAMETERS}:
        raise ValueError(f"frame graph: got inputs {sorted(inputs)}, expected {sorted((*FEATURES, *PARAMETERS))}")
    batch = _shape(inputs["picture"])[0]
    keypoints = _shape(inputs["keypoints_driving"])[1]
    sizes = [2 * keypoints, 2 * keypoints, 4 * keypoints, 4 * keypoints]
    new_inputs = [helper.make_tensor_value_info("parameters", TensorProto.FLOAT, [batch, 12 * keypoints])]
    flat = [f"{name}_flat" for name in PARAMETERS]
    constants = [helper.make_tensor("parameter_sizes", TensorProto.INT64, [4], sizes)]
    nodes = [helper.make_node("Split", ["parameters", "parameter_sizes"], flat, axis=1)]
    for name, values in zip(PARAMETERS, flat, strict=True):
        shape = _shape(inputs[name])
        constants.append(helper.make_tensor(f"{name}_shape", TensorProto.INT64, [len(shape)], shape))
        nodes.append(helper.make_node("Reshape", [values, f"{name}_shape"], [name]))
    for name in FEATURES:
        single = [1, *_shape(inputs[name])[1:]]
        type_ = inputs[name].type.tensor_type.elem_type
        streams = stream_inputs(name, batch)
        new_inputs += [helper.make_tensor_value_info(stream, type_, single) for stream in streams]
        nodes.append(helper.make_node("Concat", streams, [name], axis=0))
    nodes += model.graph.node
    del model.graph.node[:], model.graph.input[:]
    model.graph.node.extend(nodes)
    model.graph.input.extend(new_inputs)
    model.graph.initializer.extend(constants)
    onnx.checker.check_model(model, full_check=True)
    _use_own_grid_sample(model)
    made: bytes = model.SerializeToString()
    return made


def _use_own_grid_sample(model: onnx.ModelProto) -> None:
    from onnx import helper

    for node in model.graph.node:
        if node.op_type == "GridSample":
            node.domain = RUNTIME_DOMAIN
    model.opset_import.append(helper.make_opsetid(RUNTIME_DOMAIN, 1))


def stream_inputs(name: str, batch: int) -> list[str]:
    """Names of the inputs of one tensor: "picture_0", "picture_1", ..."""
    return [f"{name}_{stream}" for stream in range(batch)]


def _shape(value: onnx.ValueInfoProto) -> list[int]:
    return [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
