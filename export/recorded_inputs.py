"""Inputs of the frame graph as they occur: key frames and frames of clips, through the model on ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from adasr_core.bundle import ModelBundle
from adasr_core.engines.onnxruntime_runner import OnnxRuntimeRunner
from adasr_core.engines.runner import Array
from export.clip_frames import Image

Inputs = dict[str, npt.NDArray[np.float32]]


def record_inputs(bundle: ModelBundle, pairs: Sequence[tuple[Image, Image]]) -> list[Inputs]:
    """What `adasr_core.fused_graph.frame_graph` (batch 1) reads for pairs (key frame, frame), uint8 [S, S, 3] RGB."""
    detector = OnnxRuntimeRunner(bundle.path("detector"))
    encoder = OnnxRuntimeRunner(bundle.path("encoder"))
    size = bundle.manifest.detector_px
    recorded = []
    for key, frame in pairs:
        picture = _planes(key)
        inputs: Inputs = {"picture": picture, **encoder.run({"picture": picture})}
        for role, image in (("reference", key), ("driving", frame)):
            small = np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA), np.uint8)
            found = detector.run({"image": _planes(small)})
            inputs |= {f"keypoints_{role}": found["keypoints"], f"jacobians_{role}": found["jacobians"]}
        recorded.append(inputs)
    return recorded


def _planes(image: Image) -> Array:
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32) * np.float32(1 / 255)
