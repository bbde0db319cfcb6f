"""The speed benchmark: it warms up, it measures what it says, it names what it ran on."""

import dataclasses
import json
import time

import pytest

from adasr.cli import main
from adasr.sample_pictures import sample_pictures
from adasr.speed_table import print_speed
from adasr_core.bundle import ModelBundle, open_bundle
from adasr_core.engines import EngineError
from benchmarks.environment import describe_processor, package_version, source_commit
from benchmarks.percentiles import Percentiles, measure, percentiles_of
from benchmarks.speed import measure_speed


def test_percentiles() -> None:
    found = percentiles_of([float(value) for value in range(101)])
    assert found == Percentiles(50.0, 95.0, 99.0)
    assert found.to_json() == {"p50": 50.0, "p95": 95.0, "p99": 99.0}
    with pytest.raises(ValueError, match="none"):
        percentiles_of([])


def test_warm_up_runs_are_not_measured() -> None:
    calls: list[int] = []

    def run(index: int) -> None:
        calls.append(index)
        if index < 2:
            time.sleep(0.1)

    found = measure(run, runs=5, warm_up=2)
    assert calls == [0, 1, 2, 3, 4, 5, 6]
    assert found.p50 < 50.0


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_bench_speed_prints_one_json_object(engine: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "speed", "--engine", engine, "--runs", "3", "--json", "-"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert 0.5 < report["gmac_per_frame"] <= 2.0
    assert report["gmac_per_frame"] == pytest.approx(report["gmac"]["motion"] + report["gmac"]["generator"], abs=1e-3)
    for part in ("detector_ms", "encoder_ms", "frame_ms"):
        assert 0.0 < report[part]["p50"] <= report[part]["p95"] <= report[part]["p99"]
    turn_ms = report["detector_ms"]["p50"] + report["frame_ms"]["p50"]
    assert report["fps"] == pytest.approx(1e3 / turn_ms, rel=0.01)
    assert report["engine"] == engine
    assert report["engine_version"] == package_version(engine)
    assert report["codec_id"] == open_bundle("edge").codec_id


def test_bench_speed_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "speed", "--runs", "2", "--threads", "1"]) == 0
    text = capsys.readouterr().out
    for expected in ("detector", "encoder", "frame", "p50 ms", "threads: 1", "frames/s"):
        assert expected in text


def test_a_refined_frame_is_measured_beside_a_rebuilt_one(
    refined: ModelBundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "speed", "--model", str(refined.folder), "--runs", "2", "--threads", "1"]) == 0
    text = capsys.readouterr().out
    for expected in ("motion + generator", "2 motion + refiner", "refiner alone"):
        assert expected in text
    report = measure_speed(refined, sample_pictures(3), threads=1, runs=2, warm_up=1).to_json()
    assert report["refined_ms"]["p50"] > report["refiner_ms"]["p50"] > 0  # type: ignore[index]
    assert report["gmac"]["refiner"] > 0.01  # type: ignore[index]


def test_a_device_that_is_not_there_is_no_silent_fallback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "speed", "--device", "NPU.7", "--json", "-"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "NPU.7" in captured.err
    assert captured.err.count("\n") == 1


def test_mistakes_of_the_caller() -> None:
    bundle = open_bundle("edge")
    pictures = sample_pictures(2)
    with pytest.raises(ValueError, match="at least 2"):
        measure_speed(bundle, pictures[:1])
    with pytest.raises(ValueError, match="runs"):
        measure_speed(bundle, pictures, runs=0)
    with pytest.raises(EngineError, match="provider"):
        measure_speed(bundle, pictures, engine="onnxruntime", device="NoSuchExecutionProvider", runs=1)


def test_environment() -> None:
    processor = describe_processor()
    assert processor.cores >= 1
    assert processor.name
    assert package_version("no-such-distribution") is None
    commit = source_commit()
    assert commit is None or len(commit.rstrip("+")) == 40


def test_a_busy_machine_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    quiet = measure_speed(open_bundle("edge"), sample_pictures(2), runs=1, warm_up=0)
    cores = quiet.processor.cores
    print_speed(dataclasses.replace(quiet, load_average=float(cores)))
    assert "busy" not in capsys.readouterr().out
    print_speed(dataclasses.replace(quiet, load_average=cores + 1.5))
    assert f"load {cores + 1.5:.1f} on {cores} cores" in capsys.readouterr().out
