"""``adasr doctor``: it reports what is there, and refuses what is not."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from adasr.cli import main
from adasr.diagnosis import EngineFound, inspect_machine, judge, require_engine
from adasr.sample_pictures import sample_pictures
from adasr_core.bundle import open_bundle
from adasr_core.engines import EngineError
from benchmarks.percentiles import Percentiles
from benchmarks.speed import SpeedReport, measure_speed


@pytest.fixture(scope="module")
def measured() -> SpeedReport:
    return measure_speed(open_bundle("edge"), sample_pictures(2), runs=2, warm_up=1)


@pytest.mark.parametrize(
    ("detector_ms", "frame_ms", "full_rate", "call"),
    [(5.0, 20.0, True, True), (8.0, 25.3, True, True), (8.0, 26.0, False, True), (30.0, 71.0, False, False)],
)
def test_verdict(measured: SpeedReport, detector_ms: float, frame_ms: float, full_rate: bool, call: bool) -> None:
    speed = dataclasses.replace(
        measured,
        detector_ms=Percentiles(detector_ms, detector_ms + 1, detector_ms + 2),
        frame_ms=Percentiles(frame_ms, frame_ms + 1, frame_ms + 2),
        refined_ms=None,
    )
    verdict = judge(speed)
    assert (verdict.full_rate, verdict.call) == (full_rate, call)
    assert verdict.turn_ms_p50 == pytest.approx(detector_ms + frame_ms)
    assert verdict.turn_ms_p95 == pytest.approx(detector_ms + frame_ms + 2)
    slower = judge(dataclasses.replace(speed, refined_ms=Percentiles(frame_ms + 3, frame_ms + 9, frame_ms + 9)))
    assert slower.turn_ms_p50 == pytest.approx(detector_ms + frame_ms + 3)
    assert slower.turn_ms_p95 == pytest.approx(detector_ms + frame_ms + 10)
    assert judge(dataclasses.replace(speed, refined_ms=Percentiles(1, 2, 3))) == verdict


def test_exit_code_follows_the_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report_path = tmp_path / "doctor.json"
    exit_code = main(["doctor", "--runs", "3", "--json", str(report_path)])
    report = json.loads(report_path.read_text())
    assert exit_code == (0 if report["verdict"]["call"] else 1)
    assert report["model"]["codec_id"] == open_bundle("edge").codec_id
    text = capsys.readouterr().out
    for expected in ("processor", "openvino", "onnxruntime", "CPUExecutionProvider", "tensorrt", "aiortc", "verified"):
        assert expected in text
    assert "a call at 30 frames/s" in text


def test_json_on_standard_output_is_nothing_but_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--runs", "1", "--engine", "onnxruntime", "--json", "-"]) in (0, 1)
    report = json.loads(capsys.readouterr().out)
    assert report["speed"]["engine"] == "onnxruntime"


def test_a_changed_model_is_one_line_and_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = open_bundle("edge")
    folder = tmp_path / "changed"
    shutil.copytree(bundle.folder, folder)
    graph = folder / bundle.path("generator").name
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(content)
    assert main(["doctor", "--model", str(folder)]) == 2
    errors = capsys.readouterr().err
    assert graph.name in errors
    assert errors.count("\n") == 1


def test_an_unknown_model_is_one_line_and_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--model", "no-such-model"]) == 2
    errors = capsys.readouterr().err
    assert "no-such-model" in errors
    assert errors.count("\n") == 1


def test_an_engine_that_is_not_there_is_refused() -> None:
    machine = inspect_machine()
    require_engine(machine, "openvino")
    broken = dataclasses.replace(
        machine, engines=(EngineFound("openvino", None), EngineFound("onnxruntime", "1.0", problem="no library"))
    )
    with pytest.raises(EngineError, match="openvino: not installed"):
        require_engine(broken, "openvino")
    with pytest.raises(EngineError, match="no library"):
        require_engine(broken, "onnxruntime")
