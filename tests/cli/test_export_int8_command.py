"""``adasr export int8``: made, measured, judged, kept or not."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from adasr.cli import main
from adasr_core.bundle import open_bundle
from adasr_core.engines import FaceModel

WITHOUT_ONNX = """
import sys
sys.modules["onnx"] = None
from adasr.cli import main
sys.exit(main(["export", "int8", "--out", "out", "--calibrate", "a.mp4", "--validate", "b.mp4"]))
"""


@pytest.fixture
def training_clip(tmp_path: Path, portrait: Path) -> Path:
    clip = tmp_path / "training.mp4"
    shutil.copyfile(portrait, clip)
    return clip


@pytest.mark.parametrize("limit_db", [0.3, pytest.param(0.001, marks=pytest.mark.slow)])
def test_what_is_measured_decides(
    tmp_path: Path, training_clip: Path, landmarked: Path, limit_db: float, capsys: pytest.CaptureFixture[str]
) -> None:
    out, figures = tmp_path / "edge-int8", tmp_path / "int8.json"
    arguments = ["export", "int8", "--out", str(out), "--calibrate", str(training_clip), "--validate", str(landmarked)]
    arguments += ["--frames", "4", "--threads", "1", "--rounds", "1", "--precisions", "f32,int8"]
    code = main([*arguments, "--max-loss-db", str(limit_db), "--json", str(figures)])
    report = json.loads(figures.read_text())
    times = {(row["engine"], row["precision"]): row["quiet_ms"] for row in report["speed"]}
    assert set(times) == {(e, p) for e in ("openvino", "onnxruntime") for p in ("f32", "int8")}
    losses = [row[name] for row in report["quality"] for name in ("loss_db", "face_loss_db")]
    assert all(abs(loss) < 0.3 for loss in losses)
    kept = max(losses) < limit_db and times["openvino", "int8"] < times["openvino", "f32"]
    assert report["kept"] == kept == out.exists() == (not report["reasons"])
    assert code == (0 if kept else 1)
    text = capsys.readouterr().out
    assert ("kept: less than" if kept else "not kept: openvino") in text
    if kept:
        bundle = open_bundle(out)
        assert bundle.codec_id == open_bundle("edge").codec_id
        assert set(bundle.manifest.quality["int8"]) == {"openvino", "onnxruntime"}
        assert FaceModel.load(bundle, threads=1).describe().precision == "int8"
        assert main(["models", "info", "--model", str(out), "--json", str(tmp_path / "info.json")]) == 0


def test_mistakes_cost_no_time(
    tmp_path: Path, training_clip: Path, landmarked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = ["export", "int8", "--out", str(tmp_path), "--calibrate", str(training_clip)]
    assert main([*start, "--validate", str(training_clip)]) == 2
    assert "is among both --calibrate and --validate" in capsys.readouterr().err
    assert main([*start, "--validate", str(landmarked)]) == 2
    assert "exists; name a new folder" in capsys.readouterr().err
    for wrong in (["--precisions", "bf16,int8"], ["--threads", "0"], ["--frames", "1"]):
        with pytest.raises(SystemExit):
            main([*start, "--validate", str(landmarked), *wrong])


def test_without_onnx_it_names_the_extra() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_ONNX], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "onnx is missing; pip install 'adasr[int8]'" in done.stderr


@pytest.mark.realdata
@pytest.mark.slow
def test_recorded_clips_lose_almost_nothing(tmp_path: Path, recorded_clips: list[Path]) -> None:
    training = sorted((recorded_clips[0].parents[1] / "train").glob("*.mp4"))
    figures = tmp_path / "int8.json"
    arguments = ["export", "int8", "--out", str(tmp_path / "out"), "--calibrate", *map(str, training)]
    arguments += ["--validate", *map(str, recorded_clips[:3]), "--calibration-clips", "8", "--frames", "16"]
    assert main([*arguments, "--threads", "1", "--rounds", "1", "--json", str(figures)]) in (0, 1)
    int8 = [row for row in json.loads(figures.read_text())["quality"] if row["precision"] == "int8"]
    assert len(int8) == 2
    assert all(row["worst_clip_loss_db"] < 0.15 and row["worst_clip_face_loss_db"] < 0.2 for row in int8)
