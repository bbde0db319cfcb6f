"""The fused graphs compute what the model's four graphs compute, one by one and batched."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest

from adasr_core.bundle import open_bundle
from adasr_core.engines import FaceModel
from adasr_core.fused_graph import detector_graph, encoder_graph, frame_graph
from adasr_core.geometry import MotionParameters
from tests.real_model import portrait

EDGE = open_bundle("edge")
MOTION, GENERATOR = EDGE.path("motion").read_bytes(), EDGE.path("generator").read_bytes()
FEATURES = ("picture", "features", "detail", "context")


def session(content: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run(content: bytes, inputs: dict[str, npt.NDArray[np.generic]]) -> dict[str, npt.NDArray[np.generic]]:
    loaded = session(content)
    names = [output.name for output in loaded.get_outputs()]
    return dict(zip(names, loaded.run(names, inputs), strict=True))


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return FaceModel.load(EDGE, engine="onnxruntime", threads=1)


@pytest.fixture(scope="module")
def motions(model: FaceModel) -> list[MotionParameters]:
    """Of the portrait, and of three poses that it is moved to."""
    small = np.asarray(cv2.resize(portrait(), (256, 256), interpolation=cv2.INTER_AREA), np.uint8)
    own = model.detect(small).parameters
    turns = np.array([[[1.05, 0.1], [-0.1, 0.95]], [[0.9, 0], [0.2, 1]], [[1, -0.2], [0, 1.1]]], np.float32)
    moved = [MotionParameters.create(own.keypoints @ turn + 0.03, own.jacobians @ turn) for turn in turns]
    return [own, *moved]


@pytest.fixture(scope="module")
def features() -> dict[str, npt.NDArray[np.generic]]:
    return run(encoder_graph(EDGE.path("encoder").read_bytes()), {"image": portrait()[None]})


def frame_inputs(
    features: dict[str, npt.NDArray[np.generic]], pairs: list[tuple[MotionParameters, MotionParameters]]
) -> dict[str, npt.NDArray[np.generic]]:
    inputs: dict[str, npt.NDArray[np.generic]] = {name: features[name].repeat(len(pairs), 0) for name in FEATURES}
    for role, index in (("reference", 0), ("driving", 1)):
        inputs[f"keypoints_{role}"] = np.stack([pair[index].keypoints for pair in pairs])
        inputs[f"jacobians_{role}"] = np.stack([pair[index].jacobians for pair in pairs])
    return inputs


def test_a_frame_is_the_models_frame(
    model: FaceModel, motions: list[MotionParameters], features: dict[str, npt.NDArray[np.generic]]
) -> None:
    encoded = model.encode(portrait())
    content = frame_graph(MOTION, GENERATOR)
    for driving in motions:
        out = run(content, frame_inputs(features, [(motions[0], driving)]))
        assert out["frame"].dtype == np.uint8
        assert out["frame"].shape == (1, 512, 512, 3)
        expected = model.rebuild(encoded, motions[0], driving).astype(int)
        assert np.abs(out["frame"][0].astype(int) - expected).max() <= 1
        np.testing.assert_allclose(out["flow"][0], model.flow(encoded, motions[0], driving), atol=1e-5)


def test_a_batch_is_its_frames_one_by_one(
    motions: list[MotionParameters], features: dict[str, npt.NDArray[np.generic]]
) -> None:
    pairs = [(motions[0], motions[1]), (motions[2], motions[0]), (motions[0], motions[3])]
    batched = run(frame_graph(MOTION, GENERATOR, batch=3), frame_inputs(features, pairs))
    single = frame_graph(MOTION, GENERATOR)
    for place, pair in enumerate(pairs):
        alone = run(single, frame_inputs(features, [pair]))
        assert np.abs(batched["frame"][place].astype(int) - alone["frame"][0].astype(int)).max() <= 1
        np.testing.assert_allclose(batched["flow"][place], alone["flow"][0], atol=1e-5)
    assert np.abs(batched["frame"][0].astype(int) - batched["frame"][2]).max() > 20, "three different poses"


def test_encoder_and_detector_take_bytes(model: FaceModel, features: dict[str, npt.NDArray[np.generic]]) -> None:
    np.testing.assert_allclose(features["picture"][0].transpose(1, 2, 0) * 255, portrait(), atol=1e-4)
    small = np.asarray(cv2.resize(portrait(), (256, 256), interpolation=cv2.INTER_AREA), np.uint8)
    out = run(detector_graph(EDGE.path("detector").read_bytes()), {"image": small[None]})
    found = model.detect(small)
    np.testing.assert_allclose(out["keypoints"][0], found.parameters.keypoints, atol=1e-5)
    np.testing.assert_allclose(out["jacobians"][0], found.parameters.jacobians, atol=1e-4)
    np.testing.assert_allclose(out["confidence"][0], found.confidence, atol=1e-5)


def test_bytes_are_cast_at_the_very_edge() -> None:
    """TensorRT takes uint8 as input and output of a network, and nowhere inside."""
    frame = onnx.ModelProto.FromString(frame_graph(MOTION, GENERATOR)).graph
    assert frame.node[-1].op_type == "Cast"
    assert list(frame.node[-1].output) == ["frame"]
    encoder = onnx.ModelProto.FromString(encoder_graph(EDGE.path("encoder").read_bytes())).graph
    assert [node.op_type for node in encoder.node if "image" in node.input] == ["Cast"]


def test_same_graphs_give_the_same_bytes() -> None:
    assert frame_graph(MOTION, GENERATOR, batch=2) == frame_graph(MOTION, GENERATOR, batch=2)


def test_graphs_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match=r"got no \['flow', 'occlusion'\] between them"):
        frame_graph(GENERATOR, MOTION)
    with pytest.raises(ValueError, match="batch: got 0"):
        frame_graph(MOTION, GENERATOR, batch=0)
    with pytest.raises(ValueError, match="expected a graph exported for batch 1"):
        frame_graph(_with_batch_two(MOTION), GENERATOR)
    smaller = onnx.ModelProto.FromString(MOTION)
    next(value for value in smaller.graph.output if value.name == "occlusion").type.tensor_type.shape.dim[
        1
    ].dim_value = 7
    with pytest.raises(ValueError, match="do not fit together"):
        frame_graph(smaller.SerializeToString(), GENERATOR)


def _with_batch_two(content: bytes) -> bytes:
    model = onnx.ModelProto.FromString(content)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    changed: bytes = model.SerializeToString()
    return changed
