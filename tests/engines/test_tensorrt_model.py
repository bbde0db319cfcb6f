"""The TensorRT engine on a simulated GPU: what it binds, copies, captures, batches and refuses.

That NVIDIA's libraries do the same on a real one is shown by tests/engines/test_tensorrt_gpu.py there alone.
"""

from __future__ import annotations

import gc
import json
import shutil
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from adasr_core.adapter import Adapter
from adasr_core.bundle import ModelBundle, open_bundle
from adasr_core.engines import EngineError, FaceModel
from adasr_core.engines.cuda_device import CudaDevice
from adasr_core.engines.device_model import RebuildRequest
from adasr_core.engines.tensorrt_model import engine_folder, load_tensorrt_model
from adasr_core.geometry import MotionParameters
from export.engine_builder import EngineConfig, build_engines
from tests.engines import simulated_cuda, simulated_gpu
from tests.engines.simulated_cuda import SimulatedGpu
from tests.real_model import portrait

EDGE = open_bundle("edge")
Image = npt.NDArray[np.uint8]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> SimulatedGpu:
    return simulated_gpu.install(monkeypatch)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Engines of edge in float32, batches of 1 and 3, built once."""
    folder = tmp_path_factory.mktemp("engines")
    with pytest.MonkeyPatch.context() as patch:
        simulated_gpu.install(patch)
        build_engines(EDGE, folder, EngineConfig(precision="fp32", batches=(3,)), CudaDevice(), report=lambda _: None)
    return folder


@pytest.fixture(scope="module")
def reference() -> FaceModel:
    return FaceModel.load(EDGE, engine="onnxruntime", threads=1)


@pytest.fixture(scope="module")
def small() -> Image:
    return np.asarray(cv2.resize(portrait(), (256, 256), interpolation=cv2.INTER_AREA), np.uint8)


@pytest.fixture(scope="module")
def motions(reference: FaceModel, small: Image) -> list[MotionParameters]:
    own = reference.detect(small).parameters
    return [MotionParameters.create(own.keypoints + 0.02 * n, own.jacobians * (1 + 0.03 * n)) for n in range(5)]


def load(folder: Path, bundle: ModelBundle = EDGE, **options: Any) -> FaceModel:
    return FaceModel.load(bundle, engine="tensorrt", engine_folder=folder, **options)


def assert_alike(got: Image, expected: Image) -> None:
    assert got.shape == expected.shape
    assert np.abs(got.astype(int) - expected).max() <= 1


def test_it_shows_what_onnx_runtime_shows(
    gpu: SimulatedGpu, built: Path, reference: FaceModel, small: Image, motions: list[MotionParameters]
) -> None:
    model = load(built)
    found, expected = model.detect(small), reference.detect(small)
    np.testing.assert_allclose(found.parameters.keypoints, expected.parameters.keypoints, atol=1e-5)
    np.testing.assert_allclose(found.confidence, expected.confidence, atol=1e-5)
    features, theirs = model.encode(portrait()), reference.encode(portrait())
    for driving in motions[:3]:
        assert_alike(model.rebuild(features, motions[0], driving), reference.rebuild(theirs, motions[0], driving))
    flow = model.flow(features, motions[0], motions[2])
    np.testing.assert_allclose(flow, reference.flow(theirs, motions[0], motions[2]), atol=1e-5)
    assert model.describe().device == "NVIDIA H200 (sm90), TensorRT 11.4.0.106"
    assert (model.describe().engine, model.describe().precision) == ("tensorrt", "fp32")


def test_a_frame_costs_one_launch_and_two_copies_and_no_memory(
    gpu: SimulatedGpu, built: Path, motions: list[MotionParameters]
) -> None:
    model = load(built)
    features = model.encode(portrait())
    model.rebuild(features, motions[0], motions[1])
    allocated, launches = gpu.allocated, gpu.launches
    gpu.copies.clear()
    for driving in motions[2:]:
        model.rebuild(features, motions[0], driving)
    assert gpu.allocated == allocated
    assert gpu.launches == launches + 3
    # Up: keypoints and Jacobians of both, 1,920 bytes, each tensor's start aligned. Down: the picture.
    assert gpu.copies == [("up", 2560), ("down", 512 * 512 * 3)] * 3


def test_streams_are_batched_each_with_its_own_key_frame(
    gpu: SimulatedGpu, built: Path, reference: FaceModel, motions: list[MotionParameters]
) -> None:
    model = load(built)
    pictures = [portrait(), np.ascontiguousarray(portrait()[:, ::-1]), np.ascontiguousarray(255 - portrait())]
    ours, theirs = [model.encode(p) for p in pictures], [reference.encode(p) for p in pictures]
    # Four requests on engines of 1 and 3; key frames change places from call to call.
    for order in ([0, 1, 2, 0], [2, 2, 1, 1], [0, 1]):
        pairs = [(index, motions[place + 1]) for place, index in enumerate(order)]
        before = gpu.launches
        frames = model.rebuild_batch([RebuildRequest(ours[i], motions[0], driving) for i, driving in pairs])
        assert gpu.launches - before == {4: 2, 2: 1}[len(order)]
        for frame, (index, driving) in zip(frames, pairs, strict=True):
            assert_alike(frame, reference.rebuild(theirs[index], motions[0], driving))
    assert model.rebuild_batch([]) == []


def test_frames_are_the_callers_own(gpu: SimulatedGpu, built: Path, motions: list[MotionParameters]) -> None:
    model = load(built)
    features = model.encode(portrait())
    first = model.rebuild(features, motions[0], motions[1])
    kept = first.copy()
    model.rebuild(features, motions[0], motions[4])
    np.testing.assert_array_equal(first, kept)


def test_a_new_key_frame_at_an_old_address_is_not_mistaken(
    gpu: SimulatedGpu, built: Path, reference: FaceModel, motions: list[MotionParameters]
) -> None:
    model = load(built)
    first = model.encode(portrait())
    model.rebuild(first, motions[0], motions[1])
    address = next(iter(first.addresses().values()))  # type: ignore[attr-defined]
    first.close()
    gpu.next_address = address
    mirrored = np.ascontiguousarray(portrait()[:, ::-1])
    second = model.encode(mirrored)
    assert next(iter(second.addresses().values())) == address  # type: ignore[attr-defined]
    expected = reference.rebuild(reference.encode(mirrored), motions[0], motions[1])
    assert_alike(model.rebuild(second, motions[0], motions[1]), expected)


def test_memory_comes_back(gpu: SimulatedGpu, built: Path, motions: list[MotionParameters]) -> None:
    model = load(built)
    loaded = gpu.used_bytes
    features = [model.encode(portrait()) for _ in range(3)]
    one = (gpu.used_bytes - loaded) // 3
    assert one >= 4 * (3 * 512 * 512 + 48 * 64 * 64 + 16 * 128 * 128 + 16 * 64 * 64)
    features[0].close()
    features[0].close()
    assert gpu.used_bytes == loaded + 2 * one
    with pytest.raises(ValueError, match="features: were closed; encode the key frame again"):
        model.rebuild(features[0], motions[0], motions[1])
    features.clear()
    gc.collect()
    assert gpu.used_bytes == loaded
    model.close()
    model.close()
    assert gpu.used_bytes == 0
    assert simulated_cuda.Context.attached == 0
    with pytest.raises(ValueError, match="model: was closed"):
        model.rebuild_batch([])


def test_parts_that_were_not_loaded_are_named(gpu: SimulatedGpu, built: Path, small: Image) -> None:
    sender = load(built, parts=("detector",))
    sender.detect(small)
    with pytest.raises(ValueError, match="encoder: was not loaded"):
        sender.encode(portrait())
    receiver = load(built, parts=("encoder", "motion", "generator"))
    receiver.encode(portrait())
    with pytest.raises(ValueError, match="detector: was not loaded"):
        receiver.detect(small)


def test_features_of_another_engine_are_refused(
    gpu: SimulatedGpu, built: Path, reference: FaceModel, motions: list[MotionParameters]
) -> None:
    with pytest.raises(ValueError, match="expected those of this model's encode"):
        load(built).rebuild(reference.encode(portrait()), motions[0], motions[1])


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"capability": (8, 6), "name": "NVIDIA GeForce RTX 3080"},
         r"built for the GPU architecture sm90 \(NVIDIA H200\), this GPU is NVIDIA GeForce RTX 3080 \(sm86\)"),
        ({"version": "10.13.3.9"}, r"built with TensorRT 11.4.0.106, installed is 10.13.3.9"),
    ],
)  # fmt: skip
def test_engines_of_another_gpu_or_version_are_refused(
    gpu: SimulatedGpu, built: Path, state: dict[str, Any], message: str
) -> None:
    for name, value in state.items():
        setattr(gpu, name, value)
    sys.modules["tensorrt"].__version__ = gpu.version  # type: ignore[attr-defined]
    with pytest.raises(EngineError, match=message) as raised:
        load(built)
    assert f"adasr export engine --model {EDGE.folder} --out {built}" in str(raised.value), "it offers to build them"
    assert simulated_cuda.Context.attached == 0


def test_engines_of_another_model_are_refused(gpu: SimulatedGpu, built: Path) -> None:
    files = dict(EDGE.manifest.files)
    files["generator"] = replace(files["generator"], sha256="0" * 64)
    other = ModelBundle(EDGE.folder, replace(EDGE.manifest, files=files))
    # Detector and encoder still fit; the frame engine does not.
    with pytest.raises(EngineError, match=r"no frame for a batch of 1 that runs here; build them: adasr export"):
        load(built, other)
    receiver_alone = load(built, other, parts=("encoder",))
    receiver_alone.encode(portrait())


def test_changed_engines_are_refused(gpu: SimulatedGpu, built: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(built, tmp_path / "engines")
    engine = next(folder.glob("frame-b1-*.engine"))
    engine.write_bytes(engine.read_bytes()[:-1])
    with pytest.raises(EngineError, match=r"bytes that its metadata does not describe .* build it again"):
        load(folder)
    engine.unlink()
    with pytest.raises(EngineError, match="cannot be read"):
        load(folder)


def test_engines_with_other_tensors_are_refused(gpu: SimulatedGpu, built: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(built, tmp_path / "engines")
    file = next(folder.glob("frame-b1-*.json"))
    content = json.loads(file.read_text())
    content["inputs"]["keypoints"] = content["inputs"].pop("keypoints_driving")
    file.write_text(json.dumps(content))
    with pytest.raises(EngineError, match=r"its tensors .* are not those of its metadata"):
        load(folder)


def test_two_engines_for_one_use_are_refused(gpu: SimulatedGpu, built: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(built, tmp_path / "engines")
    for suffix in (".json", ".engine"):
        file = next(folder.glob(f"frame-b1-*{suffix}"))
        shutil.copyfile(file, folder / file.name.replace("fp32", "fp16"))
    with pytest.raises(EngineError, match="do the same; delete one"):
        load(folder)


def test_no_engines_at_all(gpu: SimulatedGpu, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"none in .*; build them here: adasr export engine --model"):
        load(tmp_path / "nothing")


def test_what_tensorrt_says_is_passed_on(gpu: SimulatedGpu, built: Path) -> None:
    gpu.engine_says = "The engine plan file is generated on an incompatible device"
    with pytest.raises(EngineError, match="TensorRT refuses it: The engine plan file is generated on an incompatible"):
        load(built)


@pytest.mark.parametrize("free_mib", [0, 6])
def test_a_full_gpu_is_said_plainly_at_load(gpu: SimulatedGpu, built: Path, free_mib: int) -> None:
    gpu.total_bytes = free_mib * 2**20
    with pytest.raises(EngineError, match=r"the GPU's memory is full .* MiB free\); end other programs") as raised:
        load(built)
    assert "MiB" in str(raised.value)
    gc.collect()
    assert gpu.contexts == []
    assert simulated_cuda.Context.attached == 0


def test_a_full_gpu_is_said_plainly_in_a_call(gpu: SimulatedGpu, built: Path, motions: list[MotionParameters]) -> None:
    model = load(built)
    features = model.encode(portrait())
    gpu.total_bytes = gpu.used_bytes + 2**20
    with pytest.raises(EngineError, match=r"features of a key frame: \d+\.\d MiB: the GPU's memory is full"):
        model.encode(portrait())
    # What was there before still works.
    assert model.rebuild(features, motions[0], motions[1]).any()
    assert gpu.contexts == []


def test_a_graph_that_does_not_fit_is_out_of_memory_too(
    gpu: SimulatedGpu, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulated_cuda.Results, "failure", 2)
    with pytest.raises(EngineError, match=r"frame engine for batches of \d: the GPU's memory is full"):
        load(built)
    monkeypatch.setattr(simulated_cuda.Results, "failure", 719)
    with pytest.raises(EngineError, match=r"CUDA failed \(unknown error\); the model must be loaded again"):
        load(built)


def test_a_gpu_that_is_not_there(gpu: SimulatedGpu, built: Path) -> None:
    with pytest.raises(EngineError, match="GPU: got number 1, this machine has 1"):
        load(built, device="1")
    with pytest.raises(EngineError, match="expected the number of an NVIDIA GPU"):
        load(built, device="cuda")


def test_adapters_are_refused(gpu: SimulatedGpu, built: Path) -> None:
    class AnyAdapter(Adapter):
        def __init__(self) -> None:
            """Nothing of it is looked at."""

    with pytest.raises(EngineError, match="take no adapter"):
        load_tensorrt_model(EDGE, adapter=AnyAdapter(), folder=built)


@pytest.mark.skipif(find_spec("tensorrt") is not None, reason="TensorRT is installed here")
def test_without_tensorrt_it_says_what_to_install(built: Path) -> None:
    with pytest.raises(EngineError, match=r"TensorRT cannot be imported .*pip install 'adasr\[tensorrt\]'"):
        load(built)


def test_without_cuda_it_says_what_to_install(gpu: SimulatedGpu, built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda", None)
    with pytest.raises(EngineError, match=r"CUDA's libraries cannot be imported .*adasr\[tensorrt\]"):
        load(built)


def test_where_engines_lie(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert engine_folder(EDGE) == EDGE.folder / "engines"
    monkeypatch.setenv("ADASR_ENGINE_FOLDER", str(tmp_path))
    assert engine_folder(EDGE) == tmp_path
    assert engine_folder(EDGE, tmp_path / "mine") == tmp_path / "mine"
