"""Device memory, pinned memory, one stream and CUDA graphs for the TensorRT engine.

pycuda does memory, streams and copies; it knows no CUDA graphs, so those four calls are NVIDIA's own cuda-bindings.
Both come with the extra tensorrt and are imported when a device is opened.

TensorRT uses the CUDA runtime and with it the device's primary context; so does this.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from adasr_core.engines.runner import EngineError
from adasr_core.engines.tensorrt_metadata import Gpu

if TYPE_CHECKING:
    from cuda.bindings import driver as graphs
    from pycuda import driver

ALIGNMENT_BYTES = 256
"""TensorRT wants a tensor to start at a multiple of this."""

INSTALL = "pip install 'adasr[tensorrt]' on a machine with an NVIDIA driver"


def aligned(size: int) -> int:
    """`size` bytes, up to the next start of a tensor."""
    return -(-size // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


class CudaDevice:
    """One GPU with one stream. Every use of it stands between `with device:`; not for two threads at once."""

    def __init__(self, number: int = 0) -> None:
        """Open GPU `number`.

        Raises:
            EngineError: pycuda, cuda-bindings or the driver is missing, or there is no such GPU.
        """
        try:
            from cuda.bindings import driver as graphs
            from pycuda import driver
        except ImportError as error:
            raise EngineError(f"TensorRT engine: CUDA's libraries cannot be imported ({error}); {INSTALL}") from error
        self.driver, self._graphs = driver, graphs
        try:
            driver.init()
            count = driver.Device.count()
            if not 0 <= number < count:
                raise EngineError(f"GPU: got number {number}, this machine has {count}; name one with --device")
            device = driver.Device(number)
            major, minor = device.compute_capability()
            self.gpu = Gpu(name=device.name(), architecture=f"sm{major}{minor}")
            self._context = device.retain_primary_context()
            self._open = True
            with self:
                self.stream = driver.Stream()
        except driver.Error as error:
            raise EngineError(
                f"CUDA does not start ({error}); check that nvidia-smi lists the GPU and that its driver is new enough"
            ) from error

    def __enter__(self) -> CudaDevice:
        """Make the device current for this thread."""
        self._context.push()
        return self

    def __exit__(self, *_: object) -> None:
        """Undo `__enter__`."""
        self._context.pop()

    @contextlib.contextmanager
    def reported(self, doing: str) -> Iterator[None]:
        """Turn CUDA's errors inside into EngineError. `doing`: what was being done, for the message.

        Raises:
            EngineError: CUDA failed, or the GPU's memory is full.
        """
        try:
            yield
        except self.driver.MemoryError as error:
            raise self.out_of_memory(doing) from error
        except self.driver.Error as error:
            raise EngineError(f"{doing}: CUDA failed ({error}); the model must be loaded again") from error

    def out_of_memory(self, doing: str) -> EngineError:
        """The error for a full GPU, with what is free."""
        free, total = self.driver.mem_get_info()
        return EngineError(
            f"{doing}: the GPU's memory is full ({free / 2**20:.0f} MiB of {total / 2**20:.0f} MiB free); end other "
            "programs on it (nvidia-smi lists them), hold fewer calls, or load smaller batches"
        )

    def allocate(self, size: int, purpose: str) -> driver.DeviceAllocation:
        """Device memory of `size` bytes; freed with `free()` or when nobody holds it.

        Raises:
            EngineError: the memory is full.
        """
        with self.reported(f"{purpose}: {size / 2**20:.1f} MiB"):
            return self.driver.mem_alloc(size)

    def pinned(self, size: int, purpose: str) -> npt.NDArray[np.uint8]:
        """Page-locked host memory, uint8 [size], zeroed.

        Raises:
            EngineError: the host refuses it.
        """
        with self.reported(f"{purpose}: {size / 2**20:.1f} MiB of pinned memory"):
            memory: npt.NDArray[np.uint8] = self.driver.pagelocked_empty(size, np.uint8)
        memory[:] = 0
        return memory

    def synchronize(self, doing: str) -> None:
        """Wait for the stream.

        Raises:
            EngineError: what was queued failed.
        """
        with self.reported(doing):
            self.stream.synchronize()

    def capture(self, record: Callable[[], None], doing: str) -> CapturedGraph:
        """Record what `record` queues on the stream, once, to be launched as a whole.

        `record` runs twice: TensorRT puts off some of its set-up to the first run, and that cannot be captured.

        Raises:
            EngineError: `record` queues something that a graph cannot hold.
        """
        record()
        self.synchronize(doing)
        mode = self._graphs.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self._check(self._graphs.cuStreamBeginCapture(self.stream.handle, mode), doing)
        try:
            record()
        finally:
            # Also after an error: a stream left in capture refuses everything else.
            ended = self._graphs.cuStreamEndCapture(self.stream.handle)
        (graph,) = self._check(ended, doing)
        try:
            (executable,) = self._check(self._graphs.cuGraphInstantiate(graph, 0), doing)
        finally:
            self._graphs.cuGraphDestroy(graph)
        return CapturedGraph(self, executable, doing)

    def launch(self, executable: graphs.CUgraphExec, doing: str) -> None:
        """Queue a captured graph. Raises EngineError when it cannot be."""
        self._check(self._graphs.cuGraphLaunch(executable, self.stream.handle), doing)

    def destroy(self, executable: graphs.CUgraphExec) -> None:
        """Free a captured graph."""
        self._graphs.cuGraphExecDestroy(executable)

    def close(self) -> None:
        """Let go of the device. Twice is once."""
        if self._open:
            self._open = False
            self._context.detach()

    def _check(self, answer: tuple[Any, ...], doing: str) -> tuple[Any, ...]:
        result, *values = answer
        if result == self._graphs.CUresult.CUDA_SUCCESS:
            return tuple(values)
        if result == self._graphs.CUresult.CUDA_ERROR_OUT_OF_MEMORY:
            raise self.out_of_memory(doing)
        _, text = self._graphs.cuGetErrorString(result)
        raise EngineError(f"{doing}: CUDA failed ({text.decode()}); the model must be loaded again")


class CapturedGraph:
    """What `CudaDevice.capture` recorded."""

    def __init__(self, device: CudaDevice, executable: graphs.CUgraphExec, doing: str) -> None:
        """See `CudaDevice.capture`."""
        self._device, self._executable, self._doing = device, executable, doing

    def launch(self) -> None:
        """Queue it on the device's stream."""
        self._device.launch(self._executable, self._doing)

    def close(self) -> None:
        """Free it."""
        self._device.destroy(self._executable)
