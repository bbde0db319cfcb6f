"""What only an NVIDIA GPU can show: every engine there computes what ONNX Runtime computes on the processor.

Skipped without a GPU. docs/deployment.md says whether these ever ran, and on what.
"""

import json
from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest

from adasr.cli import main
from adasr.engine_choice import fastest, try_engines
from adasr.sample_pictures import sample_pictures
from adasr_core.bundle import open_bundle
from adasr_core.engines import EngineError, FaceModel, RebuildRequest
from adasr_core.engines.device_model import Image
from adasr_core.engines.self_check import ReferenceRun, check_engine, run_reference
from adasr_core.geometry import MotionParameters, SquareCrop, extract_crop
from benchmarks.gpu_state import gpu_state
from export.export_model import WEIGHTS
from export.refiner_part import REFINER_WEIGHTS
from export.torch_engine import TorchEngineConfig, TorchModel

pytestmark = [pytest.mark.gpu, pytest.mark.slow]

BUNDLE = open_bundle("edge")
PICTURES = sample_pictures(4)
SMALL = [extract_crop(one, SquareCrop.whole(one), BUNDLE.manifest.detector_px) for one in PICTURES]


def _torch(compiled: bool) -> FaceModel:
    config = TorchEngineConfig(device="cuda", bfloat16=True, compiled=compiled, captured=True)
    refiner = BUNDLE.folder / REFINER_WEIGHTS if BUNDLE.has("refiner") else None
    return FaceModel(BUNDLE, TorchModel.load(BUNDLE.folder / WEIGHTS, config, refiner))


def _onnxruntime() -> FaceModel:
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this build of ONNX Runtime has no CUDA: pip install 'adasr[gpu]'")
    return FaceModel.load(BUNDLE, engine="onnxruntime-cuda")


def _tensorrt() -> FaceModel:
    try:
        return FaceModel.load(BUNDLE, engine="tensorrt")
    except EngineError as error:
        pytest.skip(f"TensorRT is not here or its engines are not built: {error}")


ENGINES: dict[str, Callable[[], FaceModel]] = {
    "torch": lambda: _torch(compiled=False),
    "torch-compiled": lambda: _torch(compiled=True),
    "onnxruntime-cuda": _onnxruntime,
    "tensorrt": _tensorrt,
}


@pytest.fixture(scope="module")
def reference() -> ReferenceRun:
    return run_reference(FaceModel.load(BUNDLE, engine="onnxruntime"), PICTURES, SMALL)


@pytest.fixture(scope="module", params=list(ENGINES))
def model(request: pytest.FixtureRequest) -> FaceModel:
    return ENGINES[request.param]()


@pytest.fixture(scope="module")
def motions(reference: ReferenceRun) -> list[MotionParameters]:
    return [seen.parameters for seen in reference.detections]


def apart(one: Image, other: Image) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def test_it_passes_the_self_check(model: FaceModel, reference: ReferenceRun) -> None:
    check = check_engine(model, reference, PICTURES, SMALL)
    assert check.passed, check.describe()


def test_replayed_graphs_see_new_motion_and_new_key_frames(model: FaceModel, motions: list[MotionParameters]) -> None:
    first = model.encode(PICTURES[0])
    frames = [model.rebuild(first, motions[0], motion) for motion in motions]
    assert apart(frames[0], frames[3]) > 0.5
    np.testing.assert_array_equal(model.rebuild(first, motions[0], motions[1]), frames[1])
    second = model.encode(np.ascontiguousarray(PICTURES[0][::-1]))
    assert apart(model.rebuild(second, motions[0], motions[1]), frames[1]) > 5
    np.testing.assert_array_equal(model.rebuild(first, motions[0], motions[1]), frames[1])


@pytest.mark.parametrize("streams", [2, 8])
def test_a_batch_gives_each_stream_its_own_frame(
    model: FaceModel, motions: list[MotionParameters], streams: int
) -> None:
    pictures = [np.ascontiguousarray(np.roll(PICTURES[0], 16 * stream, axis=1)) for stream in range(streams)]
    keys = [model.encode(picture) for picture in pictures]
    for order in (keys, keys[::-1]):
        requests = [RebuildRequest(key, motions[0], motions[1 + i % 3]) for i, key in enumerate(order)]
        try:
            frames = model.rebuild_batch(requests)
        except EngineError as error:
            pytest.skip(f"no engine of this batch size: {error}")
        for frame, request in zip(frames, requests, strict=True):
            alone = model.rebuild(request.features, request.reference, request.driving)
            # Another batch size may take another kernel.
            assert apart(frame, alone) < 0.5
        assert apart(frames[0], frames[1]) > 1


def test_many_key_frames_fill_no_memory(model: FaceModel, motions: list[MotionParameters]) -> None:
    def use(count: int) -> int:
        for number in range(count):
            key = model.encode(PICTURES[number % len(PICTURES)])
            model.rebuild(key, motions[0], motions[1])
        state = gpu_state()
        assert state is not None
        return state.used_mib

    before = use(20)
    assert use(300) - before < 64


def test_auto_takes_an_engine_that_passed() -> None:
    trials = try_engines(BUNDLE)
    assert fastest(trials).usable


def test_bench_speed_measures_everything(capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        "bench",
        "speed",
        "--engine",
        "torch-cuda",
        "--runs",
        "20",
        "--batch",
        "1,8",
        "--published",
        "--json",
        "-",
    ]
    assert main(command) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["gpu"]["name"]
    assert report["published_ratio"] > 1
    assert report["batches"][1]["frames_per_s"] > report["batches"][0]["frames_per_s"]
    assert 0 < report["batches"][1]["tflops"] < report["ceiling_tflops"]
