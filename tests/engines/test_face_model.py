"""The shipped model on both engines."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from skimage import data

from adasr_core.bundle import ModelBundle, open_bundle
from adasr_core.engines import EngineError, EngineName, FaceModel, RebuildRequest
from adasr_core.engines.graph_model import HostFeatures
from adasr_core.engines.openvino_runner import OpenVinoRunner
from adasr_core.geometry import SquareCrop, extract_crop

PORTRAIT = extract_crop(np.ascontiguousarray(data.astronaut()), SquareCrop(224.0, 110.0, 200.0), 512)


@pytest.fixture(scope="module")
def models() -> dict[str, FaceModel]:
    bundle = open_bundle("edge")
    return {"openvino": FaceModel.load(bundle), "onnxruntime": FaceModel.load(bundle, engine="onnxruntime")}


def test_both_engines_see_the_same_face(models: dict[str, FaceModel]) -> None:
    small = extract_crop(PORTRAIT, SquareCrop.whole(PORTRAIT), 256)
    found = {name: model.detect(small) for name, model in models.items()}
    a, b = found["openvino"], found["onnxruntime"]
    np.testing.assert_allclose(a.parameters.keypoints, b.parameters.keypoints, atol=1e-3)
    np.testing.assert_allclose(a.parameters.jacobians, b.parameters.jacobians, atol=1e-2)
    assert a.confidence[:34].mean() > 0.3


def test_both_engines_rebuild_the_same_frame(models: dict[str, FaceModel]) -> None:
    small = extract_crop(PORTRAIT, SquareCrop.whole(PORTRAIT), 256)
    frames = []
    for model in models.values():
        own = model.detect(small).parameters
        moved = type(own).create(own.keypoints + 0.02, own.jacobians)
        frames.append(model.rebuild(model.encode(PORTRAIT), own, moved).astype(np.float32))
    error = np.mean((frames[0] - frames[1]) ** 2)
    assert 10 * np.log10(255**2 / error) > 38
    assert np.abs(frames[0] - PORTRAIT).mean() > 1, "a moved face must not be the key frame"


def test_rebuild_without_motion_shows_the_key_frame(models: dict[str, FaceModel]) -> None:
    model = models["openvino"]
    own = model.detect(extract_crop(PORTRAIT, SquareCrop.whole(PORTRAIT), 256)).parameters
    frame = model.rebuild(model.encode(PORTRAIT), own, own)
    assert frame.dtype == np.uint8
    assert frame.shape == (512, 512, 3)
    error = np.mean((frame.astype(np.float32) - PORTRAIT) ** 2)
    assert 10 * np.log10(255**2 / error) > 25


def test_inputs_that_are_not_in_one_piece_are_read_right(models: dict[str, FaceModel]) -> None:
    """An engine borrows memory; a strided picture must not be read after it is gone."""
    model = models["openvino"]
    small = extract_crop(PORTRAIT, SquareCrop.whole(PORTRAIT), 256)
    strided = np.ascontiguousarray(small[:, ::-1])[:, ::-1]
    a, b = model.detect(small), model.detect(strided)
    np.testing.assert_array_equal(a.parameters.keypoints, b.parameters.keypoints)
    runner = OpenVinoRunner(model.bundle.path("motion"))
    reference = a.parameters
    encoded = model.encode(PORTRAIT)
    assert isinstance(encoded, HostFeatures)
    straight = {
        "context": encoded.context,
        "keypoints_reference": reference.keypoints[None],
        "jacobians_reference": reference.jacobians[None],
        "keypoints_driving": reference.keypoints[None] + np.float32(0.05),
        "jacobians_driving": reference.jacobians[None],
    }
    crooked = {k: np.asfortranarray(v.repeat(2, axis=-1))[..., ::2] for k, v in straight.items()}
    np.testing.assert_array_equal(runner.run(straight)["flow"], runner.run(crooked)["flow"])


def test_confidence_tells_a_face_from_none(models: dict[str, FaceModel]) -> None:
    model = models["openvino"]
    face = model.detect(extract_crop(PORTRAIT, SquareCrop.whole(PORTRAIT), 256)).confidence[:34].mean()
    rocket = extract_crop(np.ascontiguousarray(data.rocket()[:400, :400]), SquareCrop(200.0, 200.0, 400.0), 256)
    assert model.detect(rocket).confidence[:34].mean() < 0.5 * face


def test_wrong_pictures_are_refused(models: dict[str, FaceModel]) -> None:
    with pytest.raises(ValueError, match="image: got uint8"):
        models["openvino"].detect(PORTRAIT)
    with pytest.raises(ValueError, match="picture: got float32"):
        models["openvino"].encode(PORTRAIT.astype(np.float32))


def test_engines_that_are_not_there_are_named() -> None:
    bundle = open_bundle("edge")
    with pytest.raises(EngineError, match="TensorrtExecutionProvider"):
        FaceModel.load(bundle, engine="onnxruntime", device="TensorrtExecutionProvider")
    with pytest.raises(EngineError, match="NPU"):
        FaceModel.load(bundle, device="NPU")
    with pytest.raises(EngineError, match="expected one of"):
        FaceModel.load(bundle, engine="caffe")  # type: ignore[arg-type]


def test_parts_that_were_not_loaded_are_named() -> None:
    model = FaceModel.load(open_bundle("edge"), parts=("detector",))
    with pytest.raises(ValueError, match="encoder: was not loaded"):
        model.encode(PORTRAIT)


@pytest.mark.parametrize("engine", ["onnxruntime-cuda", "tensorrt"])
def test_gpu_engines_refuse_graphs_that_were_quantised_for_processors(engine: EngineName) -> None:
    bundle = open_bundle("edge")
    architecture = {**bundle.manifest.architecture, "precision": {"generator": "int8"}}
    quantised = ModelBundle(bundle.folder, dataclasses.replace(bundle.manifest, architecture=architecture))
    with pytest.raises(EngineError, match="its graphs are int8"):
        FaceModel.load(quantised, engine=engine)


def test_a_batch_of_a_processor_is_its_frames_one_by_one(models: dict[str, FaceModel]) -> None:
    model = models["onnxruntime"]
    own = model.detect(extract_crop(PORTRAIT, SquareCrop.whole(PORTRAIT), 256)).parameters
    moved = type(own).create(own.keypoints + 0.02, own.jacobians)
    key = model.encode(PORTRAIT)
    frames = model.rebuild_batch([RebuildRequest(key, own, moved), RebuildRequest(key, own, own)])
    np.testing.assert_array_equal(frames[0], model.rebuild(key, own, moved))
    np.testing.assert_array_equal(frames[1], model.rebuild(key, own, own))
    assert np.abs(frames[0].astype(int) - frames[1].astype(int)).max() > 3


def test_a_closed_model_cannot_be_used() -> None:
    model = FaceModel.load(open_bundle("edge"), engine="onnxruntime", threads=1)
    model.close()
    model.close()
    with pytest.raises(ValueError, match="encoder: was not loaded"):
        model.encode(PORTRAIT)


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_streams_serve_many_threads_with_equal_results(engine: EngineName) -> None:
    bundle = open_bundle("edge")
    one, three = (FaceModel.load(bundle, engine=engine, streams=count) for count in (1, 3))
    assert (one.streams, three.streams) == (1, 3)
    own = one.detect(extract_crop(PORTRAIT, SquareCrop.whole(PORTRAIT), 256)).parameters
    moved = [type(own).create(own.keypoints + shift / 100, own.jacobians) for shift in range(6)]
    features = one.encode(PORTRAIT), three.encode(PORTRAIT)
    # More threads than streams: the others wait.
    with ThreadPoolExecutor(5) as pool:
        together = list(pool.map(lambda driving: three.rebuild(features[1], own, driving), moved))
    for driving, frame in zip(moved, together, strict=True):
        np.testing.assert_array_equal(frame, one.rebuild(features[0], own, driving))


def test_streams_that_make_no_sense_are_refused() -> None:
    bundle = open_bundle("edge")
    with pytest.raises(ValueError, match="streams: got 0"):
        FaceModel.load(bundle, streams=0)
    with pytest.raises(ValueError, match="without threads"):
        FaceModel.load(bundle, streams=2, threads=2)
