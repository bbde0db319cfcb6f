"""Compare a loaded model with ONNX Runtime on frames of clips: the gate behind `--check`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from adasr_core.bundle import ModelBundle
from adasr_core.engines.device_model import RebuildRequest
from adasr_core.engines.face_model import FaceModel
from export.clip_frames import Image

LIMITS = {"keypoints": 5e-4, "jacobians": 2e-3, "confidence": 2e-3, "flow": 5e-4, "levels": 2.0}
"""Largest absolute difference in float32. levels: of 255, of a frame. A keypoint of 0.0005 is an eighth of a pixel."""
REDUCED_FLOW = 5e-3
"""The same for the flow where the encoder runs in half precision: its context steers the motion field."""
REFINED_SHARE = 0.3
"""Share of the later picture in what the refiner is compared on."""
FRAME_PSNR_DB = {"fp16": 45.0, "bf16": 38.0, "int8": 34.0}
"""Least PSNR of a frame against ONNX Runtime's, dB; rebuilds reach some 25 to 30 dB against the camera."""


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One comparison. value: the worst over all pairs. limit: what it must keep. least: whether more is better."""

    output: str
    value: float
    limit: float
    least: bool

    @property
    def ok(self) -> bool:
        """Whether the limit is kept."""
        return self.value >= self.limit if self.least else self.value <= self.limit

    def __str__(self) -> str:
        """One line of the table."""
        bound = "at least" if self.least else "at most"
        return f"{self.output:12s} {self.value:10.4g}  {bound} {self.limit:g}  {'ok' if self.ok else 'FAILED'}"


def check_engines(
    model: FaceModel, bundle: ModelBundle, pairs: Sequence[tuple[Image, Image]], precision: str
) -> list[CheckRow]:
    """Run `model` and ONNX Runtime on pairs (key frame, frame), uint8 [S, S, 3] RGB; the frames one by one and batched.

    `precision`: of the model's encoder and generator: "fp32", "fp16", "bf16" or "int8".

    Where `model` refines, its pictures are compared as frames are.

    Raises:
        ValueError: there are no pairs.
    """
    if not pairs:
        raise ValueError("pairs: got none, expected frames of a clip; name clips with --clips")
    reference = FaceModel.load(bundle, engine="onnxruntime")
    size = bundle.manifest.detector_px
    worst: dict[str, float] = {}
    requests, expected = [], []
    for key, frame in pairs:
        small = [np.asarray(cv2.resize(i, (size, size), interpolation=cv2.INTER_AREA), np.uint8) for i in (key, frame)]
        found, known = ([m.detect(image) for image in small] for m in (model, reference))
        for ours, theirs in zip(found, known, strict=True):
            _keep(worst, "keypoints", _difference(ours.parameters.keypoints, theirs.parameters.keypoints))
            _keep(worst, "jacobians", _difference(ours.parameters.jacobians, theirs.parameters.jacobians))
            _keep(worst, "confidence", _difference(ours.confidence, theirs.confidence))
        motion = (known[0].parameters, known[1].parameters)
        request = RebuildRequest(model.encode(key), *motion)
        theirs_encoded = reference.encode(key)
        _keep(
            worst,
            "flow",
            _difference(model.flow(request.features, *motion), reference.flow(theirs_encoded, *motion)),
        )
        requests.append(request)
        expected.append(reference.rebuild(theirs_encoded, *motion))
    single = [model.rebuild(r.features, r.reference, r.driving) for r in requests]
    frames, expected = [*single, *model.rebuild_batch(requests)], [*expected, *expected]
    if model.refines:
        frames += [model.refine(key, frame, REFINED_SHARE) for key, frame in pairs]
        expected += [reference.refine(key, frame, REFINED_SHARE) for key, frame in pairs]
    for ours_frame, theirs_frame in zip(frames, expected, strict=True):
        error = ours_frame.astype(np.float64) - theirs_frame
        _keep(worst, "levels", float(np.abs(error).max()))
        _keep(worst, "frame_db", -_psnr_db(error))
    rows = [CheckRow(name, value, LIMITS[name], False) for name, value in worst.items() if name in LIMITS]
    if precision != "fp32":
        # Single pixels at an edge may differ by more; what counts is the picture.
        rows = [row for row in rows if row.output not in ("levels", "flow")]
        rows += [
            CheckRow("flow", worst["flow"], REDUCED_FLOW, False),
            CheckRow("frame_db", -worst["frame_db"], FRAME_PSNR_DB[precision], True),
        ]
    return rows


def _keep(worst: dict[str, float], name: str, value: float) -> None:
    # A NaN must not be lost in a comparison.
    worst[name] = max(worst.get(name, -np.inf), np.inf if np.isnan(value) else value)


def _difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(np.asarray(ours, np.float64) - theirs).max())


def _psnr_db(error: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(float((error**2).mean()), 1e-9)))
