"""`build_engine` from its command line on: exit codes, messages, files. The GPU is simulated (tests/engines)."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import onnx
import pytest

from adasr.sample import sample_clip_path
from adasr_core.bundle import open_bundle
from adasr_core.engines import FaceModel
from export import engine_check
from export.build_engine import main
from export.clip_frames import frame_pairs
from export.engine_builder import EngineConfig
from export.tensorrt_build import BuilderConfig
from tests.engines import simulated_cuda, simulated_gpu
from tests.engines.simulated_cuda import SimulatedGpu

EDGE = open_bundle("edge")
REFINER = ["refiner"] if EDGE.has("refiner") else []
CLIP = ["--clips", str(sample_clip_path()), "--frames", "1"]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> SimulatedGpu:
    return simulated_gpu.install(monkeypatch)


def test_it_builds_describes_and_checks(gpu: SimulatedGpu, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--model", "edge", "--out", str(tmp_path), "--batch", "2", "--check", *CLIP]) == 0
    names = sorted(file.name.rsplit("-", 1)[0] for file in tmp_path.glob("*.engine"))
    assert names == [
        "detector-b1-sm90-trt11.4.0.106-fp32",
        "encoder-b1-sm90-trt11.4.0.106-fp16",
        "frame-b1-sm90-trt11.4.0.106-fp16",
        "frame-b2-sm90-trt11.4.0.106-fp16",
        *(f"{part}-b1-sm90-trt11.4.0.106-fp16" for part in REFINER),
    ]
    described = json.loads(next(tmp_path.glob("frame-b2-*.json")).read_text())
    assert described["codec_id"] == EDGE.codec_id
    assert described["sources"]["motion"] == EDGE.manifest.files["motion"].sha256
    assert described["gpu"] == {"name": "NVIDIA H200", "architecture": "sm90"}
    assert described["inputs"]["keypoints_driving"] == {"dtype": "float32", "shape": [2, 40, 2]}
    assert described["outputs"]["frame"] == {"dtype": "uint8", "shape": [2, 512, 512, 3]}
    assert (tmp_path / "timing-sm90-trt11.4.0.106.cache").read_bytes() == b"timed" * (4 + len(REFINER)), (
        "one cache for all, kept"
    )
    said = capsys.readouterr().out
    assert "frame_db" in said
    assert "FAILED" not in said
    assert gpu.phases[:2] == [("Building Engine", None, 2), ("Tactic Selection", "Building Engine", 2)]
    assert not list(tmp_path.glob("*.part"))
    # A second time there is nothing to do.
    assert main(["--model", "edge", "--out", str(tmp_path), "--batch", "2"]) == 0
    assert capsys.readouterr().out.count("kept") == 4 + len(REFINER)
    # What was cut off is built again.
    next(tmp_path.glob("frame-b2-*.engine")).write_bytes(b"")
    assert main(["--model", "edge", "--out", str(tmp_path), "--batch", "2"]) == 0
    said = capsys.readouterr().out
    assert (said.count("kept"), said.count("built")) == (3 + len(REFINER), 1)


def test_another_precision_does_not_go_into_the_same_folder(
    gpu: SimulatedGpu, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--out", str(tmp_path)]) == 0
    assert main(["--out", str(tmp_path), "--precision", "fp32"]) == 2
    assert "does the same as" in capsys.readouterr().err
    assert main(["--out", str(tmp_path / "exact"), "--precision", "fp32"]) == 0


def test_engines_that_differ_fail_the_check(
    gpu: SimulatedGpu, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = simulated_gpu.ExecutionContext.run

    def off_by_a_little(self: simulated_gpu.ExecutionContext, addresses: dict[str, int]) -> None:
        real(self, addresses)
        if "frame" in addresses:
            simulated_cuda.gpu.at(addresses["frame"], 512 * 512 * 3)[:] += 9

    monkeypatch.setattr(simulated_gpu.ExecutionContext, "run", off_by_a_little)
    assert main(["--out", str(tmp_path), "--check", *CLIP]) == 1
    said = capsys.readouterr().out
    assert "FAILED" in said
    assert "not alike: frame_db; try --precision fp32" in said


def test_the_check_takes_any_model_and_sees_wrong_keypoints() -> None:
    model = FaceModel.load(EDGE, engine="openvino", threads=1)
    pairs = frame_pairs([sample_clip_path()], 512, per_clip=1)
    assert all(row.ok for row in engine_check.check_engines(model, EDGE, pairs, "bf16"))
    with pytest.raises(ValueError, match="pairs: got none"):
        engine_check.check_engines(model, EDGE, [], "bf16")
    flipped = [(key[::-1].copy(), frame) for key, frame in pairs]
    rows = engine_check.check_engines(_Other(model, flipped[0][0]), EDGE, pairs, "bf16")  # type: ignore[arg-type]
    assert not all(row.ok for row in rows if row.output == "frame_db")


class _Other:
    """A model that encodes another key frame than it was given."""

    def __init__(self, model: FaceModel, picture: object) -> None:
        self.model, self.picture = model, picture

    def __getattr__(self, name: str) -> object:
        if name == "encode":
            return lambda _: self.model.encode(self.picture)  # type: ignore[arg-type]
        return getattr(self.model, name)


def test_int8_is_calibrated_on_the_clips(gpu: SimulatedGpu, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path), "--precision", "int8", *CLIP]) == 0
    assert len(list(tmp_path.glob("frame-b1-*-int8-*.engine"))) == 1
    assert len(list(tmp_path.glob("encoder-b1-*-fp16-*.engine"))) == 1
    assert main(["--out", str(tmp_path / "none"), "--precision", "int8"]) == 2
    assert "name one: --clips CLIP" in capsys.readouterr().err


def test_without_a_gpu_the_graphs_can_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path), "--precision", "bf16", "--batch", "1,8", "--dry-run"]) == 0
    files = sorted(tmp_path.glob("*.onnx"))
    assert [file.name.rsplit("-", 1)[0] for file in files] == [
        "detector-b1-fp32", "encoder-b1-bf16", "frame-b1-bf16", "frame-b8-bf16",
        *(f"{part}-b1-bf16" for part in REFINER),
    ]  # fmt: skip
    assert onnx.load(files[3]).graph.output[0].type.tensor_type.shape.dim[0].dim_value == 8
    assert capsys.readouterr().out.count("documented to run all of it") == 4 + len(REFINER)


@pytest.mark.skipif(find_spec("tensorrt") is not None, reason="TensorRT is installed here")
def test_a_missing_library_is_exit_code_2_and_one_line(tmp_path: Path) -> None:
    """As a user meets it: the script by its path, in a process of its own."""
    command = [sys.executable, str(ROOT / "export" / "build_engine.py"), "--model", "edge", "--out", str(tmp_path)]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False)
    assert finished.returncode == 2
    assert finished.stderr.startswith("build_engine: TensorRT cannot be imported (")
    assert "pip install 'adasr[tensorrt]'" in finished.stderr
    assert finished.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def test_wrong_arguments_are_exit_code_2(gpu: SimulatedGpu, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        (["--model", "nothing"], "no manifest.json"),
        (["--check", *CLIP[:2], "--frames", "0"], "--frames: got 0"),
        (["--batch", "0"], "batches: got [0]"),
        (["--batch", "1,many"], "--batch: got 1,many, expected numbers"),
        (["--effort", "9"], "effort: got 9"),
        (["--workspace", "0"], "workspace_mib: got 0"),
        (["--device", "3"], "GPU: got number 3, this machine has 1"),
    ):
        assert main(["--out", str(tmp_path), *arguments]) == 2
        assert message in capsys.readouterr().err
    with pytest.raises(ValueError, match="precision: got 'fp8'"):
        EngineConfig(precision="fp8")  # type: ignore[arg-type]
    assert BuilderConfig().tf32 is False


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("Error Code 10: Could not find any implementation for node", "TensorRT builds no engine: Error Code 10"),
        ("Requested amount of GPU memory could not be allocated", "the GPU's memory is full"),
    ],
)
def test_a_build_that_fails_leaves_no_engine(
    gpu: SimulatedGpu, tmp_path: Path, capsys: pytest.CaptureFixture[str], said: str, message: str
) -> None:
    gpu.builder_says = said
    assert main(["--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert said.split()[0] in error
    assert not list(tmp_path.glob("*.engine"))
    assert gpu.contexts == []
    assert simulated_cuda.Context.attached == 0


def test_a_build_can_be_stopped(gpu: SimulatedGpu, tmp_path: Path) -> None:
    gpu.stop_at = lambda: True
    with pytest.raises(KeyboardInterrupt):
        main(["--out", str(tmp_path)])
    assert not list(tmp_path.glob("*.engine"))


def test_a_timing_cache_of_another_machine_is_refused(
    gpu: SimulatedGpu, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "timing-sm90-trt11.4.0.106.cache").write_bytes(b"other")
    assert main(["--out", str(tmp_path)]) == 2
    assert "delete the file" in capsys.readouterr().err
