"""``adasr bench speed``: a model on any engine, torch too, beside the device's ceiling and the published generator."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adasr_core.bundle import ModelBundle
    from adasr_core.engines import FaceModel
    from benchmarks.speed import SpeedReport

TORCH_ENGINES = ("torch-cpu", "torch-cuda")
"""The reference: not among the engines of a call, for a call runs without torch."""
GPU_ENGINES = ("onnxruntime-cuda", "tensorrt", "torch-cuda")
_PICTURES = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeedOptions:
    """What is measured."""

    engine: str = "openvino"
    """An engine of calls, or one of TORCH_ENGINES."""
    device: str | None = None
    """The engine's own name for its device; None is the CPU or the first GPU."""
    threads: int | None = None
    """Processor threads; None takes all."""
    runs: int = 100
    """Measured runs of each part."""
    batches: tuple[int, ...] = ()
    """Streams in one launch; empty measures none."""
    published: bool = False
    """Whether the published generator's cost model is measured too, on torch."""

    def __post_init__(self) -> None:
        """Raise ValueError for a batch below 1."""
        if any(batch < 1 for batch in self.batches):
            raise ValueError(f"--batch: got {self.batches}, expected numbers of at least 1")


def bench_speed(bundle: ModelBundle, options: SpeedOptions) -> SpeedReport:
    """Measure; the ceiling too, where torch is at hand and the engine is a GPU's or torch's.

    Raises:
        EngineError: the engine or the device is not there.
        ValueError: the published generator is wanted and torch is not installed, or sees no GPU.
    """
    from typing import cast

    from adasr.sample_pictures import sample_pictures
    from adasr.torch_speed import matmul_ceiling_tflops, published_frame_ms, torch_missing
    from adasr_core.engines import EngineName
    from benchmarks.speed import measure_speed

    missing = torch_missing()
    if missing is not None and options.published:
        raise ValueError(f"--published: {missing}")
    uses_torch = options.engine in TORCH_ENGINES
    report = measure_speed(
        bundle,
        sample_pictures(_PICTURES),
        engine="openvino" if uses_torch else cast(EngineName, options.engine),
        device=options.device,
        threads=options.threads,
        load=(lambda: load_torch(bundle, options)) if uses_torch else None,
        batches=options.batches,
        runs=options.runs,
    )
    on_gpu = options.engine in GPU_ENGINES
    device = f"cuda:{options.device or 0}" if on_gpu else "cpu"
    if missing is None and (on_gpu or uses_torch):
        report = replace(report, ceiling_tflops=matmul_ceiling_tflops(device, bfloat16=on_gpu))
    if options.published:
        report = replace(report, published_ms=published_frame_ms(device, bfloat16=on_gpu, runs=10 if on_gpu else 1))
    return report


def load_torch(bundle: ModelBundle, options: SpeedOptions) -> FaceModel:
    """The model in torch, from the weights beside its graphs.

    Raises:
        EngineError: torch, its GPU or the weights are not there.
    """
    from adasr.torch_speed import torch_missing
    from adasr_core.engines import EngineError, FaceModel

    missing = torch_missing()
    if missing is not None:
        raise EngineError(f"engine {options.engine}: {missing}")
    from export.export_model import WEIGHTS
    from export.refiner_part import REFINER_WEIGHTS
    from export.torch_engine import TorchEngineConfig, TorchModel

    if options.engine == "torch-cuda":
        config = TorchEngineConfig.for_gpu(f"cuda:{options.device or 0}")
    else:
        config = TorchEngineConfig(threads=options.threads)
    refiner = bundle.folder / REFINER_WEIGHTS if bundle.has("refiner") else None
    return FaceModel(bundle, TorchModel.load(bundle.folder / WEIGHTS, config, refiner))
