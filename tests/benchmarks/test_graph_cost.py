"""Multiply-accumulates against graphs whose cost is known by hand, and against torch's own counter."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from adasr_core.bundle import GRAPHS, open_bundle
from adasr_core.networks import ModelConfig
from adasr_core.networks.cost import model_cost
from benchmarks.graph_cost import graph_cost


def write_graph(
    path: Path, operator: str, weights: tuple[int, ...], input_shape: tuple[int | str, ...], **attributes: Any
) -> Path:
    """Write an ONNX file of one operator: its input times constant weights."""
    constant = onnx.numpy_helper.from_array(np.ones(weights, np.float32), "weights")
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", "weights"], ["y"], **attributes)],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, input_shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [constant],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, str(path))
    return path


def test_convolution(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "a.onnx", "Conv", (8, 4, 3, 3), (1, 4, 10, 12), pads=[1, 1, 1, 1])
    cost = graph_cost(path)
    assert cost.gmac == pytest.approx(10 * 12 * 8 * 4 * 9 / 1e9)
    assert cost.constants == 8 * 4 * 9


def test_strided_grouped_convolution(tmp_path: Path) -> None:
    attributes: dict[str, Any] = {"pads": [1, 1, 1, 1], "strides": [2, 2], "group": 4}
    path = write_graph(tmp_path / "a.onnx", "Conv", (8, 1, 3, 3), (1, 4, 10, 12), **attributes)
    assert graph_cost(path).gmac == pytest.approx(5 * 6 * 8 * 9 / 1e9)


def test_transposed_convolution(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "a.onnx", "ConvTranspose", (4, 8, 2, 2), (1, 4, 10, 12), strides=[2, 2])
    assert graph_cost(path).gmac == pytest.approx(10 * 12 * 4 * 8 * 4 / 1e9)


def test_matrix_product(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "a.onnx", "MatMul", (5, 7), (2, 3, 5))
    assert graph_cost(path).gmac == pytest.approx(2 * 3 * 5 * 7 / 1e9)


def test_an_open_shape_is_refused(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "a.onnx", "Conv", (8, 4, 3, 3), ("batch", 4, 10, 12))
    with pytest.raises(ValueError, match="open shape"):
        graph_cost(path)


def test_garbage_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_text("no graph")
    with pytest.raises(ValueError, match="cannot read"):
        graph_cost(path)


def test_exported_graphs_cost_what_torch_counts() -> None:
    bundle = open_bundle("edge")
    stored = bundle.manifest.architecture["cost"]
    expected = model_cost(ModelConfig.of_architecture(bundle.manifest.architecture))
    for part in GRAPHS:
        gmac = graph_cost(bundle.path(part)).gmac
        assert gmac == pytest.approx(getattr(expected, part).gmac, rel=0.01), part
        assert gmac == pytest.approx(stored[part]["gmac"], abs=1e-3), part
    # Its graph is laid out in another way than the network (export/refiner_graph.py), so it is counted by itself.
    assert graph_cost(bundle.path("refiner")).gmac == pytest.approx(stored["refiner"]["gmac"], rel=0.01)
