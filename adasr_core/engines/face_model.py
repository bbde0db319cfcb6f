"""A model folder as one object: detect, encode a key frame, rebuild a frame, on whatever engine.

              once per key frame                 every frame
picture --> encoder --> ReferenceFeatures --+--> motion --> generator --> frame
image   --> detector --> parameters --------+          --> flow
two pictures moved along such flows to one moment --> refiner --> frame         where the model has one
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from adasr_core.adapter import Adapter
from adasr_core.bundle import ModelBundle
from adasr_core.engines.adapted_graph import adapted_graph
from adasr_core.engines.device_model import (
    PARTS,
    Detection,
    DeviceModel,
    EngineDescription,
    Image,
    Part,
    RebuildRequest,
    ReferenceFeatures,
)
from adasr_core.engines.graph_model import GraphModel
from adasr_core.engines.runner import ENGINES, Array, EngineError, EngineName, GraphRunner
from adasr_core.geometry import MotionParameters

__all__ = ["PARTS", "REDUCED_PARTS", "FaceModel", "Part", "model_parts"]

GPU_ENGINES: frozenset[EngineName] = frozenset({"onnxruntime-cuda", "tensorrt"})
# The detector's coordinates are what is sent: they need float32. The flow is nearly zero where little moves, and errs
# by 0.03 px on the mean where a head swings by 25.
REDUCED_PARTS: frozenset[Part] = frozenset({"encoder", "motion", "generator", "refiner"})
_PICTURE_INPUTS: dict[Part, tuple[str, ...]] = {"refiner": ("earlier", "later")}
_PICTURE_OUTPUT: frozenset[Part] = frozenset({"generator", "refiner"})


class FaceModel:
    """A loaded model. Not for use by two threads at once; load one for each, or one with `streams` for all of them."""

    def __init__(self, bundle: ModelBundle, model: DeviceModel, streams: int = 1) -> None:
        """Take a model that an engine has loaded from `bundle`; see `load`. `streams`: runs at once."""
        self.bundle = bundle
        self._model = model
        self.streams = streams
        self.keypoints = bundle.manifest.keypoints
        self.frame_px = bundle.manifest.frame_px
        self.detector_px = bundle.manifest.detector_px

    @classmethod
    def load(
        cls,
        bundle: ModelBundle,
        *,
        engine: EngineName = "openvino",
        device: str | None = None,
        threads: int | None = None,
        streams: int | None = None,
        parts: Sequence[Part] | None = None,
        adapter: Adapter | None = None,
        engine_folder: Path | None = None,
    ) -> Self:
        """Load the graphs named in `parts`; None is all that the model has.

        `device` is an OpenVINO device ("CPU", "GPU"), an ONNX Runtime provider ("CPUExecutionProvider"), or the
        number of an NVIDIA GPU ("0") for onnxruntime-cuda and tensorrt; None is the processor, or the first GPU.
        `threads`: of a run on a processor, None for all cores. `streams` in its stead: runs at once on a processor,
        each on one core; more frames a second than one run on all cores, and equal results whatever the number. A GPU
        goes on with one run at a time, and says so by its `streams`.
        `adapter` fits the decoder to the person that it will show; the detector stays as it is. `engine_folder`:
        where TensorRT's engines of this model lie; None is their usual place.

        Raises:
            EngineError: the engine or device is not there.
            AdapterError: the adapter was made for another model.
            ValueError: `threads` and `streams` are both given, `streams` is below 1, or the model has not that part.
        """
        parts = model_parts(bundle) if parts is None else parts
        for part in parts:
            if not bundle.has(part):
                raise ValueError(
                    f"parts: got {part}, which the model {bundle.manifest.name} {bundle.manifest.version} does not "
                    "have; leave it out, or put one into its folder (python -m export.add_refiner)"
                )
        if streams is not None and (threads is not None or streams < 1):
            raise ValueError(f"streams: got {streams} with threads={threads}, expected 1 or more, without threads")
        if engine not in ENGINES:
            raise EngineError(f"engine: got {engine!r}, expected one of {', '.join(ENGINES)}")
        if adapter is not None:
            adapter.check_model(bundle)
        if engine in GPU_ENGINES and "int8" in (
            bundle.manifest.precision("motion"),
            bundle.manifest.precision("generator"),
        ):
            raise EngineError(
                f"model {bundle.manifest.name}: its graphs are int8, quantised for processors; give {engine} the "
                "float32 model that they were made of"
            )
        if engine == "tensorrt":
            from adasr_core.engines.tensorrt_model import load_tensorrt_model

            return cls(
                bundle, load_tensorrt_model(bundle, device=device, parts=parts, adapter=adapter, folder=engine_folder)
            )
        if engine == "onnxruntime-cuda":
            from adasr_core.engines.onnxruntime_cuda import OnnxRuntimeCudaModel

            return cls(bundle, OnnxRuntimeCudaModel.load(bundle, device=device, parts=parts, adapter=adapter))
        return cls(bundle, _load_graphs(bundle, engine, device, threads, streams, parts, adapter), streams or 1)

    def describe(self) -> EngineDescription:
        """What the model really runs on."""
        return self._model.describe()

    def detect(self, image: Image) -> Detection:
        """Keypoints of `image`, uint8 [detector_px, detector_px, 3] RGB.

        Raises:
            ValueError: wrong shape or type.
        """
        _check(image, self.detector_px, "image")
        return self._model.detect(image)

    def encode(self, picture: Image) -> ReferenceFeatures:
        """Features of a key frame, uint8 [frame_px, frame_px, 3] RGB. They fit this loaded model alone.

        Raises:
            ValueError: wrong shape or type.
        """
        _check(picture, self.frame_px, "picture")
        return self._model.encode(picture)

    def rebuild(self, features: ReferenceFeatures, reference: MotionParameters, driving: MotionParameters) -> Image:
        """The frame that `driving` describes: uint8 [frame_px, frame_px, 3] RGB.

        `reference` are the parameters of the key frame that `features` came from, as its packet carried them.
        """
        return self._model.rebuild(features, reference, driving)

    def rebuild_batch(self, requests: Sequence[RebuildRequest]) -> list[Image]:
        """Frames of several streams, in the order of the requests: a GPU runs them in one launch."""
        return self._model.rebuild_batch(requests)

    def flow(self, features: ReferenceFeatures, reference: MotionParameters, driving: MotionParameters) -> Array:
        """Where `rebuild` takes each pixel from, minus where it is: float32 [2, 64, 64], x and y in [-1, 1] units."""
        return self._model.flow(features, reference, driving)

    @property
    def refines(self) -> bool:
        """Whether a refiner was loaded: the model has one, and `parts` named it."""
        return self._model.refines

    def refine(self, earlier: Image, later: Image, weight: float) -> Image:
        """The frame of a moment, painted from two pictures that were moved to it: uint8 [frame_px, frame_px, 3] RGB.

        `earlier`, `later`: uint8 of that size. `weight`: share of the later one, 0 to 1. A picture of that very moment
        is given as both, with 0.

        Raises:
            ValueError: wrong shape or type, a weight out of range, or no refiner was loaded (see `refines`).
        """
        _check(earlier, self.frame_px, "earlier")
        _check(later, self.frame_px, "later")
        if not 0 <= weight <= 1:
            raise ValueError(f"weight: got {weight}, expected the share of the later picture, 0 to 1")
        return self._model.refine(earlier, later, weight)

    def close(self) -> None:
        """Free what the engine holds; the model cannot be used any more. Twice is once."""
        self._model.close()


def model_parts(bundle: ModelBundle) -> tuple[Part, ...]:
    """All parts of a model that engines load: its graphs."""
    return (*PARTS, "refiner") if bundle.has("refiner") else PARTS


def _check(image: Image, size: int, name: str) -> None:
    if image.shape != (size, size, 3) or image.dtype != np.uint8:
        raise ValueError(f"{name}: got {image.dtype} {image.shape}, expected uint8 ({size}, {size}, 3) RGB")


def _load_graphs(
    bundle: ModelBundle,
    engine: EngineName,
    device: str | None,
    threads: int | None,
    streams: int | None,
    parts: Sequence[Part],
    adapter: Adapter | None,
) -> GraphModel:
    """The graphs on a processor, or on any device or provider that takes and returns arrays."""

    def load(part: Part) -> GraphRunner:
        path, content = bundle.path(part), adapted_graph(bundle, part, adapter)
        if engine == "openvino":
            try:
                from adasr_core.engines.openvino_runner import OpenVinoRunner
            except ImportError as error:
                raise EngineError(
                    f"OpenVINO cannot be imported ({error}); pip install openvino, or use onnxruntime"
                ) from error
            return OpenVinoRunner(
                path,
                device=device or "CPU",
                threads=threads,
                streams=streams,
                reduced=part in REDUCED_PARTS,
                picture=part in _PICTURE_OUTPUT,
                pictures_in=_PICTURE_INPUTS.get(part, ()),
                content=content,
            )
        try:
            from adasr_core.engines.onnxruntime_runner import CPU_PROVIDER, OnnxRuntimeRunner
        except ImportError as error:
            raise EngineError(f"ONNX Runtime cannot be imported ({error}); pip install onnxruntime") from error
        return OnnxRuntimeRunner(
            path,
            provider=device or CPU_PROVIDER,
            threads=threads,
            streams=streams,
            picture=part in _PICTURE_OUTPUT,
            pictures_in=_PICTURE_INPUTS.get(part, ()),
            content=content,
        )

    runners = {part: load(part) for part in parts}
    shown = runners.get("generator", next(iter(runners.values())))
    # An int8 graph says so in the manifest; the runner knows only what the rest of it is computed in.
    int8 = "generator" in runners and bundle.manifest.precision("generator") == "int8"
    precision = "int8" if int8 else shown.precision
    return GraphModel(runners, EngineDescription(engine, shown.device, precision, threads))
