"""CUDA in host memory: see `tests.engines.simulated_gpu`, which puts it where imports find it."""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

VERSION = "11.4.0.106"


@dataclass
class SimulatedGpu:
    """The machine's state; tests read and change it."""

    name: str = "NVIDIA H200"
    capability: tuple[int, int] = (9, 0)
    count: int = 1
    total_bytes: int = 8 * 2**30
    version: str = VERSION
    allocations: dict[int, npt.NDArray[np.uint8]] = field(default_factory=dict)
    streams: dict[int, Stream] = field(default_factory=dict)
    contexts: list[Context] = field(default_factory=list)
    next_address: int = 0x7000_0000
    allocated: int = 0
    copies: list[tuple[str, int]] = field(default_factory=list)
    launches: int = 0
    runs: int = 0
    engine_says: str | None = None
    builder_says: str | None = None
    phases: list[tuple[str, str | None, int]] = field(default_factory=list)
    stop_at: Callable[[], bool] = lambda: False

    @property
    def used_bytes(self) -> int:
        return sum(len(memory) for memory in self.allocations.values())

    def at(self, address: int, size: int) -> npt.NDArray[np.uint8]:
        """The bytes of an address; outside an allocation is what a real GPU calls an illegal address."""
        for base, memory in self.allocations.items():
            if base <= address and address + size <= base + len(memory):
                return memory[address - base : address - base + size]
        raise Error(f"an illegal memory access was encountered: {size} bytes at {address:#x}")

    def need_context(self) -> None:
        if not self.contexts:
            raise LogicError("no context is current: invalid device context")


gpu = SimulatedGpu()


def fresh() -> SimulatedGpu:
    """Another GPU in the place of the one there was."""
    global gpu
    gpu = SimulatedGpu()
    Context.attached = 0
    return gpu


class Error(Exception):
    pass


class MemoryError(Error):  # noqa: A001
    pass


class LogicError(Error):
    pass


class Context:
    attached = 0

    def push(self) -> None:
        gpu.contexts.append(self)

    @staticmethod
    def pop() -> None:
        gpu.contexts.pop()

    def detach(self) -> None:
        Context.attached -= 1


class Device:
    def __init__(self, number: int) -> None:
        assert number < gpu.count

    @staticmethod
    def count() -> int:
        return gpu.count

    def name(self) -> str:
        return gpu.name

    def compute_capability(self) -> tuple[int, int]:
        return gpu.capability

    def retain_primary_context(self) -> Context:
        Context.attached += 1
        return Context()


class Stream:
    def __init__(self, flags: int = 0) -> None:
        gpu.need_context()
        self.handle = 100 + len(gpu.streams)
        self.queue: list[Callable[[], None]] = []
        self.captured: list[Callable[[], None]] | None = None
        gpu.streams[self.handle] = self

    def add(self, work: Callable[[], None]) -> None:
        (self.queue if self.captured is None else self.captured).append(work)

    def synchronize(self) -> None:
        gpu.need_context()
        if self.captured is not None:
            raise Error("operation not permitted when stream is capturing")
        work, self.queue = self.queue, []
        for step in work:
            step()


class DeviceAllocation:
    def __init__(self, size: int) -> None:
        self.address = gpu.next_address
        gpu.next_address += -(-size // 512) * 512
        gpu.allocations[self.address] = np.full(size, 0xA5, np.uint8)
        gpu.allocated += 1

    def __int__(self) -> int:
        return self.address

    def free(self) -> None:
        if gpu.allocations.pop(self.address, None) is None:
            raise LogicError("device_allocation::free: invalid resource handle")

    def __del__(self) -> None:
        gpu.allocations.pop(self.address, None)


def mem_alloc(size: int) -> DeviceAllocation:
    gpu.need_context()
    if gpu.used_bytes + size > gpu.total_bytes:
        raise MemoryError("cuMemAlloc failed: out of memory")
    return DeviceAllocation(size)


def memset_d8(dest: int, data: int, size: int) -> None:
    gpu.need_context()
    gpu.at(dest, size)[:] = data


def memcpy_htod_async(dest: int, src: npt.NDArray[Any], stream: Stream) -> None:
    gpu.need_context()

    def copy() -> None:
        gpu.copies.append(("up", src.nbytes))
        gpu.at(dest, src.nbytes)[:] = src.reshape(-1).view(np.uint8)

    stream.add(copy)


def memcpy_dtoh_async(dest: npt.NDArray[Any], src: int, stream: Stream) -> None:
    gpu.need_context()

    def copy() -> None:
        gpu.copies.append(("down", dest.nbytes))
        dest.reshape(-1).view(np.uint8)[:] = gpu.at(src, dest.nbytes)

    stream.add(copy)


def memcpy_dtod_async(dest: int, src: int, size: int, stream: Stream) -> None:
    gpu.need_context()
    stream.add(lambda: np.copyto(gpu.at(dest, size), gpu.at(src, size)))


class Results:
    """cuda.bindings.driver, as far as it is used."""

    CUresult = types.SimpleNamespace(CUDA_SUCCESS=0, CUDA_ERROR_OUT_OF_MEMORY=2)
    CUstreamCaptureMode = types.SimpleNamespace(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL=1)
    failure = 0

    def cuStreamBeginCapture(self, hStream: int, mode: int) -> tuple[int]:  # noqa: N802
        stream = gpu.streams[hStream]
        assert not stream.queue, "work before the capture was not waited for"
        stream.captured = []
        return (0,)

    def cuStreamEndCapture(self, hStream: int) -> tuple[int, Any]:  # noqa: N802
        stream = gpu.streams[hStream]
        graph, stream.captured = stream.captured, None
        return (0, graph)

    def cuGraphInstantiate(self, hGraph: Any, flags: int) -> tuple[int, Any]:  # noqa: N802
        return (self.failure, list(hGraph))

    def cuGraphLaunch(self, hGraphExec: Any, hStream: int) -> tuple[int]:  # noqa: N802
        gpu.need_context()
        gpu.launches += 1
        gpu.streams[hStream].queue.extend(hGraphExec)
        return (0,)

    def cuGraphExecDestroy(self, hGraphExec: Any) -> tuple[int]:  # noqa: N802
        return (0,)

    def cuGraphDestroy(self, hGraph: Any) -> tuple[int]:  # noqa: N802
        return (0,)

    def cuGetErrorString(self, error: int) -> tuple[int, bytes]:  # noqa: N802
        return (0, b"unknown error")
