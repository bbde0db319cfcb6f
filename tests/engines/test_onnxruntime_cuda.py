"""The bound engine on ONNX Runtime's processor provider: same frames, slots that come back, plain errors."""

import gc

import numpy as np
import onnx
import onnxruntime
import pytest

from adasr.sample_pictures import sample_pictures
from adasr_core.bound_graph import FEATURES, RUNTIME_DOMAIN, bound_frame_graph, pack_parameters
from adasr_core.bundle import open_bundle
from adasr_core.engines import EngineError, FaceModel, RebuildRequest
from adasr_core.engines.bound_session import CPU_PROVIDER, CUDA_PROVIDER, BoundDevice, BoundSession, plain_errors
from adasr_core.engines.device_model import PARTS, Image
from adasr_core.engines.onnxruntime_cuda import OnnxRuntimeCudaModel, SlotFeatures
from adasr_core.engines.runner import gpu_number
from adasr_core.fused_graph import frame_graph
from adasr_core.geometry import MotionParameters, SquareCrop, extract_crop
from tests.adapters import random_adapter

BUNDLE = open_bundle("edge")
PICTURES = sample_pictures(4)
ON_PROCESSOR = BoundDevice(provider=CPU_PROVIDER, threads=1)


@pytest.fixture(scope="module")
def plain() -> FaceModel:
    return FaceModel.load(BUNDLE, engine="onnxruntime", threads=1)


@pytest.fixture(scope="module")
def engine() -> OnnxRuntimeCudaModel:
    return OnnxRuntimeCudaModel(BUNDLE, ON_PROCESSOR, PARTS, None)


@pytest.fixture(scope="module")
def bound(engine: OnnxRuntimeCudaModel) -> FaceModel:
    return FaceModel(BUNDLE, engine)


def small(picture: Image) -> Image:
    return extract_crop(picture, SquareCrop.whole(picture), BUNDLE.manifest.detector_px)


@pytest.fixture(scope="module")
def motions(plain: FaceModel) -> list[MotionParameters]:
    return [plain.detect(small(picture)).parameters for picture in PICTURES]


def test_it_sees_and_rebuilds_the_same(plain: FaceModel, bound: FaceModel, motions: list[MotionParameters]) -> None:
    found = bound.detect(small(PICTURES[2]))
    np.testing.assert_allclose(found.parameters.keypoints, motions[2].keypoints, atol=1e-5)
    expected = plain.rebuild(plain.encode(PICTURES[0]), motions[0], motions[3])
    features = bound.encode(PICTURES[0])
    frame = bound.rebuild(features, motions[0], motions[3])
    assert np.abs(frame.astype(int) - expected.astype(int)).max() <= 1
    np.testing.assert_allclose(
        bound.flow(features, motions[0], motions[3]),
        plain.flow(plain.encode(PICTURES[0]), motions[0], motions[3]),
        atol=1e-5,
    )


def test_a_frame_is_the_callers_and_no_later_one_changes_it(bound: FaceModel, motions: list[MotionParameters]) -> None:
    features = bound.encode(PICTURES[0])
    first = bound.rebuild(features, motions[0], motions[1])
    kept = first.copy()
    second = bound.rebuild(features, motions[0], motions[3])
    np.testing.assert_array_equal(first, kept)
    assert np.abs(second.astype(int) - kept.astype(int)).max() > 3


def test_key_frames_do_not_overwrite_each_other(bound: FaceModel, motions: list[MotionParameters]) -> None:
    first = bound.encode(PICTURES[0])
    alone = bound.rebuild(first, motions[0], motions[1])
    second = bound.encode(np.ascontiguousarray(PICTURES[1][::-1]))
    np.testing.assert_array_equal(bound.rebuild(first, motions[0], motions[1]), alone)
    assert np.abs(bound.rebuild(second, motions[0], motions[1]).astype(int) - alone.astype(int)).mean() > 5


def test_a_batch_gives_each_stream_its_own_frame(bound: FaceModel, motions: list[MotionParameters]) -> None:
    first, second = bound.encode(PICTURES[0]), bound.encode(np.ascontiguousarray(PICTURES[2][:, ::-1]))
    for streams in ((first, second, first), (second, first, first)):
        requests = [
            RebuildRequest(features, motions[0], driving)
            for features, driving in zip(streams, motions[1:], strict=True)
        ]
        for frame, request in zip(bound.rebuild_batch(requests), requests, strict=True):
            alone = bound.rebuild(request.features, request.reference, request.driving)
            assert np.abs(frame.astype(int) - alone.astype(int)).max() <= 1
    assert bound.rebuild_batch([]) == []


