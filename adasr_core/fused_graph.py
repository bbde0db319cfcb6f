"""The graphs of a model folder, joined and dressed for a GPU: one launch a frame, pictures as bytes at both ends.

    encoder.onnx:  image uint8 [1, S, S, 3] --> picture, features, detail, context             once per key frame
    motion.onnx + generator.onnx:
        picture, features, detail, context, keypoints and Jacobians of both --> frame uint8 [N, S, S, 3], flow
    detector.onnx: image uint8 [1, D, D, 3] --> keypoints, jacobians, confidence
    refiner.onnx:  earlier, later uint8 [1, S, S, 3], weight [1, 1, 1, 1] --> frame uint8 [1, S, S, 3]

Conversion and quantisation happen inside the graph, so a frame crosses the bus as bytes, once. TensorRT takes uint8 at
the edge of a network only: the Cast is the first node or the last. A batch is static; every size is a graph of its own.

Graphs go in and come out as the bytes of ONNX files. `onnx` is imported when a function is called: it comes with the
extras gpu, tensorrt and train.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx
    from onnx import ModelProto, TensorProto

FUSED_VERSION = 1
"""Raised when the fused graphs change; part of what names an engine."""

MOTION_PREFIX = "motion/"
GENERATOR_PREFIX = "generator/"
_LINKS = ("flow", "occlusion")


def frame_graph(motion: bytes, generator: bytes, *, batch: int = 1) -> bytes:
    """Join motion field and generator for `batch` frames of as many streams.

    In, float32: picture [N, 3, S, S] in [0, 1], features, detail, context (as `encoder_graph` gives them),
    keypoints_reference [N, K, 2], jacobians_reference [N, K, 2, 2], keypoints_driving, jacobians_driving.
    Out: frame uint8 [N, S, S, 3] RGB; flow float32 [N, 2, 64, 64].

    Raises:
        ValueError: the two do not fit together, or `batch` is below 1.
        ModuleNotFoundError: onnx is not installed.
    """
    from onnx import ModelProto, compose, helper

    if batch < 1:
        raise ValueError(f"batch: got {batch}, expected 1 or more")
    first, second = ModelProto.FromString(motion), ModelProto.FromString(generator)
    missing = [name for name in _LINKS if name not in _names(first.graph.output) & _names(second.graph.input)]
    if missing:
        raise ValueError(f"motion and generator: got no {missing} between them, expected the graphs of one model")
    for model, prefix in ((first, MOTION_PREFIX), (second, GENERATOR_PREFIX)):
        _set_batch(model, batch)
        compose.add_prefix(model, prefix, rename_inputs=False, rename_outputs=False, inplace=True)
    outputs = [output.name for output in second.graph.output]
    joined: ModelProto = compose.merge_models(
        first, second, io_map=[(name, name) for name in _LINKS], outputs=["flow", *outputs]
    )
    graph = joined.graph
    (frame,) = [output for output in graph.output if output.name != "flow"]
    (flow,) = [output for output in graph.output if output.name == "flow"]
    given = _give_bytes(graph, frame, f"{GENERATOR_PREFIX}planes")
    del graph.output[:]
    graph.output.extend([given, flow])
    graph.name = "frame"
    # Merging keeps both models' entries; a second one for the same domain upsets ONNX Runtime's quantiser.
    versions = {entry.domain: entry.version for entry in joined.opset_import}
    del joined.opset_import[:]
    joined.opset_import.extend(helper.make_opsetid(domain, version) for domain, version in versions.items())
    return _checked(joined)


def encoder_graph(encoder: bytes) -> bytes:
    """The encoder with bytes in.

    In: image uint8 [1, S, S, 3] RGB. Out, float32: picture [1, 3, S, S] in [0, 1], features, detail, context.

    Raises:
        ModuleNotFoundError: onnx is not installed.
    """
    from onnx import ModelProto, TensorProto, helper

    model = ModelProto.FromString(encoder)
    shape = _shape(model.graph.input[0])
    planes = _take_bytes(model.graph, model.graph.input[0].name, "image")
    # An output of its own: not every engine gives out a tensor that is read inside as well.
    model.graph.node.append(helper.make_node("Identity", [planes], ["picture"], "keep_picture"))
    model.graph.output.insert(0, helper.make_tensor_value_info("picture", TensorProto.FLOAT, shape))
    return _checked(model)


def detector_graph(detector: bytes) -> bytes:
    """The detector with bytes in: image uint8 [1, D, D, 3] RGB; out, float32: keypoints, jacobians, confidence.

    Raises:
        ModuleNotFoundError: onnx is not installed.
    """
    from onnx import ModelProto

    model = ModelProto.FromString(detector)
    _take_bytes(model.graph, model.graph.input[0].name, "image")
    return _checked(model)


def refiner_graph(refiner: bytes) -> bytes:
    """The refiner with bytes in and out: earlier, later and frame uint8 [1, S, S, 3] RGB; weight stays float32.

    Raises:
        ModuleNotFoundError: onnx is not installed.
    """
    from onnx import ModelProto

    model = ModelProto.FromString(refiner)
    for name in ("later", "earlier"):
        _take_bytes(model.graph, name, name, prefix=f"{name}/")
    given = _give_bytes(model.graph, model.graph.output[0], "frame/planes")
    del model.graph.output[:]
    model.graph.output.append(given)
    return _checked(model)


def _take_bytes(graph: onnx.GraphProto, old: str, new: str, prefix: str = "") -> str:
    """Replace the input `old` [1, 3, H, W] in [0, 1] by `new`, uint8 [1, H, W, 3]; returns the planes' name.

    `prefix`: of the names in between, where several inputs are replaced.
    """
    from onnx import TensorProto, helper

    (value,) = [value for value in graph.input if value.name == old]
    n, channels, height, width = _shape(value)
    planes, levels, unscaled, scale = (prefix + name for name in ("planes", "levels", "level_planes", "scale_1_255"))
    _rename(graph, old, planes)
    value.CopyFrom(helper.make_tensor_value_info(new, TensorProto.UINT8, [n, height, width, channels]))
    graph.initializer.append(_scalar(scale, 1 / 255))
    nodes = [
        helper.make_node("Cast", [new], [levels], f"{prefix}to_float", to=TensorProto.FLOAT),
        helper.make_node("Transpose", [levels], [unscaled], f"{prefix}to_planes", perm=[0, 3, 1, 2]),
        helper.make_node("Mul", [unscaled, scale], [planes], f"{prefix}to_unit"),
    ]
    for node in reversed(nodes):
        graph.node.insert(0, node)
    return planes


def _give_bytes(graph: onnx.GraphProto, output: onnx.ValueInfoProto, planes: str) -> onnx.ValueInfoProto:
    """Append the way from an output [N, 3, H, W] in [0, 1] to "frame", uint8 [N, H, W, 3].

    `planes`: what the output is called from now on. Returns the description of the new output, which the caller puts
    in the old one's place.
    """
    from onnx import TensorProto, helper

    n, channels, height, width = _shape(output)
    _rename(graph, output.name, planes)
    graph.initializer.extend([_scalar("scale_255", 255.0), _scalar("half", 0.5)])
    graph.node.extend(
        [
            helper.make_node("Mul", [planes, "scale_255"], ["levels"], "to_levels"),
            helper.make_node("Add", ["levels", "half"], ["rounded"], "round"),
            helper.make_node("Transpose", ["rounded"], ["pixels"], "to_channels_last", perm=[0, 2, 3, 1]),
            helper.make_node("Cast", ["pixels"], ["frame"], "to_uint8", to=TensorProto.UINT8),
        ]
    )
    return helper.make_tensor_value_info("frame", TensorProto.UINT8, [n, height, width, channels])


def _set_batch(model: ModelProto, batch: int) -> None:
    """Give a graph that was exported for one frame a batch of `batch`.

    Three things in such a graph hold the 1: the shapes of its inputs and outputs, the shapes that Reshape and Resize
    are given, and a constant that is concatenated with a frame's values.
    """
    from onnx import numpy_helper

    graph = model.graph
    for value in (*graph.input, *graph.output):
        sizes = value.type.tensor_type.shape.dim
        if sizes[0].dim_value != 1:
            raise ValueError(f"{value.name}: got {_shape(value)}, expected a graph exported for batch 1")
        sizes[0].dim_value = batch
    del graph.value_info[:]
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Reshape":
            shapes = node.input[1:2]
        elif node.op_type == "Resize":
            shapes = node.input[3:4]
        elif node.op_type == "Concat":
            for name in set(node.input) & set(constants):
                value = numpy_helper.to_array(constants[name])
                constants[name].CopyFrom(numpy_helper.from_array(np.repeat(value[:1], batch, axis=0), name))
            continue
        else:
            continue
        for name in shapes:
            shape = numpy_helper.to_array(constants[name]).copy()
            shape[0] = batch
            constants[name].CopyFrom(numpy_helper.from_array(shape, name))


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == old:
                    names[index] = new


def _scalar(name: str, value: float) -> TensorProto:
    from onnx import numpy_helper

    return numpy_helper.from_array(np.asarray(value, np.float32), name)


def _shape(value: onnx.ValueInfoProto) -> list[int]:
    return [size.dim_value for size in value.type.tensor_type.shape.dim]


def _names(values: Iterable[onnx.ValueInfoProto]) -> set[str]:
    return {value.name for value in values}


def _checked(model: ModelProto) -> bytes:
    """The bytes of a graph whose shapes fit together, every tensor's shape written down in it.

    Raises:
        ValueError: they do not; the message is ONNX's.
    """
    from onnx import checker, shape_inference

    try:
        inferred = shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        checker.check_model(inferred, full_check=True)
    except (checker.ValidationError, shape_inference.InferenceError) as error:
        raise ValueError(f"graph: the parts do not fit together: {error}; expected the graphs of one model") from error
    content: bytes = inferred.SerializeToString(deterministic=True)
    return content
