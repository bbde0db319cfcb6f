"""--engine auto: the fastest that computes the right thing; an engine that does not is named and never taken."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest

from adasr.cli import main
from adasr.engine_choice import EngineTrial, fastest, settle_engine, try_engines
from adasr.sample_pictures import sample_pictures
from adasr_core.bundle import open_bundle
from adasr_core.engines import PARTS, EngineError, FaceModel
from adasr_core.engines.device_model import Image
from adasr_core.engines.self_check import SelfCheck, check_engine, run_reference
from adasr_core.geometry import MotionParameters, SquareCrop, extract_crop
from adasr_core.networks import PRESETS, FaceCodecNetworks
from export.torch_engine import TorchEngineConfig, TorchModel

BUNDLE = open_bundle("edge")
GOOD = SelfCheck(keypoint_difference=1e-4, frame_psnr_db=50.0)
BAD = SelfCheck(keypoint_difference=1e-4, frame_psnr_db=20.0)


@pytest.fixture(scope="module")
def pictures() -> list[Image]:
    return sample_pictures(3)


@pytest.fixture(scope="module")
def small(pictures: list[Image]) -> list[Image]:
    return [extract_crop(one, SquareCrop.whole(one), BUNDLE.manifest.detector_px) for one in pictures]


def test_the_reference_equals_itself() -> None:
    (trial,) = try_engines(BUNDLE, ("onnxruntime",), threads=1)
    assert trial.check == SelfCheck(keypoint_difference=0.0, frame_psnr_db=100.0)
    assert trial.usable
    assert trial.to_json()["passed"] is True


def test_the_fastest_that_passed_is_taken() -> None:
    trials = [
        EngineTrial(engine="openvino", device="CPU", turn_ms=20.0, check=GOOD),
        EngineTrial(engine="tensorrt", device="0", turn_ms=1.0, check=BAD),
        EngineTrial(engine="onnxruntime-cuda", device="0", turn_ms=3.0, check=GOOD),
        EngineTrial(engine="onnxruntime", problem="not there"),
    ]
    assert fastest(trials).engine == "onnxruntime-cuda"
    assert "FAILED its self-check" in trials[1].describe()
    with pytest.raises(EngineError, match=r"no engine can be used here: .*FAILED.*not there"):
        fastest([trials[1], trials[3]])


def test_a_check_that_is_not_a_number_fails() -> None:
    assert not SelfCheck(keypoint_difference=float("nan"), frame_psnr_db=50.0).passed
    assert not SelfCheck(keypoint_difference=0.0, frame_psnr_db=float("nan")).passed


def test_an_engine_with_other_weights_fails_its_check(pictures: list[Image], small: list[Image]) -> None:
    reference = run_reference(FaceModel.load(BUNDLE, engine="onnxruntime", threads=1, parts=PARTS), pictures, small)
    import torch

    torch.manual_seed(1)
    other = FaceModel(BUNDLE, TorchModel(FaceCodecNetworks(PRESETS["edge"]), TorchEngineConfig(threads=1)))
    found = check_engine(other, reference, pictures, small)
    assert not found.passed
    assert found.keypoint_difference > 0.01
    with pytest.raises(ValueError, match="2 or more"):
        run_reference(other, pictures[:1], small[:1])


def test_a_frame_out_of_place_fails_the_check(pictures: list[Image], small: list[Image]) -> None:
    """Wrong order of tensors, the classic fault: driving and reference exchanged."""

    class Exchanged(FaceModel):
        def rebuild(self, features, reference: MotionParameters, driving: MotionParameters) -> Image:  # type: ignore[no-untyped-def]
            return super().rebuild(features, driving, reference)

    reference = run_reference(FaceModel.load(BUNDLE, engine="onnxruntime", threads=1), pictures, small)
    found = check_engine(Exchanged.load(BUNDLE, engine="onnxruntime", threads=1), reference, pictures, small)
    assert found.keypoint_difference == 0.0
    assert found.frame_psnr_db < 38
    assert not found.passed


def test_auto_is_settled_before_a_command_runs(capsys: pytest.CaptureFixture[str]) -> None:
    args = argparse.Namespace(engine="auto", model="edge", threads=1)
    settle_engine(args)
    assert args.engine in ("openvino", "onnxruntime", "onnxruntime-cuda", "tensorrt")
    captured = capsys.readouterr()
    assert captured.out == "", "the standard output may be JSON"
    assert f"auto: {args.engine} is the fastest that passed" in captured.err
    lines = {line.split()[1].rstrip(":"): line for line in captured.err.splitlines()}
    assert "passed" in lines["openvino"]
    assert "passed" in lines["onnxruntime"]
    for name, extra in (("onnxruntime-cuda", "adasr[gpu]"), ("tensorrt", "tensorrt")):
        assert "ms" in lines[name] or extra in lines[name], "measured, or the reason why it was not"
    untouched = argparse.Namespace(engine="onnxruntime")
    settle_engine(untouched)
    assert untouched.engine == "onnxruntime"
    with pytest.raises(ValueError, match="--device GPU"):
        settle_engine(argparse.Namespace(engine="auto", model="edge", device="GPU"))


def test_bench_speed_on_torch_measures_batches_and_the_ceiling(capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        "bench",
        "speed",
        "--engine",
        "torch-cpu",
        "--threads",
        "1",
        "--runs",
        "1",
        "--batch",
        "1,2",
        "--json",
        "-",
    ]
    assert main(command) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["engine"], report["precision"]) == ("torch-cpu", "f32")
    assert [batch["batch"] for batch in report["batches"]] == [1, 2]
    for batch in report["batches"]:
        frames_per_s = 1e3 * batch["batch"] / batch["launch_ms"]["p50"]
        assert batch["frames_per_s"] == pytest.approx(frames_per_s, rel=0.01)
        assert batch["tflops"] == pytest.approx(2 * report["gmac_per_frame"] * frames_per_s / 1e3, rel=0.02, abs=1e-4)
        assert batch["tflops"] < report["ceiling_tflops"]
    assert report["published_ms"] is None


def test_the_table_shows_batches(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "speed", "--runs", "1", "--threads", "1", "--batch", "2"]) == 0
    text = capsys.readouterr().out
    assert "several streams in one launch" in text
    assert "not measured" in text
    assert main(["bench", "speed", "--runs", "1", "--batch", "0"]) == 2
    assert "at least 1" in capsys.readouterr().err


def test_doctor_names_the_self_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "doctor.json"
    assert main(["doctor", "--runs", "1", "--threads", "1", "--json", str(file)]) in (0, 1)
    assert "self-check openvino on CPU" in capsys.readouterr().out
    assert json.loads(file.read_text())["self_check"]["passed"] is True


def test_gpu_engines_that_are_missing_are_one_line_and_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    for engine, words in (
        ("torch-cuda", "sees no NVIDIA GPU"),
        ("onnxruntime-cuda", "adasr[gpu]"),
        ("tensorrt", "adasr[tensorrt]"),
    ):
        assert main(["bench", "speed", "--engine", engine, "--runs", "1"]) == 2
        errors = capsys.readouterr().err
        assert words in errors
        assert errors.count("\n") == 1
    assert main(["bench", "speed", "--model", "preset:huge", "--runs", "1"]) == 2
    assert "expected one of edge, base" in capsys.readouterr().err


def test_pictures_of_the_check_move(pictures: list[Image]) -> None:
    assert np.abs(pictures[0].astype(int) - pictures[-1].astype(int)).mean() > 0.5
