"""Export of the networks to ONNX: opset 18, 4-D GridSample only, batch 1, float32.

    detector   image [1,3,256,256]                           -> keypoints [1,K,2], jacobians [1,K,2,2], confidence [1,K]
    encoder    picture [1,3,512,512]                         -> features, detail, context
    motion     context, keypoints and Jacobians of both      -> flow [1,2,64,64], occlusion [1,1,64,64]
    generator  picture, features, detail, flow, occlusion    -> frame [1,3,512,512]
    refiner    earlier, later [1,3,512,512], weight          -> frame [1,3,512,512]   (export.refiner_graph)

Pictures are RGB in [0, 1].
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from adasr_core.networks import FaceCodecNetworks, Generator, KeypointDetector, MotionField

OPSET = 18
# What TensorRT 10 runs natively; a graph with anything else is refused by the export.
ALLOWED_OPERATORS = frozenset(
    [
        "Add",
        "AveragePool",
        "Cast",
        "Clip",
        "Concat",
        "Constant",
        "Conv",
        "DepthToSpace",
        "Div",
        "Exp",
        "Expand",
        "Flatten",
        "Gather",
        "Gemm",
        "GlobalAveragePool",
        "GridSample",
        "Identity",
        "LeakyRelu",
        "MatMul",
        "Max",
        "Min",
        "Mul",
        "Neg",
        "Pad",
        "Pow",
        "Reciprocal",
        "ReduceMax",
        "ReduceMean",
        "ReduceSum",
        "Reshape",
        "Resize",
        "Shape",
        "Sigmoid",
        "Slice",
        "Softmax",
        "Split",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Tile",
        "Transpose",
        "Unsqueeze",
    ]
)


class DetectorGraph(nn.Module):
    """The exported face of the detector: confidence as a probability, training-only outputs left out."""

    def __init__(self, detector: KeypointDetector) -> None:
        """Wrap `detector`."""
        super().__init__()
        self.detector = detector

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[1, 3, 256, 256] -> keypoints, Jacobians, confidence."""
        out = self.detector(image)
        return out.keypoints, out.jacobians, torch.sigmoid(out.confidence_logits)


class MotionGraph(nn.Module):
    """The exported face of the motion field: flow and occlusion."""

    def __init__(self, motion: MotionField) -> None:
        """Wrap `motion`."""
        super().__init__()
        self.motion = motion

    def forward(self, context: Tensor, kr: Tensor, jr: Tensor, kd: Tensor, jd: Tensor) -> tuple[Tensor, Tensor]:
        """See `MotionField.forward`."""
        out = self.motion(context, kr, jr, kd, jd)
        return out.flow, out.occlusion


class GeneratorGraph(nn.Module):
    """The exported face of the generator: the frame clipped to [0, 1]."""

    def __init__(self, generator: Generator) -> None:
        """Wrap `generator`."""
        super().__init__()
        self.generator = generator

    def forward(self, picture: Tensor, features: Tensor, detail: Tensor, flow: Tensor, occlusion: Tensor) -> Tensor:
        """See `Generator.forward`."""
        return torch.clamp(self.generator(picture, features, detail, flow, occlusion), 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Graph:
    """One exported network with its example inputs by name (batch 1) and its output names."""

    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]


def graphs(networks: FaceCodecNetworks) -> dict[str, Graph]:
    """The four graphs of `networks` with random example inputs of the right shapes."""
    config = networks.config
    k, size = config.keypoints, config.frame_px
    points = torch.rand(1, k, 2) * 1.6 - 0.8
    jacobians = torch.eye(2).repeat(1, k, 1, 1) + 0.05 * torch.randn(1, k, 2, 2)
    picture = torch.rand(1, 3, size, size)
    with torch.no_grad():
        features, detail, context = networks.encoder(picture)
    return {
        "detector": Graph(
            DetectorGraph(networks.detector),
            {"image": torch.rand(1, 3, config.detector_px, config.detector_px)},
            ("keypoints", "jacobians", "confidence"),
        ),
        "encoder": Graph(networks.encoder, {"picture": picture}, ("features", "detail", "context")),
        "motion": Graph(
            MotionGraph(networks.motion),
            {
                "context": context,
                "keypoints_reference": points,
                "jacobians_reference": jacobians,
                "keypoints_driving": points + 0.05 * torch.randn_like(points),
                "jacobians_driving": jacobians + 0.05 * torch.randn_like(jacobians),
            },
            ("flow", "occlusion"),
        ),
        "generator": Graph(
            GeneratorGraph(networks.generator),
            {
                "picture": picture,
                "features": features,
                "detail": detail,
                "flow": 0.05 * torch.randn(1, 2, 64, 64),
                "occlusion": torch.rand(1, 1, 64, 64),
            },
            ("frame",),
        ),
    }


def export_graphs(networks: FaceCodecNetworks, folder: Path) -> dict[str, Path]:
    """Write ``detector.onnx``, ``encoder.onnx``, ``motion.onnx`` and ``generator.onnx`` into `folder`.

    Raises ValueError when a graph has an operator outside ALLOWED_OPERATORS or a GridSample that is not 4-D.
    """
    networks = networks.eval().float().cpu()
    return {name: write_graph(name, graph, folder) for name, graph in graphs(networks).items()}


def write_graph(name: str, graph: Graph, folder: Path) -> Path:
    """Write one graph as an ONNX file; raises as `export_graphs` does."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.onnx"
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph.module.eval(),
            tuple(graph.inputs.values()),
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            opset_version=OPSET,
            dynamo=True,
            optimize=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    strip_traces(model)
    check_operators(model, name)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())
    return path


def strip_traces(model: onnx.ModelProto) -> None:
    """Remove what the exporter notes of its own source lines (machine paths, and most of the file's size)."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.metadata_props[:]


def check_operators(model: onnx.ModelProto, name: str) -> None:
    """Raise ValueError for what TensorRT would not run natively."""
    versions = {i.domain: i.version for i in model.opset_import}
    if versions.get("", 0) != OPSET:
        raise ValueError(f"{name}.onnx: got opset {versions}, expected {OPSET}")
    inferred = onnx.shape_inference.infer_shapes(model)
    rank = {v.name: len(v.type.tensor_type.shape.dim) for v in (*inferred.graph.value_info, *inferred.graph.input)}
    rank |= {t.name: len(t.dims) for t in model.graph.initializer}
    for node in model.graph.node:
        if node.domain or node.op_type not in ALLOWED_OPERATORS:
            raise ValueError(f"{name}.onnx: operator {node.domain}:{node.op_type} is not on the list for TensorRT")
        if node.op_type == "GridSample" and rank.get(node.input[0]) != 4:
            raise ValueError(f"{name}.onnx: GridSample on {rank.get(node.input[0])} dimensions, expected 4")
