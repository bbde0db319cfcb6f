"""The graphs of a model folder, each run by itself, with everything between them in the processor's memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from adasr_core.engines.device_model import (
    Detection,
    EngineDescription,
    Image,
    Part,
    RebuildRequest,
    ReferenceFeatures,
)
from adasr_core.engines.runner import AnyArray, Array, GraphRunner
from adasr_core.geometry import MotionParameters


@dataclass(frozen=True, slots=True)
class HostFeatures(ReferenceFeatures):
    """What the encoder drew from a key frame, with the key frame itself. Float32, batch 1, channels first."""

    picture: Array
    features: Array
    detail: Array
    context: Array


class GraphModel:
    """A `DeviceModel` of graphs that each return their outputs: OpenVINO and ONNX Runtime on processors."""

    def __init__(self, runners: Mapping[Part, GraphRunner], description: EngineDescription) -> None:
        """Join loaded graphs; a part that is not there cannot be run."""
        self._runners = dict(runners)
        self._description = description

    def describe(self) -> EngineDescription:
        """See `DeviceModel`."""
        return self._description

    def detect(self, image: Image) -> Detection:
        """See `DeviceModel`."""
        out = self._runner("detector").run({"image": _planes(image)})
        parameters = MotionParameters.create(out["keypoints"][0], out["jacobians"][0])
        return Detection(parameters, out["confidence"][0])

    def encode(self, picture: Image) -> HostFeatures:
        """See `DeviceModel`."""
        planes = _planes(picture)
        out = self._runner("encoder").run({"picture": planes})
        return HostFeatures(planes, out["features"], out["detail"], out["context"])

    def rebuild(self, features: ReferenceFeatures, reference: MotionParameters, driving: MotionParameters) -> Image:
        """See `DeviceModel`."""
        kept = _host(features)
        field = self._field(kept, reference, driving)
        out = self._runner("generator").run(
            {
                "picture": kept.picture,
                "features": kept.features,
                "detail": kept.detail,
                "flow": field["flow"],
                "occlusion": field["occlusion"],
            }
        )
        frame: Image = out["frame"][0]
        return frame

    def rebuild_batch(self, requests: Sequence[RebuildRequest]) -> list[Image]:
        """One after the other: a processor has nothing to gain from a batch of these graphs."""
        return [self.rebuild(request.features, request.reference, request.driving) for request in requests]

    def flow(self, features: ReferenceFeatures, reference: MotionParameters, driving: MotionParameters) -> Array:
        """See `DeviceModel`."""
        # The engine may use the memory again for the next frame.
        flow: Array = self._field(_host(features), reference, driving)["flow"][0].copy()
        return flow

    @property
    def refines(self) -> bool:
        """See `DeviceModel`."""
        return "refiner" in self._runners

    def refine(self, earlier: Image, later: Image, weight: float) -> Image:
        """See `DeviceModel`; the engine takes the bytes."""
        share = np.full((1, 1, 1, 1), weight, np.float32)
        out = self._runner("refiner").run({"earlier": earlier[None], "later": later[None], "weight": share})
        frame: Image = out["frame"][0]
        return frame

    def close(self) -> None:
        """Forget the graphs."""
        self._runners.clear()

    def _field(
        self, features: HostFeatures, reference: MotionParameters, driving: MotionParameters
    ) -> dict[str, AnyArray]:
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
            raise not_loaded(part)
        return self._runners[part]


def not_loaded(part: Part) -> ValueError:
    """The error of a part that `FaceModel.load` was not asked for, or that was closed."""
    return ValueError(f"{part}: was not loaded; name it in FaceModel.load(parts=...)")


def _host(features: ReferenceFeatures) -> HostFeatures:
    if not isinstance(features, HostFeatures):
        raise ValueError(f"features: got {type(features).__name__} of another engine; encode the key frame again")
    return features


def _planes(image: Image) -> Array:
    height, width, _ = image.shape
    planes = np.empty((1, 3, height, width), np.float32)
    np.multiply(image.transpose(2, 0, 1), np.float32(1 / 255), out=planes[0])
    return planes
