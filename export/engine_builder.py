"""All engines of a model: fuse, put in the precision, check against TensorRT's tables, build, describe, keep.

detector.onnx  -> detector     float32 always: it makes coordinates
encoder.onnx   -> encoder      in the precision asked for (int8: fp16)
motion + generator -> frame, one for each batch size      generator in the precision, motion field float32
refiner.onnx   -> refiner      as the encoder, where the model has one
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from onnx import ModelProto, ValueInfoProto, helper

from adasr_core.bundle import ModelBundle
from adasr_core.engines.cuda_device import CudaDevice
from adasr_core.engines.runner import EngineError
from adasr_core.engines.tensorrt_engine import tensorrt_version
from adasr_core.engines.tensorrt_metadata import (
    SOURCES,
    EngineFile,
    EngineMetadata,
    EnginePart,
    TensorSpec,
    engine_stem,
)
from adasr_core.fused_graph import FUSED_VERSION, detector_graph, encoder_graph, frame_graph, refiner_graph
from export.build_progress import make_bars
from export.explicit_int8 import quantise_frame
from export.recorded_inputs import Inputs
from export.reduced_precision import Precision, reduce_precision
from export.tensorrt_build import BuilderConfig, build_engine, timing_cache_path
from export.tensorrt_support import check_supported

EnginePrecision = Literal["fp32", "fp16", "bf16", "int8"]
ENGINE_PRECISIONS: tuple[EnginePrecision, ...] = get_args(EnginePrecision)
MAX_BATCH = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """Which engines. precision: of encoder and generator. batches: frames in one launch, 1 always among them."""

    precision: EnginePrecision = "fp16"
    batches: tuple[int, ...] = (1,)
    builder: BuilderConfig = field(default_factory=BuilderConfig)

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        if self.precision not in ENGINE_PRECISIONS:
            raise ValueError(f"precision: got {self.precision!r}, expected one of {', '.join(ENGINE_PRECISIONS)}")
        if not self.batches or not all(1 <= batch <= MAX_BATCH for batch in self.batches):
            raise ValueError(f"batches: got {list(self.batches)}, expected sizes of 1 to {MAX_BATCH}")


@dataclass(frozen=True, slots=True)
class EngineGraph:
    """A graph that is ready for TensorRT. precision: of this engine. content: the bytes of an ONNX file."""

    part: EnginePart
    batch: int
    precision: EnginePrecision
    content: bytes

    @property
    def sha256(self) -> str:
        """Of the content, 64 hex digits."""
        return hashlib.sha256(self.content).hexdigest()


def engine_graphs(bundle: ModelBundle, config: EngineConfig, recorded: Sequence[Inputs] = ()) -> list[EngineGraph]:
    """The graphs of a model's engines, every one checked against what TensorRT is documented to run. Needs no GPU.

    `recorded`: inputs to calibrate int8 on (`export.recorded_inputs`).

    Raises:
        ValueError: the model is quantised already, a graph holds something that TensorRT is not documented to run, or
        int8 has nothing to calibrate on.
    """
    if any(bundle.manifest.precision(part) != "f32" for part in ("motion", "generator")):
        raise ValueError(
            f"model {bundle.folder}: is quantised for processors, with zero points that TensorRT refuses; give the "
            "float32 model, and --precision int8 for an engine in int8"
        )
    halves: Precision = "fp16" if config.precision == "int8" else config.precision
    motion, generator = (bundle.path(part).read_bytes() for part in ("motion", "generator"))
    graphs = [
        EngineGraph("detector", 1, "fp32", detector_graph(bundle.path("detector").read_bytes())),
        EngineGraph("encoder", 1, halves, reduce_precision(encoder_graph(bundle.path("encoder").read_bytes()), halves)),
    ]
    if bundle.has("refiner"):
        refiner = reduce_precision(refiner_graph(bundle.path("refiner").read_bytes()), halves)
        graphs.append(EngineGraph("refiner", 1, halves, refiner))
    for batch in sorted({1, *config.batches}):
        content = frame_graph(motion, generator, batch=batch)
        if config.precision == "int8":
            content = quantise_frame(content, [_repeated(inputs, batch) for inputs in recorded])
        else:
            content = reduce_precision(content, halves)
        graphs.append(EngineGraph("frame", batch, config.precision, content))
    for graph in graphs:
        check_supported(graph.content, f"{graph.part} (batch {graph.batch}, {graph.precision})")
    return graphs


def build_engines(
    bundle: ModelBundle,
    out: Path,
    config: EngineConfig,
    device: CudaDevice,
    recorded: Sequence[Inputs] = (),
    report: Callable[[str], None] = print,
) -> list[EngineFile]:
    """Build the engines of a model into `out`; one that lies there already, unchanged, is kept.

    `report` is given one line for each engine.

    Raises:
        EngineError: TensorRT does not build one.
        ValueError: see `engine_graphs`; or `out` holds one of another precision or model for the same GPU.
        OSError: `out` cannot be written to.
    """
    version = tensorrt_version()
    graphs = engine_graphs(bundle, config, recorded)
    out.mkdir(parents=True, exist_ok=True)
    stems = [engine_stem(g.part, g.batch, device.gpu, version, g.precision, g.sha256) for g in graphs]
    for graph, stem in zip(graphs, stems, strict=True):
        _check_no_other(out, graph, stem, device, version)
    files = []
    with make_bars() as bars:
        for graph, stem in zip(graphs, stems, strict=True):
            path = out / f"{stem}.engine"
            kept = _already_built(path)
            if kept is not None:
                report(f"{path.name}: kept, {kept.metadata.engine_bytes / 1e6:.1f} MB")
                files.append(kept)
                continue
            cache = timing_cache_path(out, device)
            engine = build_engine(graph.content, stem, device, config.builder, timing_cache=cache, bars=bars)
            files.append(_write(path, engine, graph, bundle, device, version))
            report(f"{path.name}: built, {len(engine) / 1e6:.1f} MB")
    return files


def _check_no_other(out: Path, graph: EngineGraph, stem: str, device: CudaDevice, version: str) -> None:
    """Raises ValueError when another engine in `out` would be taken for this one."""
    same_use = f"{graph.part}-b{graph.batch}-{device.gpu.architecture}-trt{version}-"
    others = [file.stem for file in out.glob(f"{same_use}*.json") if file.stem != stem]
    if others:
        raise ValueError(
            f"out: {out} holds {others[0]} already, which does the same as {stem}; delete it with its .json, or name "
            "another folder with --out"
        )


def _already_built(path: Path) -> EngineFile | None:
    description = path.with_suffix(".json")
    if not (path.is_file() and description.is_file()):
        return None
    try:
        file = EngineFile(path, EngineMetadata.from_json(description.read_text(encoding="utf-8")))
        file.read()
    except (EngineError, UnicodeDecodeError):
        # Cut off or changed: it is built again, which the report says.
        return None
    return file


def _write(
    path: Path, engine: bytes, graph: EngineGraph, bundle: ModelBundle, device: CudaDevice, version: str
) -> EngineFile:
    onnx_graph = ModelProto.FromString(graph.content).graph
    metadata = EngineMetadata(
        part=graph.part,
        batch=graph.batch,
        precision=graph.precision,
        gpu=device.gpu,
        tensorrt=version,
        model=bundle.manifest.name,
        model_version=bundle.manifest.version,
        codec_id=bundle.codec_id,
        sources={part: bundle.manifest.files[part].sha256 for part in SOURCES[graph.part]},
        fused_version=FUSED_VERSION,
        onnx_sha256=graph.sha256,
        engine_sha256=hashlib.sha256(engine).hexdigest(),
        engine_bytes=len(engine),
        inputs={value.name: _spec(value) for value in onnx_graph.input},
        outputs={value.name: _spec(value) for value in onnx_graph.output},
    )
    # The description last: an engine without one is not found, one with it is whole.
    for target, content in ((path, engine), (path.with_suffix(".json"), metadata.to_json().encode())):
        unfinished = target.with_name(target.name + ".part")
        unfinished.write_bytes(content)
        unfinished.replace(target)
    return EngineFile(path, metadata)


def _spec(value: ValueInfoProto) -> TensorSpec:
    kind = value.type.tensor_type
    dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
    return TensorSpec(dtype=dtype.name, shape=tuple(size.dim_value for size in kind.shape.dim))


def _repeated(inputs: Inputs, batch: int) -> Inputs:
    return {name: value.repeat(batch, axis=0) for name, value in inputs.items()}
