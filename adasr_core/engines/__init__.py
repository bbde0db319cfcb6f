"""Run exported networks: OpenVINO (default on CPUs) or ONNX Runtime (any provider). No torch here."""

from adasr_core.engines.face_model import Detection, EngineDescription, FaceModel, ReferenceFeatures
from adasr_core.engines.runner import ENGINES, EngineError, EngineName, GraphRunner

__all__ = [
    "ENGINES",
    "Detection",
    "EngineDescription",
    "EngineError",
    "EngineName",
    "FaceModel",
    "GraphRunner",
    "ReferenceFeatures",
]
