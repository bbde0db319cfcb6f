"""ONNX Runtime on an NVIDIA GPU: I/O binding, CUDA graphs, key frames that never leave the device.

    slot = fixed places for one key frame's picture, features, detail, context; the encoder writes there, the frame
    graph reads there. A slot is free again when nobody holds its features, so a call that goes on for hours allocates
    nothing after its first seconds, and there is one CUDA graph for each slot.

The same code runs on ONNX Runtime's processor provider: that is how it is tested without a GPU.
"""

from __future__ import annotations

import importlib.util
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime

from adasr_core.adapter import Adapter
from adasr_core.bound_graph import FEATURES, bound_frame_graph, pack_parameters, stream_inputs
from adasr_core.bundle import ModelBundle
from adasr_core.engines.adapted_graph import adapted_graph
from adasr_core.engines.bound_session import Binding, BoundDevice, BoundSession
from adasr_core.engines.device_model import (
    PARTS,
    Detection,
    EngineDescription,
    Image,
    Part,
    RebuildRequest,
    ReferenceFeatures,
)
from adasr_core.engines.graph_model import not_loaded
from adasr_core.engines.runner import Array, EngineError, gpu_number
from adasr_core.geometry import MotionParameters

_FRAME_PARTS: frozenset[Part] = frozenset({"motion", "generator"})


class FeatureSlot:
    """Fixed places of one key frame. number: its CUDA graph's."""

    def __init__(self, number: int, values: dict[str, Any]) -> None:
        """Take allocated OrtValues by tensor name; the bindings over them follow."""
        self.number = number
        self.values = values
        self.encoding: Binding | None = None
        self.rebuilding: Binding | None = None


class SlotFeatures(ReferenceFeatures):
    """A key frame in a slot."""

    def __init__(self, slot: FeatureSlot, free: list[FeatureSlot]) -> None:
        """Hold `slot`; it goes back to `free` when this is collected or closed."""
        self.slot: FeatureSlot | None = slot
        self._release = weakref.finalize(self, free.append, slot)

    def close(self) -> None:
        """See `ReferenceFeatures`."""
        self.slot = None
        self._release()


