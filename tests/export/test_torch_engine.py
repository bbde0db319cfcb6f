"""The torch engine on a processor: the same frames as the exported graphs, alone and in batches."""

from pathlib import Path

import numpy as np
import pytest
import torch

from adasr.sample_pictures import sample_pictures
from adasr_core.bundle import open_bundle
from adasr_core.engines import EngineError, FaceModel, RebuildRequest
from adasr_core.engines.device_model import Image
from adasr_core.geometry import MotionParameters, SquareCrop, extract_crop
from adasr_core.networks import PRESETS, FaceCodecNetworks
from export.export_model import WEIGHTS
from export.torch_engine import TorchEngineConfig, TorchModel
from export.torch_launch import FrameShapes

BUNDLE = open_bundle("edge")
PICTURES = sample_pictures(4)


def torch_model(**options: bool) -> FaceModel:
    config = TorchEngineConfig(threads=1, **options)  # type: ignore[arg-type]
    return FaceModel(BUNDLE, TorchModel.load(BUNDLE.folder / WEIGHTS, config))


def small(picture: Image) -> Image:
    return extract_crop(picture, SquareCrop.whole(picture), BUNDLE.manifest.detector_px)


@pytest.fixture(scope="module")
def exported() -> FaceModel:
    return FaceModel.load(BUNDLE, engine="onnxruntime", threads=1)


@pytest.fixture(scope="module")
def plain() -> FaceModel:
    return torch_model()


@pytest.fixture(scope="module")
def motions(exported: FaceModel) -> list[MotionParameters]:
    return [exported.detect(small(picture)).parameters for picture in PICTURES]


def test_it_sees_the_same_face(exported: FaceModel, plain: FaceModel) -> None:
    expected, found = exported.detect(small(PICTURES[1])), plain.detect(small(PICTURES[1]))
    np.testing.assert_allclose(found.parameters.keypoints, expected.parameters.keypoints, atol=5e-4)
    np.testing.assert_allclose(found.parameters.jacobians, expected.parameters.jacobians, atol=2e-3)
    np.testing.assert_allclose(found.confidence, expected.confidence, atol=2e-3)


def test_it_rebuilds_the_same_frame(exported: FaceModel, plain: FaceModel, motions: list[MotionParameters]) -> None:
    frames = [model.rebuild(model.encode(PICTURES[0]), motions[0], motions[3]) for model in (exported, plain)]
    assert frames[1].dtype == np.uint8
    assert frames[1].shape == (512, 512, 3)
    difference = np.abs(frames[0].astype(int) - frames[1].astype(int))
    assert difference.max() <= 2
    assert (difference > 0).mean() < 0.02, "rounding at half a level, and nothing else"
    assert np.abs(frames[1].astype(int) - PICTURES[0].astype(int)).mean() > 0.5, "a moved face is not the key frame"


def test_the_flow_is_the_same(exported: FaceModel, plain: FaceModel, motions: list[MotionParameters]) -> None:
    flows = [model.flow(model.encode(PICTURES[0]), motions[0], motions[3]) for model in (exported, plain)]
    np.testing.assert_allclose(flows[1], flows[0], atol=5e-4)
    assert np.abs(flows[0]).max() > 0.01


def test_a_batch_of_streams_gives_each_its_own_frame(plain: FaceModel, motions: list[MotionParameters]) -> None:
    first, second = plain.encode(PICTURES[0]), plain.encode(np.ascontiguousarray(PICTURES[2][:, ::-1]))
    requests = [
        RebuildRequest(first, motions[0], motions[1]),
        RebuildRequest(second, motions[2], motions[3]),
        RebuildRequest(first, motions[0], motions[2]),
    ]
    frames = plain.rebuild_batch(requests)
    assert len(frames) == 3
    for frame, request in zip(frames, requests, strict=True):
        alone = plain.rebuild(request.features, request.reference, request.driving)
        assert np.abs(frame.astype(int) - alone.astype(int)).max() <= 1
    assert np.abs(frames[0].astype(int) - frames[1].astype(int)).mean() > 5
    assert plain.rebuild_batch([]) == []


def test_bfloat16_keeps_the_picture(exported: FaceModel, motions: list[MotionParameters]) -> None:
    model = torch_model(bfloat16=True)
    assert model.describe().precision == "bf16"
    frames = [m.rebuild(m.encode(PICTURES[0]), motions[0], motions[3]).astype(float) for m in (exported, model)]
    error = float(np.mean((frames[0] - frames[1]) ** 2))
    assert error > 0
    assert 10 * np.log10(255**2 / error) > 38


def test_a_model_describes_what_it_runs_on(plain: FaceModel) -> None:
    description = plain.describe()
    assert (description.engine, description.device, description.precision) == ("torch-cpu", "CPU", "f32")


def test_features_of_another_engine_are_refused(
    exported: FaceModel, plain: FaceModel, motions: list[MotionParameters]
) -> None:
    with pytest.raises(ValueError, match="KeptFeatures of another engine"):
        exported.rebuild(plain.encode(PICTURES[0]), motions[0], motions[1])
    with pytest.raises(ValueError, match="HostFeatures of another engine"):
        plain.rebuild(exported.encode(PICTURES[0]), motions[0], motions[1])


def test_a_missing_gpu_and_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"weights.safetensors is not there"):
        TorchModel.load(tmp_path / WEIGHTS, TorchEngineConfig())
    with pytest.raises(ValueError, match="captured"):
        TorchEngineConfig(captured=True)
    if not torch.cuda.is_available():
        networks = FaceCodecNetworks(PRESETS["edge"])
        with pytest.raises(EngineError, match="sees no NVIDIA GPU"):
            TorchModel(networks, TorchEngineConfig.for_gpu())


def test_shapes_follow_the_preset() -> None:
    base = FrameShapes.of(PRESETS["base"], torch.bfloat16)
    assert (base.feature_channels, base.detail_channels, base.context_channels) == (128, 32, 32)
