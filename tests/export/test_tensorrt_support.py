"""The static proof: all that is exported keeps to what TensorRT is documented to run. No GPU has a part in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from adasr.sample import sample_clip_path
from adasr_core.bundle import ModelBundle, ModelPart, open_bundle
from adasr_core.fused_graph import encoder_graph, frame_graph
from adasr_core.networks import PRESETS, FaceCodecNetworks
from export import onnx_graphs
from export.clip_frames import frame_pairs
from export.engine_builder import EngineConfig, engine_graphs
from export.recorded_inputs import record_inputs
from export.reduced_precision import reduce_precision
from export.tensorrt_support import DOCUMENTED_OPSETS, DOCUMENTED_TYPES, OPSET, check_supported, findings

EDGE = open_bundle("edge")
GRAPHS: tuple[ModelPart, ...] = ("detector", "encoder", "motion", "generator")


def model_of(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, list[int | str]],
    *,
    kind: int = TensorProto.FLOAT,
    opset: int = OPSET,
    constants: dict[str, np.ndarray] | None = None,
) -> bytes:
    """A small graph whose last node makes its output "y", of a shape that is inferred."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info("y", kind, None)],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    content: bytes = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)]).SerializeToString()
    return content


def reasons(content: bytes) -> str:
    return "; ".join(str(finding) for finding in findings(content))


@pytest.mark.parametrize("part", GRAPHS)
def test_every_shipped_graph_keeps_to_it(part: ModelPart) -> None:
    assert reasons(EDGE.path(part).read_bytes()) == ""


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "int8"])
def test_every_engines_graph_keeps_to_it(precision: str) -> None:
    recorded = record_inputs(EDGE, frame_pairs([sample_clip_path()], 512, per_clip=1)) if precision == "int8" else []
    graphs = engine_graphs(EDGE, EngineConfig(precision=precision, batches=(1, 8)), recorded)  # type: ignore[arg-type]
    assert [(graph.part, graph.batch) for graph in graphs] == [
        ("detector", 1), ("encoder", 1), *([("refiner", 1)] if EDGE.has("refiner") else []), ("frame", 1), ("frame", 8),
    ]  # fmt: skip
    assert {reasons(graph.content) for graph in graphs} == {""}


def test_models_quantised_for_processors_are_refused() -> None:
    architecture = {**EDGE.manifest.architecture, "precision": {"motion": "int8", "generator": "int8"}}
    quantised = ModelBundle(EDGE.folder, replace(EDGE.manifest, architecture=architecture))
    with pytest.raises(ValueError, match="is quantised for processors"):
        engine_graphs(quantised, EngineConfig())


@pytest.mark.slow
def test_a_fresh_base_keeps_to_it(tmp_path: Path) -> None:
    torch.manual_seed(1)
    paths = onnx_graphs.export_graphs(FaceCodecNetworks(PRESETS["base"]).eval(), tmp_path)
    assert {part: reasons(path.read_bytes()) for part, path in paths.items()} == dict.fromkeys(GRAPHS, "")
    for batch in (1, 32):
        frame = frame_graph(paths["motion"].read_bytes(), paths["generator"].read_bytes(), batch=batch)
        assert {reasons(reduce_precision(frame, p)) for p in ("fp32", "fp16", "bf16")} == {""}
    assert reasons(reduce_precision(encoder_graph(paths["encoder"].read_bytes()), "bf16")) == ""


def test_the_exporter_allows_no_more_than_the_table_has() -> None:
    assert not onnx_graphs.ALLOWED_OPERATORS - set(DOCUMENTED_TYPES)
    assert onnx_graphs.OPSET == OPSET
    assert OPSET in DOCUMENTED_OPSETS


def test_five_dimensions_are_no_grid_sample() -> None:
    content = model_of(
        [helper.make_node("GridSample", ["x", "g"], ["y"])], {"x": [1, 2, 4, 4, 4], "g": [1, 4, 4, 4, 3]}
    )
    assert "expected 4" in reasons(content)


def test_half_precision_grids_are_found() -> None:
    content = model_of(
        [helper.make_node("GridSample", ["x", "g"], ["y"])],
        {"x": [1, 2, 4, 4], "g": [1, 4, 4, 2]},
        kind=TensorProto.BFLOAT16,
    )
    assert "type BFLOAT16 is not documented" in reasons(content)
    assert "grid is BFLOAT16" in reasons(content)


def test_other_opsets_are_found() -> None:
    content = model_of([helper.make_node("Neg", ["x"], ["y"])], {"x": [1, 2]}, opset=20)
    assert "opset: got {'': 20}, expected 18" in reasons(content)


def test_open_shapes_are_found() -> None:
    content = model_of([helper.make_node("Neg", ["x"], ["y"])], {"x": ["batch", 2]})
    assert "tensor x: has an open shape" in reasons(content)


def test_shapes_that_hang_on_data_are_found() -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["shape"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["x", "shape"], ["y"]),
    ]
    found = reasons(model_of(nodes, {"x": [2]}))
    assert "input 1 (shape) decides a shape and is no constant" in found
    assert "shape of y is open or depends on data" in found


def test_operators_outside_the_table_are_found() -> None:
    assert "ai.onnx:NonZero is not in the table" in reasons(
        model_of([helper.make_node("NonZero", ["x"], ["y"])], {"x": [4]})
    )
    custom = onnx.ModelProto.FromString(model_of([helper.make_node("Warp", ["x"], ["y"], domain="mine")], {"x": [4]}))
    custom.opset_import.append(helper.make_opsetid("mine", 1))
    found = reasons(custom.SerializeToString())
    assert "operator mine:Warp is not in the table" in found
    assert "opset: got {'': 18, 'mine': 1}" in found


def test_uint8_inside_is_found() -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["bytes"], to=TensorProto.UINT8),
        helper.make_node("Transpose", ["bytes"], ["turned"], perm=[1, 0]),
        helper.make_node("Cast", ["turned"], ["y"], to=TensorProto.FLOAT),
    ]
    assert "uint8 tensor bytes is inside the network" in reasons(model_of(nodes, {"x": [2, 3]}))


def test_mixed_types_are_found() -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("Add", ["x", "half"], ["y"]),
    ]
    assert "mixes types ['FLOAT', 'FLOAT16']" in reasons(model_of(nodes, {"x": [2]}))


def test_resizes_that_it_does_not_know_are_found() -> None:
    node = helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="cubic", nearest_mode="floor")
    scales = {"scales": np.array([1, 1, 2, 2], np.float32)}
    assert "mode cubic" in reasons(model_of([node], {"x": [1, 1, 4, 4]}, constants=scales))


def test_zero_points_other_than_zero_are_found() -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    for zero, expected in ((np.int8(3), "not an int8 zero"), (np.uint8(0), "not an int8 zero"), (np.int8(0), "")):
        constants: dict[str, np.ndarray] = {"scale": np.asarray(0.1, np.float32), "zero": np.asarray(zero)}
        assert expected in reasons(model_of(nodes, {"x": [2]}, constants=constants))
    fine = model_of(nodes, {"x": [2]}, constants={"scale": np.asarray(0.1, np.float32), "zero": np.asarray(0, np.int8)})
    assert reasons(fine) == ""


def test_a_refusal_names_graph_and_node() -> None:
    content = model_of([helper.make_node("NonZero", ["x"], ["y"], name="where")], {"x": [4]})
    with pytest.raises(ValueError, match=r"graph frame: 2 things .* where \(NonZero\)"):
        check_supported(content, "frame")