class OnnxRuntimeCudaModel:
    """A `DeviceModel` of fused graphs in ONNX Runtime."""

    def __init__(
        self, bundle: ModelBundle, device: BoundDevice, parts: Sequence[Part], adapter: Adapter | None
    ) -> None:
        """Fuse and load the graphs that `parts` need; see `load`."""
        from adasr_core.fused_graph import detector_graph, encoder_graph, refiner_graph

        device.check()
        if importlib.util.find_spec("onnx") is None:
            raise EngineError("engine onnxruntime-cuda: onnx is not installed; pip install 'adasr[gpu]'")
        self._device = device
        self._sources = {part: adapted_graph(bundle, part, adapter) or bundle.path(part).read_bytes() for part in parts}
        self._detector = self._encoder = self._refiner = None
        if "detector" in parts:
            self._detector = BoundSession(
                detector_graph(self._sources["detector"]), "detector", device, captured=True, exact=True
            )
            self._detecting = self._detector.bind({})
        if "encoder" in parts:
            # Not captured: it runs once a key frame, and into another slot each time.
            self._encoder = BoundSession(encoder_graph(self._sources["encoder"]), "encoder", device)
        if "refiner" in parts:
            self._refiner = BoundSession(refiner_graph(self._sources["refiner"]), "refiner", device, captured=True)
            self._refining = self._refiner.bind({})
        self._frames: dict[int, BoundSession] = {}
        self._batches: dict[int, Binding] = {}
        self._batch_slots: dict[int, list[int]] = {}
        if set(parts) >= _FRAME_PARTS:
            self._frame_session(1)
        self._free: list[FeatureSlot] = []
        self._slots = 0

    @classmethod
    def load(
        cls,
        bundle: ModelBundle,
        *,
        device: str | None = None,
        parts: Sequence[Part] = PARTS,
        adapter: Adapter | None = None,
    ) -> OnnxRuntimeCudaModel:
        """Load for the GPU of that number, None being the first.

        Raises:
            EngineError: no CUDA in this build, no GPU, or a graph that does not load on it.
        """
        if hasattr(onnxruntime, "preload_dlls"):
            # Finds the CUDA and cuDNN that pip installed; without it only the system's are looked for.
            onnxruntime.preload_dlls()
        return cls(bundle, BoundDevice(index=gpu_number(device)), parts, adapter)

    def describe(self) -> EngineDescription:
        """See `DeviceModel`. Decoder in TF32, float32 with a short mantissa, the provider's default; detector not."""
        where = f"{self._device.provider}:{self._device.index}" if self._device.on_gpu else self._device.provider
        return EngineDescription(
            "onnxruntime-cuda", where, "tf32" if self._device.on_gpu else "f32", self._device.threads
        )

    def detect(self, image: Image) -> Detection:
        """See `DeviceModel`."""
        if self._detector is None:
            raise not_loaded("detector")
        self._detecting.write("image", image[None])
        self._detector.run(self._detecting, graph=1)
        points, jacobians, confidence = (
            self._detecting.read(name)[0] for name in ("keypoints", "jacobians", "confidence")
        )
        return Detection(MotionParameters.create(points, jacobians), confidence)

    def encode(self, picture: Image) -> SlotFeatures:
        """See `DeviceModel`."""
        if self._encoder is None:
            raise not_loaded("encoder")
        slot = self._free.pop() if self._free else self._new_slot(self._encoder)
        features = SlotFeatures(slot, self._free)
        assert slot.encoding is not None
        slot.encoding.write("image", picture[None])
        self._encoder.run(slot.encoding)
        return features

    def rebuild(self, features: ReferenceFeatures, reference: MotionParameters, driving: MotionParameters) -> Image:
        """See `DeviceModel`."""
        frame: Image = self._run_one(features, reference, driving).read("frame")[0]
        return frame

    def flow(self, features: ReferenceFeatures, reference: MotionParameters, driving: MotionParameters) -> Array:
        """See `DeviceModel`."""
        flow: Array = self._run_one(features, reference, driving).read("flow")[0]
        return flow

    def rebuild_batch(self, requests: Sequence[RebuildRequest]) -> list[Image]:
        """See `DeviceModel`; a batch size is loaded when it is first asked for, which takes seconds."""
        if len(requests) < 2:
            return [self.rebuild(request.features, request.reference, request.driving) for request in requests]
        count = len(requests)
        session = self._frame_session(count)
        slots = [_slot(request.features) for request in requests]
        if self._batch_slots.get(count) != [slot.number for slot in slots]:
            given = {} if count not in self._batches else _own_values(self._batches[count])
            for name in FEATURES:
                given |= {
                    stream: slot.values[name] for stream, slot in zip(stream_inputs(name, count), slots, strict=True)
                }
            self._batches[count] = session.bind(given)
            self._batch_slots[count] = [slot.number for slot in slots]
        binding = self._batches[count]
        binding.write("parameters", np.stack([pack_parameters(r.reference, r.driving) for r in requests]))
        session.run(binding)
        return list(binding.read("frame"))

    @property
    def refines(self) -> bool:
        """See `DeviceModel`."""
        return self._refiner is not None

    def refine(self, earlier: Image, later: Image, weight: float) -> Image:
        """See `DeviceModel`."""
        if self._refiner is None:
            raise not_loaded("refiner")
        self._refining.write("earlier", earlier[None])
        self._refining.write("later", later[None])
        self._refining.write("weight", np.full((1, 1, 1, 1), weight, np.float32))
        self._refiner.run(self._refining, graph=1)
        frame: Image = self._refining.read("frame")[0]
        return frame

    def close(self) -> None:
        """See `DeviceModel`."""
        self._detector = self._encoder = self._refiner = None
        self._frames.clear()
        self._batches.clear()
        self._free.clear()

    def _run_one(self, features: ReferenceFeatures, reference: MotionParameters, driving: MotionParameters) -> Binding:
        slot, session = _slot(features), self._frame_session(1)
        if slot.rebuilding is None:
            slot.rebuilding = session.bind({f"{name}_0": slot.values[name] for name in FEATURES})
        slot.rebuilding.write("parameters", pack_parameters(reference, driving)[None])
        session.run(slot.rebuilding, graph=slot.number)
        return slot.rebuilding

    def _frame_session(self, batch: int) -> BoundSession:
        from adasr_core.fused_graph import frame_graph

        if batch not in self._frames:
            for part in ("motion", "generator"):
                if part not in self._sources:
                    raise not_loaded(part)
            graph = frame_graph(self._sources["motion"], self._sources["generator"], batch=batch)
            # Streams come and go, and every mix of slots would be a graph of its own: batches are not captured.
            self._frames[batch] = BoundSession(
                bound_frame_graph(graph), f"frame of batch {batch}", self._device, captured=batch == 1
            )
        return self._frames[batch]

    def _new_slot(self, encoder: BoundSession) -> FeatureSlot:
        self._slots += 1
        slot = FeatureSlot(
            self._slots,
            {name: self._device.empty(*encoder.outputs[name]) for name in FEATURES},
        )
        slot.encoding = encoder.bind(slot.values)
        return slot


def _own_values(binding: Binding) -> dict[str, Any]:
    """A batch's own tensors, which stay where they are while its streams change."""
    return {name: binding.values[name] for name in ("parameters", "frame", "flow")}


def _slot(features: ReferenceFeatures) -> FeatureSlot:
    if not isinstance(features, SlotFeatures):
        raise ValueError(f"features: got {type(features).__name__} of another engine; encode the key frame again")
    if features.slot is None:
        raise ValueError("features: were closed; encode the key frame again")
    return features.slot
