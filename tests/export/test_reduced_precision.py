"""Half precision in the graph: where it is, where it is not, and what it costs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import openvino
import pytest
from onnx import TensorProto, numpy_helper

from adasr.sample import sample_clip_path
from adasr_core.bundle import open_bundle
from adasr_core.fused_graph import GENERATOR_PREFIX, MOTION_PREFIX, encoder_graph, frame_graph
from export.clip_frames import frame_pairs
from export.explicit_int8 import quantise_frame, quantised_nodes
from export.recorded_inputs import Inputs, record_inputs
from export.reduced_precision import Precision, reduce_precision, reduced_nodes

EDGE = open_bundle("edge")


@pytest.fixture(scope="module")
def frame() -> bytes:
    return frame_graph(EDGE.path("motion").read_bytes(), EDGE.path("generator").read_bytes())


@pytest.fixture(scope="module")
def recorded() -> list[Inputs]:
    return record_inputs(EDGE, frame_pairs([sample_clip_path()], 512, per_clip=2))


def on_onnxruntime(content: bytes, inputs: Inputs) -> npt.NDArray[np.uint8]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    out: npt.NDArray[np.uint8] = session.run(["frame"], inputs)[0]
    return out


def psnr_db(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> float:
    return float(10 * np.log10(255**2 / max(float(np.mean((a.astype(float) - b) ** 2)), 1e-9)))


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_coordinates_and_colours_stay_float32(frame: bytes, precision: Precision) -> None:
    graph = onnx.ModelProto.FromString(reduce_precision(frame, precision)).graph
    kind = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}[precision]
    types = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input, *graph.output)}
    for node in graph.node:
        halves = [name for name in node.output if types[name] == kind]
        if node.name.startswith(MOTION_PREFIX) or node.op_type in ("GridSample", "Resize", "Clip", "Transpose"):
            assert not halves, node.name
        if node.op_type == "Conv" and node.name.startswith(GENERATOR_PREFIX):
            assert halves, node.name
    weights = {tensor.data_type for tensor in graph.initializer if len(tensor.dims) == 4 and tensor.dims[2] == 3}
    assert weights == {TensorProto.FLOAT, kind}, "the motion field's stay, the generator's are halved"
    assert {types[value.name] for value in graph.input} == {TensorProto.FLOAT}


def test_few_casts_are_needed(frame: bytes) -> None:
    """Every Cast is a pass over memory: into the generator twice, for the detail, out of it once, and to bytes."""
    nodes = onnx.ModelProto.FromString(reduce_precision(frame, "fp16")).graph.node
    assert sum(node.op_type == "Cast" for node in nodes) <= 5


def test_float32_is_left_alone(frame: bytes) -> None:
    assert reduce_precision(frame, "fp32") == frame


def test_half_precision_shows_the_same_frame(frame: bytes, recorded: list[Inputs]) -> None:
    expected, got = (on_onnxruntime(reduce_precision(frame, p), recorded[-1]) for p in ("fp32", "fp16"))
    assert np.any(expected != got), "something must have been reduced"
    assert psnr_db(expected, got) > 60


def test_bfloat16_weights_show_the_same_frame(frame: bytes, recorded: list[Inputs]) -> None:
    """ONNX Runtime has no bfloat16 on a CPU; OpenVINO reads the graph and rounds the weights as they are stored."""
    core = openvino.Core()
    frames = []
    for precision in ("fp32", "bf16"):
        compiled = core.compile_model(
            core.read_model(reduce_precision(frame, precision)),
            "CPU",
            {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1},
        )
        frames.append(np.array(compiled(recorded[-1])["frame"]))
    assert psnr_db(frames[0], frames[1]) > 50


def test_encoder_gives_float32_out() -> None:
    content = reduce_precision(encoder_graph(EDGE.path("encoder").read_bytes()), "fp16")
    graph = onnx.ModelProto.FromString(content).graph
    assert {value.type.tensor_type.elem_type for value in graph.output} == {TensorProto.FLOAT}
    onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


def test_weights_beyond_half_precision_are_refused(frame: bytes) -> None:
    model = onnx.ModelProto.FromString(frame)
    node = next(n for n in model.graph.node if n.op_type == "Conv" and n.name in reduced_nodes(model))
    tensor = next(t for t in model.graph.initializer if t.name == node.input[1])
    values = numpy_helper.to_array(tensor).copy()
    values.flat[0] = 1e6
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    with np.errstate(over="ignore"), pytest.raises(ValueError, match="beyond fp16; use bf16"):
        reduce_precision(model.SerializeToString(), "fp16")
    reduce_precision(model.SerializeToString(), "bf16")


def test_other_precisions_are_named(frame: bytes) -> None:
    with pytest.raises(ValueError, match="precision: got 'fp8'"):
        reduce_precision(frame, "fp8")  # type: ignore[arg-type]


def test_int8_is_explicit_and_close(frame: bytes, recorded: list[Inputs]) -> None:
    quantised = quantise_frame(frame, recorded)
    graph = onnx.ModelProto.FromString(quantised).graph
    fed_by = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type == "Conv":
            int8 = node.name in quantised_nodes(frame)
            assert (fed_by.get(node.input[0], node).op_type == "DequantizeLinear") == int8, node.name
            if int8:
                assert node.input[2] not in fed_by, "a bias of int32 is nothing that TensorRT reads"
    assert psnr_db(on_onnxruntime(frame, recorded[-1]), on_onnxruntime(quantised, recorded[-1])) > 40


def test_int8_needs_something_to_calibrate_on(frame: bytes, recorded: list[Inputs]) -> None:
    with pytest.raises(ValueError, match="name clips with --clips"):
        quantise_frame(frame, [])
    with pytest.raises(ValueError, match="expected a frame graph"):
        quantise_frame(encoder_graph(EDGE.path("encoder").read_bytes()), recorded)
