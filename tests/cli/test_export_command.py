"""``adasr export engine`` as a user types it; the GPU is simulated where one is needed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from adasr.cli import build_parser, main
from adasr.sample import sample_clip_path
from tests.engines import simulated_gpu


def test_it_builds_and_has_a_clip_to_check_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    simulated_gpu.install(monkeypatch)
    assert main(["export", "engine", "--out", str(tmp_path), "--precision", "fp32"]) == 0
    made = {path.name.partition("-")[0] for path in tmp_path.glob("*.engine")}
    assert made == {"detector", "encoder", "frame", "refiner"}
    assert build_parser("export").parse_args(["export", "engine"]).clips == [sample_clip_path()]


def test_engines_of_another_gpu_are_exit_code_2_wherever_a_model_is_loaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gpu = simulated_gpu.install(monkeypatch)
    assert main(["export", "engine", "--out", str(tmp_path / "engines")]) == 0
    gpu.capability, gpu.name = (8, 6), "NVIDIA GeForce RTX 3080"
    monkeypatch.setenv("ADASR_ENGINE_FOLDER", str(tmp_path / "engines"))
    capsys.readouterr()
    assert main(["bench", "speed", "--engine", "tensorrt", "--runs", "1"]) == 2
    error = capsys.readouterr().err
    assert "built for the GPU architecture sm90 (NVIDIA H200), this GPU is NVIDIA GeForce RTX 3080 (sm86)" in error
    assert "build them here: adasr export engine --model" in error
    assert error.count("\n") == 1


@pytest.mark.skipif(find_spec("tensorrt") is not None, reason="TensorRT is installed here")
def test_a_missing_library_is_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "engine", "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("adasr: TensorRT cannot be imported (")
    assert "pip install 'adasr[tensorrt]'" in error
