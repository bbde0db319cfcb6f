"""The four graphs of a model folder as one object: detect, encode a key frame, rebuild a frame.

              once per key frame                 every frame
picture --> encoder --> ReferenceFeatures --+--> motion --> generator --> frame
image   --> detector --> parameters --------+
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from adasr_core.adapter import Adapter
from adasr_core.bundle import ModelBundle
from adasr_core.engines.runner import ENGINES, Array, EngineError, EngineName, GraphRunner
from adasr_core.geometry import MotionParameters
from adasr_core.graph_weights import read_weights, replace_weights

Image = npt.NDArray[np.uint8]
Part = Literal["detector", "encoder", "motion", "generator"]
PARTS: tuple[Part, ...] = ("detector", "encoder", "motion", "generator")
# Coordinates need float32: bfloat16 has 8 bits, a pixel or two of 512. Features and colours do not.
REDUCED_PARTS: frozenset[Part] = frozenset({"encoder", "generator"})


@dataclass(frozen=True, slots=True)
class Detection:
    """parameters: in the crop's coordinates. confidence: float32 [K] in 0..1, near 0 without a face."""

    parameters: MotionParameters
    confidence: Array


@dataclass(frozen=True, slots=True)
class ReferenceFeatures:
    """Everything the decoder keeps of a key frame; made once by `FaceModel.encode`. Float32, batch 1."""

    picture: Array
    features: Array
    detail: Array
    context: Array


@dataclass(frozen=True, slots=True)
class EngineDescription:
    """engine: its name. device: device or provider. precision: of the generator. threads: None for all cores."""

    engine: str
    device: str
    precision: str
    threads: int | None


class FaceModel:
    """A loaded model. Not for use by two threads at once; load one for each."""

    def __init__(self, bundle: ModelBundle, runners: dict[Part, GraphRunner], description: EngineDescription) -> None:
        """Join loaded graphs; see `load`."""
        self.bundle = bundle
        self._runners = runners
        self._description = description
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
        parts: Sequence[Part] = PARTS,
        adapter: Adapter | None = None,
    ) -> FaceModel:
        """Load the graphs named in `parts`.

        `device` is an OpenVINO device ("CPU", "GPU") or an ONNX Runtime provider ("CUDAExecutionProvider"); None is
        the CPU. `adapter` fits the decoder to the person that it will show; the detector stays as it is.

        Raises:
            EngineError: the engine or device is not there.
            AdapterError: the adapter was made for another model.
        """
        load_graph = _loader(engine, device, threads)
        if adapter is not None:
            adapter.check_model(bundle)
        runners: dict[Part, GraphRunner] = {
            part: load_graph(part, bundle.path(part), adapted_graph(bundle, part, adapter)) for part in parts
        }
        shown = runners.get("generator", next(iter(runners.values())))
        return cls(bundle, runners, EngineDescription(engine, shown.device, shown.precision, threads))

    def describe(self) -> EngineDescription:
        """What the model really runs on."""
        return self._description

    def detect(self, image: Image) -> Detection:
        """Keypoints of `image`, uint8 [detector_px, detector_px, 3] RGB.

        Raises:
            ValueError: wrong shape or type.
        """
        out = self._runner("detector").run({"image": _planes(image, self.detector_px, "image")})
        parameters = MotionParameters.create(out["keypoints"][0], out["jacobians"][0])
        return Detection(parameters, out["confidence"][0])

    def encode(self, picture: Image) -> ReferenceFeatures:
        """Features of a key frame, uint8 [frame_px, frame_px, 3] RGB.

        Raises:
            ValueError: wrong shape or type.
        """
        planes = _planes(picture, self.frame_px, "picture")
        out = self._runner("encoder").run({"picture": planes})
        return ReferenceFeatures(planes, out["features"], out["detail"], out["context"])

    def rebuild(self, features: ReferenceFeatures, reference: MotionParameters, driving: MotionParameters) -> Image:
        """The frame that `driving` describes: uint8 [frame_px, frame_px, 3] RGB.

        `reference` are the parameters of the key frame that `features` came from, as its packet carried them.
        """
        field = self._field(features, reference, driving)
        out = self._runner("generator").run(
            {
                "picture": features.picture,
                "features": features.features,
                "detail": features.detail,
                "flow": field["flow"],
                "occlusion": field["occlusion"],
            }
        )
        frame: Image = out["frame"][0]
        return frame

    def flow(self, features: ReferenceFeatures, reference: MotionParameters, driving: MotionParameters) -> Array:
        """Where `rebuild` takes each pixel from, minus where it is: float32 [2, 64, 64], x and y in [-1, 1] units."""
        # The engine may use the memory again for the next frame.
        flow: Array = self._field(features, reference, driving)["flow"][0].copy()
        return flow

    def _field(
        self, features: ReferenceFeatures, reference: MotionParameters, driving: MotionParameters
    ) -> dict[str, Array]:
        return self._runner("motion").run(
            {
                "context": features.context,
                "keypoints_reference": reference.keypoints[None],
                "jacobians_reference": reference.jacobians[None],
                "keypoints_driving": driving.keypoints[None],
                "jacobians_driving": driving.jacobians[None],
            }
        )

    def _runner(self, part: Part) -> GraphRunner:
        if part not in self._runners:
            raise ValueError(f"{part}: was not loaded; name it in FaceModel.load(parts=...)")
        return self._runners[part]


def _planes(image: Image, size: int, name: str) -> Array:
    if image.shape != (size, size, 3) or image.dtype != np.uint8:
        raise ValueError(f"{name}: got {image.dtype} {image.shape}, expected uint8 ({size}, {size}, 3) RGB")
    planes = np.empty((1, 3, size, size), np.float32)
    np.multiply(image.transpose(2, 0, 1), np.float32(1 / 255), out=planes[0])
    return planes


def adapted_graph(bundle: ModelBundle, part: Part, adapter: Adapter | None) -> bytes | None:
    """A graph with an adapter's weights, as the bytes of an ONNX file; None where the file is to be used as it is.

    Raises:
        AdapterError: a weight of the adapter does not fit the graph.
    """
    if adapter is None or part == "detector":
        return None
    model = bundle.path(part).read_bytes()
    changed = adapter.merge(part, read_weights(model))
    return replace_weights(model, changed) if changed else None


def _loader(
    engine: EngineName, device: str | None, threads: int | None
) -> Callable[[Part, Path, bytes | None], GraphRunner]:
    if engine == "openvino":
        try:
            from adasr_core.engines.openvino_runner import OpenVinoRunner
        except ImportError as error:
            raise EngineError(
                f"OpenVINO cannot be imported ({error}); pip install openvino, or use onnxruntime"
            ) from error
        return lambda part, path, content: OpenVinoRunner(
            path,
            device=device or "CPU",
            threads=threads,
            reduced=part in REDUCED_PARTS,
            picture=part == "generator",
            content=content,
        )
    if engine == "onnxruntime":
        try:
            from adasr_core.engines.onnxruntime_runner import CPU_PROVIDER, OnnxRuntimeRunner
        except ImportError as error:
            raise EngineError(f"ONNX Runtime cannot be imported ({error}); pip install onnxruntime") from error
        return lambda part, path, content: OnnxRuntimeRunner(
            path, provider=device or CPU_PROVIDER, threads=threads, picture=part == "generator", content=content
        )
    raise EngineError(f"engine: got {engine!r}, expected one of {', '.join(ENGINES)}")
