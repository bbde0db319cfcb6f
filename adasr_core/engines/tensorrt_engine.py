"""One TensorRT engine, loaded: its tensors by name, bound to device memory once, queued on a stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from adasr_core.engines.cuda_device import INSTALL, CudaDevice
from adasr_core.engines.runner import EngineError
from adasr_core.engines.tensorrt_metadata import EngineFile, TensorSpec

if TYPE_CHECKING:
    import tensorrt


def import_tensorrt() -> object:
    """The module `tensorrt`.

    Raises:
        EngineError: it is not installed or its libraries are not found.
    """
    try:
        import tensorrt as module
    except (ImportError, OSError) as error:
        # OSError: the package is there, a library that it needs is not.
        raise EngineError(f"TensorRT cannot be imported ({error}); {INSTALL}") from error
    return module


def tensorrt_version() -> str:
    """Version of the installed TensorRT. Raises EngineError when there is none."""
    import_tensorrt()
    import tensorrt

    return tensorrt.__version__


def nbytes(spec: TensorSpec) -> int:
    """Size of a tensor."""
    return int(np.prod(spec.shape)) * np.dtype(spec.dtype).itemsize


class EngineLoader:
    """TensorRT's runtime on one device, and what it said last: its own messages are why a load failed."""

    def __init__(self, device: CudaDevice) -> None:
        """Start TensorRT.

        Raises:
            EngineError: TensorRT is missing or does not start on this GPU.
        """
        import_tensorrt()
        import tensorrt

        self._device = device
        self.log = make_log()
        try:
            with device:
                self._runtime = tensorrt.Runtime(self.log)
        except TypeError as error:
            # pybind11's way to say that TensorRT returned nothing.
            raise EngineError(f"TensorRT does not start here: {self.log.last(str(error))}; check the driver") from error

    def load(self, file: EngineFile) -> LoadedEngine:
        """Read, check and load an engine.

        Raises:
            EngineError: the file was changed, TensorRT refuses it, its tensors are not those of its metadata, or the
            GPU's memory is full.
        """
        content = file.read()
        with self._device, self._device.reported(f"engine {file.path.name}"):
            self.log.clear()
            engine = self._runtime.deserialize_cuda_engine(content)
            if engine is None:
                raise EngineError(f"engine {file.path.name}: TensorRT refuses it: {self.log.last()}; build it again")
            _check_tensors(engine, file)
            context = engine.create_execution_context()
            if context is None:
                raise self._device.out_of_memory(f"engine {file.path.name}: {self.log.last()}")
        return LoadedEngine(self._device, engine, context, file, self.log)


class LoadedEngine:
    """An engine with its execution context."""

    def __init__(
        self,
        device: CudaDevice,
        engine: tensorrt.ICudaEngine,
        context: tensorrt.IExecutionContext,
        file: EngineFile,
        log: EngineLog,
    ) -> None:
        """See `EngineLoader.load`."""
        self.metadata = file.metadata
        # The context does not keep its engine alive.
        self._held: tuple[tensorrt.IExecutionContext, tensorrt.ICudaEngine] | None = (context, engine)
        self._device, self._name, self._log = device, file.path.name, log

    def bind(self, addresses: Mapping[str, int]) -> None:
        """Say where tensors lie on the device, by name.

        Raises:
            ValueError: the engine has no tensor of that name.
            EngineError: TensorRT refuses an address.
        """
        known = {*self.metadata.inputs, *self.metadata.outputs}
        for name, address in addresses.items():
            if name not in known:
                raise ValueError(f"engine {self._name}: got a tensor {name!r}, expected one of {sorted(known)}")
            if not self._context().set_tensor_address(name, address):
                raise EngineError(f"engine {self._name}: TensorRT refuses the address of {name}: {self._log.last()}")

    def queue(self) -> None:
        """Queue one run on the device's stream.

        Raises:
            EngineError: TensorRT refuses.
        """
        if not self._context().execute_async_v3(self._device.stream.handle):
            raise EngineError(f"engine {self._name}: TensorRT does not run it: {self._log.last()}")

    def close(self) -> None:
        """Free its device memory; the device must be current. Twice is once."""
        self._held = None

    def _context(self) -> tensorrt.IExecutionContext:
        if self._held is None:
            raise ValueError(f"engine {self._name}: was closed; load the model again")
        return self._held[0]


def _check_tensors(engine: tensorrt.ICudaEngine, file: EngineFile) -> None:
    """Compare an engine's tensors, by name, with its metadata; the order is TensorRT's affair."""
    import tensorrt

    found: dict[str, dict[str, TensorSpec]] = {"inputs": {}, "outputs": {}}
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        kind = "inputs" if engine.get_tensor_mode(name) == tensorrt.TensorIOMode.INPUT else "outputs"
        dtype = np.dtype(tensorrt.nptype(engine.get_tensor_dtype(name))).name
        found[kind][name] = TensorSpec(dtype=dtype, shape=tuple(int(size) for size in engine.get_tensor_shape(name)))
    expected = {"inputs": dict(file.metadata.inputs), "outputs": dict(file.metadata.outputs)}
    if found != expected:
        raise EngineError(
            f"engine {file.path.name}: its tensors {_listed(found)} are not those of its metadata {_listed(expected)}; "
            "build it again"
        )


def _listed(tensors: Mapping[str, Mapping[str, TensorSpec]]) -> str:
    return ", ".join(
        f"{name} {spec.dtype}{list(spec.shape)}" for kind in tensors.values() for name, spec in sorted(kind.items())
    )


if TYPE_CHECKING:
    from abc import abstractmethod

    class EngineLog(tensorrt.ILogger):
        """What `make_log` makes."""

        def clear(self) -> None:
            """Forget what was said."""

        @abstractmethod
        def last(self, otherwise: str = "it gave no reason") -> str:
            """The last error or warning, in one line."""


def make_log() -> EngineLog:
    """A logger for TensorRT that keeps its errors and warnings for our messages and prints nothing.

    The class is made here because its base exists only where TensorRT is installed.
    """
    import tensorrt

    class KeepingLog(tensorrt.ILogger):
        def __init__(self) -> None:
            super().__init__()
            self._said: list[str] = []

        def log(self, severity: tensorrt.ILogger.Severity, msg: str) -> None:
            loud = (
                tensorrt.ILogger.Severity.INTERNAL_ERROR,
                tensorrt.ILogger.Severity.ERROR,
                tensorrt.ILogger.Severity.WARNING,
            )
            if severity in loud:
                self._said = [*self._said[-7:], " ".join(msg.split())]

        def clear(self) -> None:
            self._said = []

        def last(self, otherwise: str = "it gave no reason") -> str:
            return self._said[-1] if self._said else otherwise

    return KeepingLog()  # type: ignore[return-value]
