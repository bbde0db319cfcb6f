"""What an engine file is, written beside it: TensorRT runs an engine on the kind of GPU that it was built on alone.

frame-b8-sm90-trt11.4.0.106-fp16-0a1b2c3d4e5f.engine        GPU architecture, TensorRT, precision, hash of the ONNX
frame-b8-sm90-trt11.4.0.106-fp16-0a1b2c3d4e5f.json          this
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from adasr_core.bundle import ModelBundle, ModelPart
from adasr_core.engines.runner import EngineError
from adasr_core.fused_graph import FUSED_VERSION

METADATA_FORMAT = "adasr-tensorrt-engine"
METADATA_VERSION = 1

EnginePart = Literal["detector", "encoder", "frame", "refiner"]
ENGINE_PARTS: tuple[EnginePart, ...] = get_args(EnginePart)
SOURCES: dict[EnginePart, tuple[ModelPart, ...]] = {
    "detector": ("detector",),
    "encoder": ("encoder",),
    "frame": ("motion", "generator"),
    "refiner": ("refiner",),
}
"""Parts of a model folder that an engine is made of."""

_HASH = re.compile(r"[0-9a-f]{64}")
_MAX_METADATA_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A GPU. name: as its driver says it. architecture: "sm90" for compute capability 9.0."""

    name: str
    architecture: str

    def __str__(self) -> str:
        """Both."""
        return f"{self.name} ({self.architecture})"


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One input or output. dtype: numpy's name ("float32", "uint8"). shape: all sizes known."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineMetadata:
    """One engine file.

    part: what it runs. batch: frames in one launch. precision: of encoder or generator: "fp32", "fp16", "bf16", "int8".
    gpu, tensorrt: what it was built on and with. model, model_version, codec_id: of the model folder. sources: sha256
    of the model's graphs that it was made of. fused_version: of the code that joined them. onnx_sha256: of the graph
    that TensorRT was given. engine_sha256, engine_bytes: of the file. inputs, outputs: tensors by name.

    The constructor checks every field and raises EngineError.
    """

    part: EnginePart
    batch: int
    precision: str
    gpu: Gpu
    tensorrt: str
    model: str
    model_version: str
    codec_id: str
    sources: Mapping[str, str]
    fused_version: int
    onnx_sha256: str
    engine_sha256: str
    engine_bytes: int
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]

    def __post_init__(self) -> None:
        """Check the fields. Raises EngineError that names the one."""
        _expect("part", self.part, f"one of {', '.join(ENGINE_PARTS)}", self.part in ENGINE_PARTS)
        _expect("batch", self.batch, "1..256", 1 <= self.batch <= 256)
        _expect(
            "sources",
            sorted(self.sources),
            f"{sorted(SOURCES[self.part])}",
            set(self.sources) == set(SOURCES[self.part]),
        )
        for name in ("onnx_sha256", "engine_sha256"):
            _expect(name, getattr(self, name), "64 hex digits", bool(_HASH.fullmatch(getattr(self, name))))
        _expect("inputs", len(self.inputs), "some tensors", bool(self.inputs))
        _expect("outputs", len(self.outputs), "some tensors", bool(self.outputs))

    @property
    def stem(self) -> str:
        """Name of the engine file and of this one, without the suffix."""
        return engine_stem(self.part, self.batch, self.gpu, self.tensorrt, self.precision, self.onnx_sha256)

    def to_json(self) -> str:
        """The text beside the engine; `from_json` reads it back."""
        content = {"format": METADATA_FORMAT, "format_version": METADATA_VERSION} | asdict(self)
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> EngineMetadata:
        """Parse and check.

        Raises:
            EngineError: not JSON, of another format, or a field is unknown, missing or wrong.
        """
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise EngineError(f"engine metadata: not JSON ({error}); build the engine again") from error
        if not isinstance(content, dict) or content.pop("format", None) != METADATA_FORMAT:
            raise EngineError(f"engine metadata: its format is not {METADATA_FORMAT!r}; build the engine again")
        version = content.pop("format_version", None)
        _expect("format_version", version, str(METADATA_VERSION), version == METADATA_VERSION)
        names = {field.name for field in fields(cls)}
        _expect("keys", sorted(content), f"{sorted(names)}", set(content) == names)
        try:
            content["gpu"] = Gpu(**content["gpu"])
            for name in ("inputs", "outputs"):
                content[name] = {tensor: _tensor(spec) for tensor, spec in content[name].items()}
            return cls(**content)
        except (TypeError, AttributeError, KeyError) as error:
            raise EngineError(
                f"engine metadata: a field has the wrong type ({error}); build the engine again"
            ) from error

    def refusal(self, bundle: ModelBundle, gpu: Gpu, tensorrt: str) -> str | None:
        """Why this engine cannot run here for that model; None if it can."""
        if self.codec_id != bundle.codec_id:
            return f"built for the codec {self.codec_id} ({self.model}), this model's is {bundle.codec_id}"
        for part, digest in self.sources.items():
            if part not in bundle.manifest.files:
                return f"built from {part}.onnx, which this model does not have"
            found = bundle.manifest.files[part].sha256
            if digest != found:
                return f"built from another {part}.onnx ({digest[:12]}..., this model's is {found[:12]}...)"
        if self.fused_version != FUSED_VERSION:
            return f"built by another adasr (its graphs are version {self.fused_version}, these are {FUSED_VERSION})"
        if self.gpu.architecture != gpu.architecture:
            return f"built for the GPU architecture {self.gpu.architecture} ({self.gpu.name}), this GPU is {gpu}"
        if self.tensorrt != tensorrt:
            return f"built with TensorRT {self.tensorrt}, installed is {tensorrt}"
        return None


