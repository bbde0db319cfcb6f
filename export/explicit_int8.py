"""int8 for TensorRT: explicit Q/DQ pairs in the graph, calibrated on key frames and frames of clips.

TensorRT 11 has no calibrator any more: it runs what QuantizeLinear and DequantizeLinear say. ONNX Runtime's quantiser
writes them as TensorRT wants them: int8 with zero points of 0, weights by channel, biases in float.

Quantised are the generator's convolutions but the last: it makes colours and the mask of the blend.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from onnx import ModelProto
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from adasr_core.fused_graph import GENERATOR_PREFIX

Inputs = Mapping[str, npt.NDArray[np.float32]]


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Hands the recorded inputs to the quantiser, one at a time."""

    def __init__(self, recorded: Sequence[Inputs]) -> None:
        self._left: Iterator[Inputs] = iter(recorded)

    def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
        values = next(self._left, None)
        return None if values is None else dict(values)


def quantised_nodes(content: bytes) -> list[str]:
    """Names of the convolutions of a frame graph that run in int8."""
    nodes = ModelProto.FromString(content).graph.node
    names = [node.name for node in nodes if node.op_type == "Conv" and node.name.startswith(GENERATOR_PREFIX)]
    return names[:-1]


def quantise_frame(content: bytes, recorded: Sequence[Inputs]) -> bytes:
    """A frame graph (`adasr_core.fused_graph.frame_graph`) with Q/DQ pairs around the generator's convolutions.

    `recorded`: inputs of the graph by name, from real clips; eight or more are sensible.

    Raises:
        ValueError: nothing was recorded, or the graph has nothing to quantise.
    """
    if not recorded:
        raise ValueError("recorded: got no inputs, expected some to calibrate on; name clips with --clips")
    nodes = quantised_nodes(content)
    if not nodes:
        raise ValueError(f"graph: got no convolution under {GENERATOR_PREFIX}, expected a frame graph")
    with tempfile.TemporaryDirectory() as made:
        source, target = Path(made) / "frame.onnx", Path(made) / "int8.onnx"
        model = ModelProto.FromString(content)
        # Its preprocessing infers shapes, which a fused graph holds already; without this mark it warns of its absence.
        model.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
        source.write_bytes(model.SerializeToString())
        quantize_static(
            source,
            target,
            _Reader(recorded),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            nodes_to_quantize=nodes,
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
        )
        model = ModelProto.FromString(target.read_bytes())
    # The quantiser notes its own domain even where no node is of it.
    domains = {node.domain for node in model.graph.node}
    del model.metadata_props[:]
    kept = [entry for entry in model.opset_import if entry.domain in domains]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    quantised: bytes = model.SerializeToString(deterministic=True)
    return quantised