def test_slots_come_back_and_nothing_is_allocated_for_a_later_key_frame() -> None:
    engine = OnnxRuntimeCudaModel(BUNDLE, ON_PROCESSOR, ("encoder",), None)
    held = [engine.encode(PICTURES[0]), engine.encode(PICTURES[1])]
    numbers = {features.slot.number for features in held if features.slot is not None}
    assert numbers == {1, 2}
    held[0].close()
    held[0].close()
    del held
    gc.collect()
    again = [engine.encode(PICTURES[2]), engine.encode(PICTURES[3])]
    assert {features.slot.number for features in again if features.slot is not None} == numbers


def test_closed_and_foreign_features_are_refused(
    plain: FaceModel, bound: FaceModel, motions: list[MotionParameters]
) -> None:
    features = bound.encode(PICTURES[0])
    assert isinstance(features, SlotFeatures)
    features.close()
    with pytest.raises(ValueError, match="were closed"):
        bound.rebuild(features, motions[0], motions[1])
    with pytest.raises(ValueError, match="HostFeatures of another engine"):
        bound.rebuild(plain.encode(PICTURES[0]), motions[0], motions[1])


def test_only_the_parts_asked_for_are_loaded(motions: list[MotionParameters]) -> None:
    sender = OnnxRuntimeCudaModel(BUNDLE, ON_PROCESSOR, ("detector",), None)
    assert sender.detect(small(PICTURES[0])).confidence.shape == (BUNDLE.manifest.keypoints,)
    with pytest.raises(ValueError, match="encoder: was not loaded"):
        sender.encode(PICTURES[0])


def test_an_adapter_changes_the_picture_as_it_does_on_other_engines(motions: list[MotionParameters]) -> None:
    adapter = random_adapter(BUNDLE, strength=1.0)
    plain = FaceModel.load(BUNDLE, engine="onnxruntime", threads=1, adapter=adapter)
    bound = FaceModel(BUNDLE, OnnxRuntimeCudaModel(BUNDLE, ON_PROCESSOR, PARTS, adapter))
    frames = [m.rebuild(m.encode(PICTURES[0]), motions[0], motions[3]).astype(int) for m in (plain, bound)]
    assert np.abs(frames[0] - frames[1]).max() <= 1


@pytest.mark.skipif(CUDA_PROVIDER in onnxruntime.get_available_providers(), reason="this build has CUDA")
def test_without_cuda_it_says_what_to_install() -> None:
    with pytest.raises(EngineError, match=r"pip uninstall onnxruntime, then pip install 'adasr\[gpu\]'"):
        FaceModel.load(BUNDLE, engine="onnxruntime-cuda")


def test_a_gpu_is_named_by_its_number() -> None:
    assert (gpu_number(None), gpu_number("3")) == (0, 3)
    with pytest.raises(EngineError, match="expected the number of an NVIDIA GPU"):
        gpu_number("CUDAExecutionProvider")


class _RuntimeError(Exception):
    """Looks like ONNX Runtime's own: it knows them by their module alone."""


_RuntimeError.__module__ = "onnxruntime.capi.onnxruntime_pybind11_state"


def test_a_full_memory_is_told_from_other_errors() -> None:
    with pytest.raises(EngineError, match="rebuild fewer frames at once"), plain_errors("run frame"):
        raise _RuntimeError("BFCArena: Failed to allocate memory for requested buffer of size 8388608")
    with pytest.raises(EngineError, match="adasr doctor"), plain_errors("run frame"):
        raise _RuntimeError("CUDA failure 700: an illegal memory access was encountered")
    with pytest.raises(KeyError), plain_errors("run frame"):
        raise KeyError("our own mistakes keep their type")
    with pytest.raises(EngineError, match="cannot load generator"):
        BoundSession(b"no graph", "generator", ON_PROCESSOR)


def test_a_graph_that_is_no_frame_graph_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected .*keypoints_driving"):
        bound_frame_graph(BUNDLE.path("encoder").read_bytes())


def test_the_frame_graph_samples_with_the_kernel_that_every_cuda_build_has() -> None:
    graph = frame_graph(BUNDLE.path("motion").read_bytes(), BUNDLE.path("generator").read_bytes(), batch=2)
    model = onnx.load_from_string(bound_frame_graph(graph))
    domains = {node.domain for node in model.graph.node if node.op_type == "GridSample"}
    assert domains == {RUNTIME_DOMAIN}
    streams = {f"{name}_{stream}" for name in FEATURES for stream in range(2)}
    assert {value.name for value in model.graph.input} == {"parameters", *streams}
    # Sizes that are computed while it runs would be computed on the processor.
    assert not [node.name for node in model.graph.node if node.op_type in ("Shape", "NonZero", "Loop", "If")]


def test_parameters_are_packed_in_the_graphs_order(motions: list[MotionParameters]) -> None:
    packed = pack_parameters(motions[0], motions[1])
    K = BUNDLE.manifest.keypoints
    np.testing.assert_array_equal(packed[2 * K : 4 * K].reshape(K, 2), motions[1].keypoints)
    np.testing.assert_array_equal(packed[4 * K : 8 * K].reshape(K, 2, 2), motions[0].jacobians)
