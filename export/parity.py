"""The parity gate: torch == ONNX Runtime == OpenVINO on real pictures, graph by graph and for the whole chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from adasr_core.engines.onnxruntime_runner import OnnxRuntimeRunner
from adasr_core.engines.openvino_runner import OpenVinoRunner
from adasr_core.engines.runner import Array, GraphRunner
from adasr_core.networks import FaceCodecNetworks, Refiner
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
# Least PSNR of a frame in bfloat16 against torch in float32, dB: far above what a rebuild reaches, and a refined one.
REDUCED_PSNR_DB = {"generator": 38.0, "refiner": 48.0}
REFINED_SHARES = (0.3, 0.0)
"""Shares of the later picture that a refiner is compared at."""


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

    def __str__(self) -> str:
        """One line of the table."""
        return f"{self.graph:10s} {self.output:12s} {self.engine:14s} {self.difference:10.3g} limit {self.limit:g}"


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
    table = _Table()
    modules = graphs(networks)
    runners = {name: _runners(folder / f"{name}.onnx", reduced=name == "generator") for name in modules}
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
            expected = {output: value.numpy() for output, value in zip(graph.outputs, outputs, strict=True)}
            table.compare(name, runners[name], {k: v.numpy() for k, v in inputs.items()}, expected)
    return table.rows()


@torch.no_grad()
def check_refiner(refiner: Refiner, folder: Path, pairs: Sequence[tuple[Image, Image]]) -> list[ParityRow]:
    """Compare ``refiner.onnx`` in `folder` with `refiner` on pairs of pictures, each uint8 [frame_px, frame_px, 3].

    Raises:
        ParityError: a limit is broken; the message lists the rows.
    """
    refiner = refiner.eval().float().cpu()
    size = refiner.config.frame_px
    table = _Table()
    runners = _runners(folder / "refiner.onnx", reduced=True)
    for first, second in pairs:
        for share in REFINED_SHARES:
            weight = torch.full((1, 1, 1, 1), share)
            inputs = {"earlier": planes(first, size), "later": planes(second, size), "weight": weight}
            expected = {"frame": torch.clamp(refiner(*inputs.values()), 0.0, 1.0).numpy()}
            table.compare("refiner", runners, {k: v.numpy() for k, v in inputs.items()}, expected)
    return table.rows()


def _runners(path: Path, *, reduced: bool) -> dict[str, GraphRunner]:
    """A graph on every engine; `reduced`: in bfloat16 as well, where the processor has it."""
    found: dict[str, GraphRunner] = {"openvino": OpenVinoRunner(path), "onnxruntime": OnnxRuntimeRunner(path)}
    if reduced:
        runner = OpenVinoRunner(path, reduced=True)
        if runner.precision == "bf16":
            found["openvino-bf16"] = runner
    return found


class _Table:
    """The worst of every output on every engine."""

    def __init__(self) -> None:
        self._worst: dict[tuple[str, str, str], float] = {}

    def compare(
        self, graph: str, runners: Mapping[str, GraphRunner], inputs: Mapping[str, Array], expected: Mapping[str, Array]
    ) -> None:
        for engine, runner in runners.items():
            got = runner.run(inputs)
            for output, value in expected.items():
                # A NaN would be lost in max() and min(): every comparison with one is false.
                difference = np.nan_to_num(np.abs(got[output] - value), nan=np.inf)
                at = (graph, output, engine)
                if engine.endswith("bf16"):
                    quality = float(-10 * np.log10(max(float((difference**2).mean()), 1e-12)))
                    self._worst[at] = min(self._worst.get(at, np.inf), quality)
                else:
                    self._worst[at] = max(self._worst.get(at, 0.0), float(difference.max()))

    def rows(self) -> list[ParityRow]:
        rows = [
            ParityRow(g, o, e, d, REDUCED_PSNR_DB[g] if e.endswith("bf16") else TOLERANCE[o])
            for (g, o, e), d in self._worst.items()
        ]
        broken = [
            f"{r.graph}.{r.output} on {r.engine}: {r.difference:.2g} (limit {r.limit:g})" for r in rows if not r.ok
        ]
        if broken:
            raise ParityError("exported graphs differ from torch: " + "; ".join(broken))
        return rows
