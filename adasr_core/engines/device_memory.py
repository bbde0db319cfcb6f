"""Several tensors in one piece of device memory, and of pinned host memory laid out alike: one copy moves them all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from adasr_core.engines.cuda_device import CudaDevice, aligned
from adasr_core.engines.tensorrt_engine import nbytes
from adasr_core.engines.tensorrt_metadata import TensorSpec


class DeviceBlock:
    """Tensors by name, each at an aligned offset, in the order of their names given."""

    def __init__(self, device: CudaDevice, tensors: Mapping[str, TensorSpec], purpose: str, *, pinned: bool) -> None:
        """Allocate, zeroed. `purpose` names the memory in messages. `pinned`: also allocate host memory to copy with.

        Raises:
            EngineError: the GPU's memory is full.
        """
        self._device = device
        self._tensors = dict(tensors)
        self._offsets: dict[str, int] = {}
        size = 0
        for name, spec in tensors.items():
            self._offsets[name] = size
            size += aligned(nbytes(spec))
        self.size_bytes = size
        self._host = device.pinned(size, purpose) if pinned else None
        self._memory = device.allocate(size, purpose)
        self._base = int(self._memory)
        # A place of a batch that nobody uses yet is computed too: it must hold numbers.
        device.driver.memset_d8(self._base, 0, size)
        self._open = True

    def addresses(self) -> dict[str, int]:
        """Where each tensor lies on the device."""
        return {name: self._base + offset for name, offset in self._offsets.items()}

    def view(self, name: str) -> npt.NDArray[Any]:
        """A tensor in the pinned memory, to be written before `upload` or read after `download` and a wait."""
        assert self._host is not None
        spec, start = self._tensors[name], self._offsets[name]
        part: npt.NDArray[Any] = self._host[start : start + nbytes(spec)].view(np.dtype(spec.dtype))
        return part.reshape(spec.shape)

    def upload(self) -> None:
        """Queue the copy of everything to the device."""
        assert self._host is not None
        self._device.driver.memcpy_htod_async(self._base, self._host, self._device.stream)

    def download(self, *names: str) -> None:
        """Queue the copy of the tensors named, or of everything, to the host."""
        assert self._host is not None
        if not names:
            self._device.driver.memcpy_dtoh_async(self._host, self._base, self._device.stream)
        for name in names:
            start = self._offsets[name]
            host = self._host[start : start + nbytes(self._tensors[name])]
            self._device.driver.memcpy_dtoh_async(host, self._base + start, self._device.stream)

    def close(self) -> None:
        """Free the device memory now. Twice is once."""
        if self._open:
            self._open = False
            self._memory.free()
