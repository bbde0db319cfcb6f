"""Work of an exported graph, counted on the graph itself: what runs is what is counted."""

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import openvino


@dataclass(frozen=True, slots=True)
class GraphCost:
    """Cost of one run of a graph.

    Attributes:
        gmac: 1e9 multiply-accumulates of convolutions and matrix products; resizing and sampling are not counted.
        constants: numbers stored in the graph: weights, biases and fixed grids.
    """

    gmac: float
    constants: int


def graph_cost(path: Path) -> GraphCost:
    """Count an ONNX graph whose shapes are all known.

    Raises:
        ValueError: the file is no graph that OpenVINO reads, or a shape is left open.
    """
    try:
        model = openvino.Core().read_model(path)
    except RuntimeError as error:
        raise ValueError(f"graph {path}: OpenVINO cannot read it ({str(error).splitlines()[0]})") from error
    macs = constants = 0
    for node in model.get_ordered_ops():
        if any(output.get_partial_shape().is_dynamic for output in node.outputs()):
            raise ValueError(f"graph {path}: {node.get_friendly_name()} has an open shape; export fixed shapes")
        if node.get_type_name() == "Constant":
            constants += _size(node.output(0)) if node.output(0).get_element_type().is_real() else 0
        else:
            macs += _multiply_accumulates(node)
    return GraphCost(macs / 1e9, constants)


def _multiply_accumulates(node: Any) -> int:
    """Products summed into the outputs of one node; the shapes are OpenVINO's, weights [out, in, kh, kw]."""
    kind = node.get_type_name()
    if kind == "Convolution":
        return _size(node.output(0)) * _size(node.input_value(1), skip=1)
    if kind == "GroupConvolution":
        return _size(node.output(0)) * _size(node.input_value(1), skip=2)
    if kind in ("ConvolutionBackpropData", "GroupConvolutionBackpropData"):
        # Every input value is spread by one kernel for each output channel: weights [(groups,) in, out, kh, kw].
        groups_and_input = 1 if kind == "ConvolutionBackpropData" else 2
        return _size(node.input_value(0)) * _size(node.input_value(1), skip=groups_and_input)
    if kind == "MatMul":
        inner = -2 if node.get_attributes()["transpose_a"] else -1
        return _size(node.output(0)) * int(node.input_value(0).get_shape()[inner])
    return 0


def _size(value: Any, skip: int = 0) -> int:
    """Elements of an input or output, without its first `skip` dimensions."""
    return prod(int(size) for size in value.get_shape()[skip:])
