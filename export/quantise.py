"""An int8 variant of a model folder: motion field and generator quantised after training, by ONNX Runtime's quantiser.

    x --> QuantizeLinear --> DequantizeLinear --> Conv --> QuantizeLinear --> DequantizeLinear --> y

Only convolutions are quantised, and what they take and return; sampling, resizing and the motion maths stay as they
are. Weights are int8 by output channel, without a zero point. Activations are uint8 with a zero point: with int8
activations OpenVINO 2026.4 computes another picture where the processor has no AMX (docs/int8.md has the figures).

Needs the `onnx` package (``pip install 'adasr[int8]'``) and no torch.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
from onnx import ModelProto
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from adasr_core.bundle import ModelBundle, ModelPart, QuantisedPart, open_bundle, write_manifest
from export.calibration import Calibration, GraphInputs

QUANTISED_PARTS: tuple[QuantisedPart, ...] = get_args(QuantisedPart)
INT8_SUFFIX = "-int8"


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantiseConfig:
    """What is quantised."""

    parts: tuple[QuantisedPart, ...] = QUANTISED_PARTS
    """Graphs that become int8."""

    def __post_init__(self) -> None:
        """Check the parts. Raises ValueError."""
        unknown = sorted(set(self.parts) - set(QUANTISED_PARTS))
        if unknown or not self.parts:
            raise ValueError(f"parts: got {self.parts!r}, expected one or more of {', '.join(QUANTISED_PARTS)}")


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Hands recorded inputs to the quantiser, one at a time."""

    def __init__(self, recorded: Sequence[GraphInputs]) -> None:
        self._left: Iterator[GraphInputs] = iter(recorded)

    def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
        values = next(self._left, None)
        return None if values is None else dict(values)


def quantise_graph(content: bytes, recorded: Sequence[GraphInputs]) -> bytes:
    """An exported graph with its convolutions in int8; inputs and outputs stay float32.

    `content`: the ONNX file's bytes. `recorded`: inputs of the graph on real clips; the range of every activation is
    the smallest and largest value seen.

    Raises:
        ValueError: nothing was recorded, or the graph has no convolution in float32.
    """
    if not recorded:
        raise ValueError("recorded: got no inputs, expected some to calibrate on; give clips")
    model = ModelProto.FromString(content)
    if any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        raise ValueError("graph: is quantised already; give the float32 model")
    if not any(node.op_type == "Conv" for node in model.graph.node):
        raise ValueError("graph: got no convolution, expected a motion field or a generator")
    # The exporter has folded constants and inferred shapes; the quantiser would advise to do it again.
    add_pre_process_metadata(model)
    with tempfile.TemporaryDirectory() as made:
        target = Path(made) / "int8.onnx"
        quantize_static(
            model,
            target,
            _Reader(recorded),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"ActivationSymmetric": False, "WeightSymmetric": True},
        )
        quantised = ModelProto.FromString(target.read_bytes())
    del quantised.metadata_props[:]
    # The quantiser declares its own operators even where it used none; another engine would look for them.
    used = {node.domain for node in quantised.graph.node}
    declared = [entry for entry in quantised.opset_import if entry.domain in used]
    del quantised.opset_import[:]
    quantised.opset_import.extend(declared)
    result: bytes = quantised.SerializeToString(deterministic=True)
    return result


def quantise_model(
    bundle: ModelBundle,
    calibration: Calibration,
    out: Path,
    config: QuantiseConfig,
    *,
    quality: Mapping[str, Any] | None = None,
) -> ModelBundle:
    """Write the int8 variant of `bundle` to the folder `out`, whole or not at all.

    Detector and tables are the same files, so the codec id is the same; a refiner is carried over as it is. The
    manifest says which parts are int8 (``architecture.precision``), from which files and on what they were calibrated
    (``training.int8``).
    `quality`: figures for the manifest's quality field, added to the model's own.

    Raises:
        ValueError: `out` is the model itself, a part is int8 already, or `calibration` is empty.
        OSError: a file cannot be written.
    """
    if out.exists() and out.resolve() == bundle.folder.resolve():
        raise ValueError(f"out: {out} is the model itself; name another folder")
    manifest = bundle.manifest
    recorded: dict[QuantisedPart, list[GraphInputs]] = {
        "motion": calibration.motion,
        "generator": calibration.generator,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as made:
        folder = Path(made)
        names: dict[ModelPart, str] = {part: manifest.files[part].path for part in manifest.parts}
        for part, name in names.items():
            shutil.copyfile(bundle.path(part), folder / name)
        for part in config.parts:
            content = bundle.path(part).read_bytes()
            quantised = quantise_graph(content, recorded[part])
            (folder / names[part]).write_bytes(quantised)
        note = {
            "of": {"name": manifest.name, "version": manifest.version}
            | {part: manifest.files[part].sha256 for part in config.parts},
            "method": "static, ONNX Runtime " + version("onnxruntime") + ", smallest and largest value",
            "weights": "int8 by channel",
            "activations": "uint8 with a zero point",
            "calibration": {"clips": calibration.clips, "frames": len(calibration.motion)},
        }
        write_manifest(
            folder,
            name=int8_name(manifest.name),
            version=manifest.version,
            architecture={**manifest.architecture, "precision": dict.fromkeys(config.parts, "int8")},
            keypoints=manifest.keypoints,
            frame_px=manifest.frame_px,
            detector_px=manifest.detector_px,
            opset=manifest.opset,
            files=names,
            inputs=manifest.inputs,
            outputs=manifest.outputs,
            training={**manifest.training, "int8": note},
            quality=json.loads(json.dumps({**manifest.quality, **(quality or {})})),
            licence=manifest.licence,
        )
        out.mkdir(exist_ok=True)
        # The manifest last: a folder that is cut off half way fails its own hashes.
        for file in sorted(folder.iterdir(), key=lambda f: f.name == "manifest.json"):
            shutil.copyfile(file, out / file.name)
    return open_bundle(out)


def int8_name(name: str) -> str:
    """Name of a model's int8 variant: within a manifest's 64 characters."""
    return name[: 64 - len(INT8_SUFFIX)] + INT8_SUFFIX
