"""A GPU, CUDA and TensorRT in host memory, for tests on machines without them.

What is real here: every address, size and order. Device memory is bytes behind made-up addresses, checked at every
access; a stream only queues until it is waited for, so that host memory which is used too early holds the wrong bytes;
a captured graph replays the very same copies; an engine reads its inputs from the addresses it was given, runs the
ONNX that it was built from on ONNX Runtime, and writes its outputs back. What is not: speed, kernels, precision, and
whether NVIDIA's libraries agree. The names and arguments are those of tests/typings.
"""

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from tests.engines import simulated_cuda as cuda
from tests.engines.simulated_cuda import Context, SimulatedGpu

MAGIC = b"simulated engine\n"
DTYPES = {"FLOAT": np.float32, "UINT8": np.uint8, "INT8": np.int8, "HALF": np.float16}
_KINDS = {"tensor(float)": "FLOAT", "tensor(uint8)": "UINT8", "tensor(float16)": "HALF"}


class Enum:
    """A member of one of pybind11's enumerations."""

    def __init__(self, name: str, value: int) -> None:
        self.name, self.value = name, value


def members(*names: str) -> Any:
    return types.SimpleNamespace(**{name: Enum(name, value) for value, name in enumerate(names)})


DATA_TYPES = members("FLOAT", "HALF", "INT8", "INT32", "BOOL", "UINT8")
MODES = members("NONE", "INPUT", "OUTPUT")
SEVERITY = members("INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE")


class ILogger:
    Severity = SEVERITY


class IProgressMonitor:
    pass


class ExecutionContext:
    def __init__(self, engine: Engine) -> None:
        self.engine, self.addresses = engine, dict[str, int]()

    def set_tensor_address(self, name: str, memory: int) -> bool:
        assert isinstance(memory, int)
        self.addresses[name] = memory
        return memory % 256 == 0

    def execute_async_v3(self, stream_handle: int) -> bool:
        cuda.gpu.need_context()
        if set(self.addresses) != set(self.engine.specs):
            return False
        addresses = dict(self.addresses)
        cuda.gpu.streams[stream_handle].add(lambda: self.run(addresses))
        return True

    def run(self, addresses: dict[str, int]) -> None:
        cuda.gpu.runs += 1
        inputs = {}
        for name, (mode, kind, shape) in self.engine.specs.items():
            if mode == "INPUT":
                dtype = np.dtype(DTYPES[kind])
                memory = cuda.gpu.at(addresses[name], int(np.prod(shape)) * dtype.itemsize)
                inputs[name] = memory.view(dtype).reshape(shape).copy()
        names = [output.name for output in self.engine.session.get_outputs()]
        for name, value in zip(names, self.engine.session.run(names, inputs), strict=True):
            memory = cuda.gpu.at(addresses[name], value.nbytes)
            memory[:] = np.ascontiguousarray(value).reshape(-1).view(np.uint8)


class Engine:
    def __init__(self, content: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        tensors = [("INPUT", value) for value in self.session.get_inputs()]
        tensors += [("OUTPUT", value) for value in self.session.get_outputs()]
        # Backwards: who goes by the order of tensors must fail.
        self.specs: dict[str, tuple[str, str, tuple[int, ...]]] = {
            value.name: (mode, _KINDS[value.type], tuple(value.shape)) for mode, value in reversed(tensors)
        }
        self.num_io_tensors = len(self.specs)

    def get_tensor_name(self, index: int) -> str:
        return list(self.specs)[index]

    def get_tensor_mode(self, name: str) -> Enum:
        mode: Enum = getattr(MODES, self.specs[name][0])
        return mode

    def get_tensor_dtype(self, name: str) -> Enum:
        kind: Enum = getattr(DATA_TYPES, self.specs[name][1])
        return kind

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.specs[name][2]

    def create_execution_context(self) -> ExecutionContext | None:
        return ExecutionContext(self)


class Runtime:
    def __init__(self, logger: Any) -> None:
        cuda.gpu.need_context()
        self.logger = logger

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> Engine | None:
        if cuda.gpu.engine_says is not None or not serialized_engine.startswith(MAGIC):
            self.logger.log(
                SEVERITY.ERROR, cuda.gpu.engine_says or "Serialization assertion magicTagRead == kTAG failed."
            )
            return None
        return Engine(serialized_engine[len(MAGIC) :])


class TimingCache:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def serialize(self) -> bytes:
        return self.content + b"timed"


class BuilderConfig:
    progress_monitor: Any = None
    builder_optimization_level = 3
    cache: TimingCache

    def __init__(self) -> None:
        self.cleared: list[str] = []

    def clear_flag(self, flag: Enum) -> None:
        self.cleared.append(flag.name)

    def set_memory_pool_limit(self, pool: Enum, pool_size: int) -> None:
        assert pool_size >= 2**20

    def create_timing_cache(self, serialized_timing_cache: bytes) -> TimingCache:
        return TimingCache(serialized_timing_cache)

    def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool) -> bool:
        self.cache = cache
        return not ignore_mismatch and b"other" not in cache.content

    def get_timing_cache(self) -> TimingCache:
        return self.cache


