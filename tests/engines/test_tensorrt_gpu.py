"""TensorRT on a real GPU: build, check, load, batch. Skipped everywhere else; docs/deployment.md says where it ran."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from adasr.sample import sample_clip_path
from adasr_core.bundle import open_bundle
from adasr_core.engines import FaceModel
from adasr_core.engines.device_model import RebuildRequest
from export.build_engine import main
from export.clip_frames import frame_pairs

pytestmark = [pytest.mark.gpu, pytest.mark.slow]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "int8"])
def test_engines_build_and_are_alike(precision: str, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt", reason="TensorRT is not installed")
    command = [
        "--model",
        "edge",
        "--out",
        str(tmp_path),
        "--precision",
        precision,
        "--batch",
        "1",
        "4",
        "--effort",
        "1",
    ]
    assert main([*command, "--check", "--clips", str(sample_clip_path())]) == 0
    bundle = open_bundle("edge")
    model = FaceModel.load(bundle, engine="tensorrt", engine_folder=tmp_path)
    (key, frame), *_ = frame_pairs([sample_clip_path()], 512, per_clip=1)
    reference = FaceModel.load(bundle, engine="onnxruntime")
    small = [np.ascontiguousarray(image[::2, ::2]) for image in (key, frame)]
    own, driving = (reference.detect(image).parameters for image in small)
    requests = [RebuildRequest(model.encode(picture), own, driving) for picture in (key, key[:, ::-1].copy(), key)]
    batched = model.rebuild_batch(requests)
    alone = [model.rebuild(r.features, r.reference, r.driving) for r in requests]
    for one, other in zip(batched, alone, strict=True):
        assert np.abs(one.astype(int) - other).mean() < 1
    assert np.abs(batched[0].astype(int) - batched[1]).mean() > 5
    model.close()
