"""One ONNX Runtime session whose inputs and outputs lie at fixed places on a device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime

from adasr_core.engines.runner import AnyArray, EngineError

CUDA_PROVIDER = "CUDAExecutionProvider"
CPU_PROVIDER = "CPUExecutionProvider"
_TYPES: dict[str, type[np.generic]] = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}
# A run option: -1 runs without a CUDA graph, any other number names one (onnxruntime_run_options_config_keys.h). The
# same number must always come with the same addresses (docs, CUDA execution provider: graph annotation id).
_GRAPH_KEY = "gpu_graph_id"
NO_GRAPH = -1


@dataclass(frozen=True, kw_only=True, slots=True)
class BoundDevice:
    """Where sessions run and their tensors lie."""

    index: int = 0
    """Number of the GPU."""
    provider: str = CUDA_PROVIDER
    """ONNX Runtime's execution provider; the processor's runs the same bindings, for tests."""
    threads: int | None = None
    """Processor threads; None for all cores."""

    @property
    def on_gpu(self) -> bool:
        """Whether tensors lie on a GPU."""
        return self.provider == CUDA_PROVIDER

    def check(self) -> None:
        """Raises EngineError when this build of ONNX Runtime cannot use the provider."""
        available = onnxruntime.get_available_providers()
        if self.provider not in available:
            raise EngineError(
                f"engine onnxruntime-cuda: this build of ONNX Runtime {onnxruntime.__version__} has only {available}; "
                "pip uninstall onnxruntime, then pip install 'adasr[gpu]' (onnxruntime-gpu owns the same files)"
            )

    def empty(self, shape: list[int], type_: str) -> Any:
        """An OrtValue of `shape`; `type_` as ONNX Runtime names it ("tensor(float)")."""
        memory = "cuda" if self.on_gpu else "cpu"
        return onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, _TYPES[type_], memory, self.index)


class BoundSession:
    """A graph with an OrtValue at every input and output; those that nobody brings it makes itself, once."""

    def __init__(
        self, model: bytes, name: str, device: BoundDevice, *, captured: bool = False, exact: bool = False
    ) -> None:
        """Load `model`. `captured`: replay a CUDA graph, on a GPU. `exact`: no TF32, which has 10 bits.

        Raises:
            EngineError: the graph or the provider does not load, or a node would run on the processor.
        """
        self.name = name
        self._captured = captured and device.on_gpu
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if device.threads is not None:
            options.intra_op_num_threads = device.threads
        provider: Any = device.provider
        if device.on_gpu:
            # A node on the processor would copy features there and back for every frame, in silence.
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
            settings = {
                "device_id": str(device.index),
                "enable_cuda_graph": str(int(self._captured)),
                "use_tf32": str(int(not exact)),
            }
            provider = (device.provider, settings)
        with plain_errors(f"load {name}"):
            self._session = onnxruntime.InferenceSession(model, options, providers=[provider])
        if self._session.get_providers()[0] != device.provider:
            raise EngineError(
                f"engine onnxruntime-cuda: {device.provider} did not start; check the driver (nvidia-smi) and that "
                "CUDA and cuDNN are installed as ONNX Runtime asks (pip install 'onnxruntime-gpu[cuda,cudnn]')"
            )
        self._device = device
        self.inputs = {value.name: (list(value.shape), value.type) for value in self._session.get_inputs()}
        self.outputs = {value.name: (list(value.shape), value.type) for value in self._session.get_outputs()}

    def bind(self, given: Mapping[str, Any]) -> Binding:
        """Fix the places of all inputs and outputs: those in `given`, and new ones for the rest."""
        values = {
            name: given.get(name) or self._device.empty(shape, type_)
            for name, (shape, type_) in (self.inputs | self.outputs).items()
        }
        binding = self._session.io_binding()
        for name in self.inputs:
            binding.bind_ortvalue_input(name, values[name])
        for name in self.outputs:
            binding.bind_ortvalue_output(name, values[name])
        return Binding(binding, values, self._device.on_gpu)

    def run(self, binding: Binding, graph: int = NO_GRAPH) -> None:
        """Run once and wait. `graph`: the number of the binding's CUDA graph, its own for each binding."""
        options = onnxruntime.RunOptions()
        if self._captured:
            options.add_run_config_entry(_GRAPH_KEY, str(graph))
        with plain_errors(f"run {self.name}"):
            self._session.run_with_iobinding(binding.io, options)


@dataclass(frozen=True, slots=True)
class Binding:
    """The places of a session's tensors. io: ONNX Runtime's IOBinding. values: OrtValues by tensor name.

    on_gpu: whether they lie on one.
    """

    io: Any
    values: dict[str, Any]
    on_gpu: bool

    def write(self, name: str, array: AnyArray) -> None:
        """Copy an array to an input."""
        self.values[name].update_inplace(np.ascontiguousarray(array))

    def read(self, name: str) -> AnyArray:
        """A fresh copy of an output."""
        array: AnyArray = self.values[name].numpy()
        # On a processor it looks into the tensor's own memory, which the next run overwrites.
        return array if self.on_gpu else array.copy()


@contextmanager
def plain_errors(action: str) -> Iterator[None]:
    """Turn ONNX Runtime's errors, which share no public base class, into one that says what to do."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "onnxruntime":
            raise
        reason = str(error).splitlines()[0]
        memory = any(
            words in reason.lower() for words in ("failed to allocate memory", "out of memory", "cudnn_status_alloc")
        )
        remedy = (
            "the GPU's memory does not suffice; close what else uses it (nvidia-smi), or rebuild fewer frames at once"
            if memory
            else "adasr doctor shows what is installed; --engine openvino runs on the processor"
        )
        raise EngineError(f"engine onnxruntime-cuda: cannot {action}: {remedy} ({reason})") from error