class Network:
    content = b""


class ParserError:
    def desc(self) -> str:
        return "not a model"

    def node_name(self) -> str:
        return "node"


class OnnxParser:
    num_errors = 1

    def __init__(self, network: Network, logger: Any) -> None:
        self.network = network

    def parse(self, model: bytes) -> bool:
        try:
            onnx.ModelProto.FromString(model)
        except DecodeError:
            return False
        self.network.content = model
        return True

    def get_error(self, index: int) -> ParserError:
        return ParserError()


class Builder:
    def __init__(self, logger: Any) -> None:
        cuda.gpu.need_context()
        self.logger = logger

    def create_network(self, flags: int) -> Network:
        assert flags == 1 << 1, "strongly typed"
        return Network()

    def create_builder_config(self) -> BuilderConfig:
        return BuilderConfig()

    def build_serialized_network(self, network: Network, config: BuilderConfig) -> bytes | None:
        assert config.cleared in ([], ["TF32"])
        monitor = config.progress_monitor
        going_on = True
        for phase, parent in (("Building Engine", None), ("Tactic Selection", "Building Engine")):
            cuda.gpu.phases.append((phase, parent, 2))
            monitor.phase_start(phase, parent, 2)
            for step in range(2):
                if cuda.gpu.stop_at():
                    monitor.cancelled = True
                going_on = monitor.step_complete(phase, step) and going_on
        for phase in ("Tactic Selection", "Building Engine"):
            monitor.phase_finish(phase)
        if cuda.gpu.builder_says is not None:
            self.logger.log(SEVERITY.ERROR, cuda.gpu.builder_says)
        return None if cuda.gpu.builder_says or not going_on else MAGIC + network.content


def install(monkeypatch: pytest.MonkeyPatch) -> SimulatedGpu:
    """Put the simulated libraries where imports find them, on a fresh GPU, until the test is over."""
    gpu = cuda.fresh()
    driver: Any = types.ModuleType("pycuda.driver")
    for thing in (
        cuda.Error,
        cuda.MemoryError,
        cuda.LogicError,
        Context,
        cuda.Device,
        cuda.Stream,
        cuda.mem_alloc,
        cuda.memset_d8,
    ):
        setattr(driver, thing.__name__, thing)
    for copy in (cuda.memcpy_htod_async, cuda.memcpy_dtoh_async, cuda.memcpy_dtod_async):
        setattr(driver, copy.__name__, copy)
    driver.init = lambda: None
    driver.mem_get_info = lambda: (gpu.total_bytes - gpu.used_bytes, gpu.total_bytes)
    driver.pagelocked_empty = lambda shape, dtype: np.full(shape, 0x5A, dtype)
    tensorrt: Any = types.ModuleType("tensorrt")
    for part in (ILogger, IProgressMonitor, Runtime, Builder, OnnxParser):
        setattr(tensorrt, part.__name__, part)
    tensorrt.__version__ = gpu.version
    tensorrt.TensorIOMode, tensorrt.DataType = MODES, DATA_TYPES
    tensorrt.NetworkDefinitionCreationFlag = members("EXPLICIT_BATCH", "STRONGLY_TYPED")
    tensorrt.BuilderFlag, tensorrt.MemoryPoolType = members("TF32"), members("WORKSPACE")
    tensorrt.nptype = lambda kind: DTYPES[kind.name]
    pycuda: Any = types.ModuleType("pycuda")
    pycuda.driver = driver
    bindings: Any = types.ModuleType("cuda")
    bindings.bindings = types.ModuleType("cuda.bindings")
    bindings.bindings.driver = cuda.Results()
    for name, module in {
        "pycuda": pycuda,
        "pycuda.driver": driver,
        "tensorrt": tensorrt,
        "cuda": bindings,
        "cuda.bindings": bindings.bindings,
        "cuda.bindings.driver": bindings.bindings.driver,
    }.items():
        monkeypatch.setitem(sys.modules, name, module)
    return gpu
