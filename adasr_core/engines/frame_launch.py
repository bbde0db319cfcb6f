"""Frames of N streams in one launch: parameters in, motion field, generator, bytes out, captured as one CUDA graph."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from adasr_core.engines.cuda_device import CudaDevice
from adasr_core.engines.device_memory import DeviceBlock
from adasr_core.engines.device_model import Image, RebuildRequest, ReferenceFeatures
from adasr_core.engines.runner import Array
from adasr_core.engines.tensorrt_engine import LoadedEngine, nbytes
from adasr_core.engines.tensorrt_metadata import TensorSpec

FEATURES = ("picture", "features", "detail", "context")
PARAMETERS = ("keypoints_reference", "jacobians_reference", "keypoints_driving", "jacobians_driving")
_serials = itertools.count()


class TensorRtFeatures(ReferenceFeatures):
    """Picture, features, detail and context of a key frame on the device."""

    def __init__(self, device: CudaDevice, tensors: Mapping[str, TensorSpec]) -> None:
        """Allocate for the encoder's outputs `tensors`.

        Raises:
            EngineError: the GPU's memory is full.
        """
        # Names a key frame for good: a later one may lie at the same address.
        self.serial = next(_serials)
        self._device = device
        self._block: DeviceBlock | None = DeviceBlock(device, tensors, "features of a key frame", pinned=False)

    def addresses(self) -> dict[str, int]:
        """Where each tensor lies.

        Raises:
            ValueError: it was closed.
        """
        if self._block is None:
            raise ValueError("features: were closed; encode the key frame again")
        return self._block.addresses()

    def close(self) -> None:
        """Give the memory back. Twice is once."""
        if self._block is not None:
            with self._device:
                self._block.close()
            self._block = None


class FrameLaunch:
    """A frame engine with its memory and its CUDA graph."""

    def __init__(self, device: CudaDevice, engine: LoadedEngine) -> None:
        """Allocate, bind and capture; the device must be current.

        Raises:
            EngineError: the GPU's memory is full, or the engine cannot be captured.
        """
        metadata = engine.metadata
        self.batch = metadata.batch
        self._device, self._engine = device, engine
        self._doing = f"frame engine for batches of {self.batch}"
        # What each place of the batch shows: the serial of a key frame.
        self._shown: list[int | None] = [None] * self.batch
        self._slots = {name: nbytes(metadata.inputs[name]) // self.batch for name in FEATURES}
        parameters = {name: metadata.inputs[name] for name in PARAMETERS}
        self._parameters = DeviceBlock(device, parameters, "parameters", pinned=True)
        self._features = DeviceBlock(
            device, {name: metadata.inputs[name] for name in FEATURES}, "features of a batch", pinned=False
        )
        self._outputs = DeviceBlock(device, metadata.outputs, "frames of a batch", pinned=True)
        for role in ("reference", "driving"):
            # A place that nobody uses must compute something harmless.
            self._parameters.view(f"jacobians_{role}")[:] = np.eye(2, dtype=np.float32)
        for block in (self._parameters, self._features, self._outputs):
            engine.bind(block.addresses())
        self._graph = device.capture(self._record, self._doing)

    def run(self, requests: Sequence[RebuildRequest]) -> None:
        """Rebuild up to `batch` frames, in the places 0, 1, ... of the batch, and wait for them.

        Raises:
            ValueError: the features are another engine's, or were closed.
            EngineError: CUDA failed.
        """
        assert 0 < len(requests) <= self.batch
        with self._device.reported(self._doing):
            for place, request in enumerate(requests):
                self._show(place, request.features)
                for role, parameters in (("reference", request.reference), ("driving", request.driving)):
                    self._parameters.view(f"keypoints_{role}")[place] = parameters.keypoints
                    self._parameters.view(f"jacobians_{role}")[place] = parameters.jacobians
            self._graph.launch()
        self._device.synchronize(self._doing)

    def frames(self, count: int) -> list[Image]:
        """The first `count` frames of the last run, as arrays of their own."""
        frames = self._outputs.view("frame")
        return [frames[place].copy() for place in range(count)]

    def flow(self) -> Array:
        """The flow of the last run's first frame: float32 [2, 64, 64]."""
        with self._device.reported(self._doing):
            self._outputs.download("flow")
        self._device.synchronize(self._doing)
        flow: Array = self._outputs.view("flow")[0].copy()
        return flow

    def close(self) -> None:
        """Free everything."""
        self._graph.close()
        self._engine.close()
        for block in (self._parameters, self._features, self._outputs):
            block.close()

    def _show(self, place: int, features: ReferenceFeatures) -> None:
        """Copy a key frame's features into a place of the batch, unless they lie there already."""
        if not isinstance(features, TensorRtFeatures):
            raise ValueError(f"features: got {type(features).__name__}, expected those of this model's encode")
        source = features.addresses()
        if self._shown[place] == features.serial:
            return
        target = self._features.addresses()
        for name, size in self._slots.items():
            self._device.driver.memcpy_dtod_async(target[name] + place * size, source[name], size, self._device.stream)
        self._shown[place] = features.serial

    def _record(self) -> None:
        self._parameters.upload()
        self._engine.queue()
        self._outputs.download("frame")