@dataclass(frozen=True, slots=True)
class EngineFile:
    """An engine on disk. path: the engine itself. metadata: what lies beside it."""

    path: Path
    metadata: EngineMetadata

    def read(self) -> bytes:
        """The engine, its hash checked.

        Raises:
            EngineError: the file is missing or was changed.
        """
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise EngineError(f"engine {self.path.name}: cannot be read ({error}); build it again") from error
        if hashlib.sha256(content).hexdigest() != self.metadata.engine_sha256:
            raise EngineError(
                f"engine {self.path.name}: {len(content)} bytes that its metadata does not describe "
                f"({self.metadata.engine_bytes} bytes, another sha256); build it again"
            )
        return content


def engine_stem(part: EnginePart, batch: int, gpu: Gpu, tensorrt: str, precision: str, onnx_sha256: str) -> str:
    """File name of an engine without its suffix; equal names are equal engines."""
    return f"{part}-b{batch}-{gpu.architecture}-trt{tensorrt}-{precision}-{onnx_sha256[:12]}"


def build_command(bundle: ModelBundle, folder: Path) -> str:
    """What to type to build the engines of a model."""
    return f"adasr export engine --model {bundle.folder} --out {folder}"


def find_engines(
    folder: Path, bundle: ModelBundle, gpu: Gpu, tensorrt: str
) -> dict[tuple[EnginePart, int], EngineFile]:
    """The engines in `folder` that run here for that model, by part and batch.

    Raises:
        EngineError: there is none, or none fits, or two do the same; the message says why, and what to type.
    """
    remedy = f"build them here: {build_command(bundle, folder)}"
    described = sorted(folder.glob("*.json")) if folder.is_dir() else []
    if not described:
        raise EngineError(f"TensorRT engines: none in {folder}; {remedy}")
    fitting: dict[tuple[EnginePart, int], EngineFile] = {}
    refused = []
    for file in described:
        if file.stat().st_size > _MAX_METADATA_BYTES:
            raise EngineError(f"engine metadata {file}: above {_MAX_METADATA_BYTES} bytes; delete it and {remedy}")
        try:
            metadata = EngineMetadata.from_json(file.read_text(encoding="utf-8"))
        except (EngineError, UnicodeDecodeError) as error:
            raise EngineError(f"{file}: {error}") from error
        reason = metadata.refusal(bundle, gpu, tensorrt)
        if reason is not None:
            refused.append(f"{file.stem}: {reason}")
            continue
        key = (metadata.part, metadata.batch)
        if key in fitting:
            raise EngineError(
                f"TensorRT engines in {folder}: {fitting[key].path.stem} and {file.stem} do the same; delete one with "
                "its .json, or keep them in two folders"
            )
        fitting[key] = EngineFile(file.with_suffix(".engine"), metadata)
    if not fitting:
        listed = "; ".join(dict.fromkeys(refused))
        raise EngineError(f"TensorRT engines in {folder}: none runs here. {listed}. Engines do not move; {remedy}")
    return fitting


def _tensor(value: Mapping[str, Any]) -> TensorSpec:
    return TensorSpec(dtype=value["dtype"], shape=tuple(value["shape"]))


def _expect(name: str, got: object, expected: str, condition: bool) -> None:
    if not condition:
        raise EngineError(f"engine metadata {name}: got {got!r}, expected {expected}; build the engine again")
