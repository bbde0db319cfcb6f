"""The parity gate: torch == ONNX Runtime == OpenVINO on real pictures, graph by graph and for the whole chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from adasr_core.engines.onnxruntime_runner import OnnxRuntimeRunner
from adasr_core.engines.openvino_runner import OpenVinoRunner
from adasr_core.engines.runner import Array, GraphRunner
from adasr_core.networks import FaceCodecNetworks
from export.onnx_graphs import graphs

Image = npt.NDArray[np.uint8]

# Largest absolute difference to torch in float32, by output. A keypoint coordinate of 0.0005 is an eighth of a pixel
# of 512.
TOLERANCE = {
    "keypoints": 5e-4,
    "jacobians": 2e-3,
    "confidence": 2e-3,
    "features": 5e-3,
    "detail": 5e-3,
    "context": 5e-3,
    "flow": 5e-4,
    "occlusion": 2e-3,
    "frame": 2e-2,
}
# Least PSNR of a frame from the bfloat16 generator against torch in float32, dB: far above what a rebuild reaches.
REDUCED_FRAME_PSNR_DB = 38.0


class ParityError(RuntimeError):
    """An exported graph does not compute what torch computes."""


@dataclass(frozen=True, slots=True)
class ParityRow:
    """One comparison. difference: largest absolute difference, or for "bf16" rows the PSNR in dB."""

    graph: str
    output: str
    engine: str
    difference: float
    limit: float

    @property
    def ok(self) -> bool:
        """Whether the row keeps its limit."""
        return self.difference >= self.limit if self.engine.endswith("bf16") else self.difference <= self.limit


def planes(image: Image, size: int) -> torch.Tensor:
    """uint8 [H, H, 3] -> float32 [1, 3, size, size] in [0, 1]."""
    tensor = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255
    if tensor.shape[-1] != size:
        tensor = torch.nn.functional.interpolate(tensor, size=(size, size), mode="area")
    return tensor


@torch.no_grad()
def check_parity(networks: FaceCodecNetworks, folder: Path, pairs: Sequence[tuple[Image, Image]]) -> list[ParityRow]:
    """Compare the graphs in `folder` with `networks` on pairs (key frame, frame), each uint8 [frame_px, frame_px, 3].

    Every graph gets torch's own inputs, so that a difference is that graph's own.

    Raises:
        ParityError: a limit is broken; the message lists the rows.
    """
    networks = networks.eval().float().cpu()
    config = networks.config
    worst: dict[tuple[str, str, str], float] = {}
    runners: dict[str, dict[str, GraphRunner]] = {}
    expected_outputs: dict[str, tuple[str, ...]] = {}
    modules = graphs(networks)
    for name, graph in modules.items():
        path = folder / f"{name}.onnx"
        runners[name] = {"openvino": OpenVinoRunner(path), "onnxruntime": OnnxRuntimeRunner(path)}
        reduced = OpenVinoRunner(path, reduced=True)
        if name == "generator" and reduced.precision == "bf16":
            runners[name]["openvino-bf16"] = reduced
        expected_outputs[name] = graph.outputs
    for key, driving in pairs:
        values: dict[str, torch.Tensor] = {"picture": planes(key, config.frame_px)}
        found = [modules["detector"].module(planes(image, config.detector_px)) for image in (key, driving)]
        values["image"] = planes(driving, config.detector_px)
        for (points, shapes, _), role in zip(found, ("reference", "driving"), strict=True):
            values[f"keypoints_{role}"], values[f"jacobians_{role}"] = points, shapes
        for name, graph in modules.items():
            inputs = {key_: values[key_] for key_ in graph.inputs}
            outputs = graph.module(*inputs.values())
            outputs = (outputs,) if isinstance(outputs, torch.Tensor) else tuple(outputs)
            values |= dict(zip(graph.outputs, outputs, strict=True))
            arrays: dict[str, Array] = {k: v.numpy() for k, v in inputs.items()}
            for engine, runner in runners[name].items():
                got = runner.run(arrays)
                for output, value in zip(graph.outputs, outputs, strict=True):
                    difference = np.abs(got[output] - value.numpy())
                    at = (name, output, engine)
                    if engine.endswith("bf16"):
                        quality = float(-10 * np.log10(max(float((difference**2).mean()), 1e-12)))
                        worst[at] = min(worst.get(at, np.inf), quality)
                    else:
                        worst[at] = max(worst.get(at, 0.0), float(difference.max()))
    rows = [
        ParityRow(g, o, e, d, REDUCED_FRAME_PSNR_DB if e.endswith("bf16") else TOLERANCE[o])
        for (g, o, e), d in worst.items()
    ]
    broken = [f"{r.graph}.{r.output} on {r.engine}: {r.difference:.2g} (limit {r.limit:g})" for r in rows if not r.ok]
    if broken:
        raise ParityError("exported graphs differ from torch: " + "; ".join(broken))
    return rows
