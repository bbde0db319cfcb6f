"""Run exported networks: OpenVINO (default on CPUs), ONNX Runtime (any provider), TensorRT. No torch here."""

from adasr_core.engines.device_model import (
    PARTS,
    Detection,
    DeviceModel,
    EngineDescription,
    Part,
    RebuildRequest,
    ReferenceFeatures,
)
from adasr_core.engines.face_model import FaceModel
from adasr_core.engines.runner import ENGINES, EngineError, EngineName, GraphRunner

__all__ = [
    "ENGINES",
    "PARTS",
    "Detection",
    "DeviceModel",
    "EngineDescription",
    "EngineError",
    "EngineName",
    "FaceModel",
    "GraphRunner",
    "Part",
    "RebuildRequest",
    "ReferenceFeatures",
]
