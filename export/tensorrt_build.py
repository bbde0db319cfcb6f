"""One graph through TensorRT's builder: strongly typed, timed on this GPU, with what was timed before."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress

from adasr_core.engines.cuda_device import CudaDevice
from adasr_core.engines.runner import EngineError
from adasr_core.engines.tensorrt_engine import import_tensorrt, make_log, tensorrt_version
from export.build_progress import make_monitor


@dataclass(frozen=True, slots=True, kw_only=True)
class BuilderConfig:
    """How TensorRT builds.

    effort: TensorRT's optimisation level, 0 (fast build) to 5 (fast engine). workspace_mib: the most device memory that
    a kernel may take while it is tried; None leaves it to TensorRT. tf32: let float32 convolutions lose 13 bits.
    """

    effort: int = 3
    workspace_mib: int | None = None
    tf32: bool = False

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        if not 0 <= self.effort <= 5:
            raise ValueError(f"effort: got {self.effort}, expected 0 to 5")
        if self.workspace_mib is not None and self.workspace_mib < 1:
            raise ValueError(f"workspace_mib: got {self.workspace_mib}, expected 1 or more")


def timing_cache_path(folder: Path, device: CudaDevice) -> Path:
    """Where the timing cache of this GPU and this TensorRT lies: it is of no use to any other."""
    return folder / f"timing-{device.gpu.architecture}-trt{tensorrt_version()}.cache"


def build_engine(
    content: bytes, name: str, device: CudaDevice, config: BuilderConfig, *, timing_cache: Path, bars: Progress
) -> bytes:
    """Build the engine of one graph (the bytes of an ONNX file) and bring the timing cache up to date.

    Raises:
        EngineError: TensorRT is missing, cannot parse the graph, finds no kernel, or the GPU's memory is full.
        KeyboardInterrupt: the build was cancelled.
    """
    import_tensorrt()
    import tensorrt as trt

    log = make_log()
    with device, device.reported(f"building {name}"):
        try:
            builder = trt.Builder(log)
        except TypeError as error:
            # pybind11's way to say that TensorRT returned nothing.
            raise EngineError(f"TensorRT does not start here: {log.last(str(error))}; check the driver") from error
        # From 11 on the only kind there is; 10 has to be told.
        network = builder.create_network(1 << trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED.value)
        parser = trt.OnnxParser(network, log)
        if not parser.parse(content):
            errors = [parser.get_error(index) for index in range(parser.num_errors)]
            listed = "; ".join(f"{error.node_name()}: {error.desc()}" for error in errors) or log.last()
            raise EngineError(f"building {name}: TensorRT cannot read the graph: {listed}")
        settings = builder.create_builder_config()
        settings.builder_optimization_level = config.effort
        if not config.tf32:
            settings.clear_flag(trt.BuilderFlag.TF32)
        if config.workspace_mib is not None:
            settings.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, config.workspace_mib * 2**20)
        cache = settings.create_timing_cache(timing_cache.read_bytes() if timing_cache.is_file() else b"")
        if not settings.set_timing_cache(cache, ignore_mismatch=False):
            raise EngineError(f"timing cache {timing_cache}: TensorRT refuses it: {log.last()}; delete the file")
        monitor = make_monitor(bars, name)
        settings.progress_monitor = monitor
        log.clear()
        built = builder.build_serialized_network(network, settings)
        if built is None:
            if monitor.cancelled:
                raise KeyboardInterrupt
            said = log.last()
            if "memory" in said.lower():
                raise device.out_of_memory(f"building {name} ({said})")
            raise EngineError(f"building {name}: TensorRT builds no engine: {said}")
        unfinished = timing_cache.with_suffix(".part")
        unfinished.write_bytes(bytes(settings.get_timing_cache().serialize()))
        unfinished.replace(timing_cache)
        return bytes(built)
