"""``adasr bench bitrate``: bytes of the sample clip's motion, by part."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from adasr.bitrate_bench import BitrateOptions
from adasr.cli import main
from adasr_core.bitstream import DEFAULT_QUALITY
from adasr_core.bundle import ModelBundle

SAMPLE = Path(str(files("adasr") / "sample" / "portrait.mp4"))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Of the whole sample clip; two of its 200 frames are rebuilt."""
    path = tmp_path_factory.mktemp("bitrate") / "figures.json"
    assert main(["bench", "bitrate", str(SAMPLE), "--rebuild-every", "100", "--json", str(path)]) == 0
    return json.loads(path.read_text())


def test_mean_of_the_sample_clip(report: Any, bundle: ModelBundle) -> None:
    mean = report["mean"]
    assert mean["bytes_per_frame"] <= 12
    assert mean["plain_bytes_per_frame"] > 2 * mean["bytes_per_frame"]
    assert report["quality"] == DEFAULT_QUALITY
    assert report["codec_id"] == bundle.codec_id
    (clip,) = report["clips"]
    assert clip["clip"] == "portrait"
    assert clip["frames"] == 200
    assert clip["bytes_per_frame"] == mean["bytes_per_frame"]


def test_parts_add_up_to_the_whole(report: Any) -> None:
    rates = [report["mean"], *report["schedules"], *report["curve"], *report["clips"]]
    assert len(rates) == 1 + 5 + 8 + 1
    for rate in rates:
        parts = rate["header_bytes"] + rate["keypoint_bytes"] + rate["jacobian_bytes"]
        assert parts == pytest.approx(rate["bytes_per_frame"])
        assert min(rate["header_bytes"], rate["keypoint_bytes"], rate["jacobian_bytes"]) > 0


def test_schedules_and_curve(report: Any) -> None:
    file, *calls = [rate["bytes_per_frame"] for rate in report["schedules"]]
    assert file == report["mean"]["bytes_per_frame"]
    assert calls == sorted(calls)
    curve = report["curve"]
    sizes = [point["bytes_per_frame"] for point in curve]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 2 * sizes[-1]
    (main_point,) = [point for point in curve if point["quality"] == DEFAULT_QUALITY]
    assert main_point["bytes_per_frame"] == report["mean"]["bytes_per_frame"]
    # The coarsest steps cost more of the rebuild than the finest; both are held against the same rebuilds.
    costs = [point["quantisation_cost_db"] for point in curve]
    assert costs[-1] > costs[0]
    exact = [point["psnr_db"] + point["quantisation_cost_db"] for point in curve]
    assert exact == pytest.approx([exact[0]] * len(curve))


def test_to_the_standard_output_without_pictures(portrait: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["bench", "bitrate", str(portrait), "--rebuild-every", "0", "--no-curve", "--motion-quality", "8"]
    assert main([*argv, "--json", "-"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["quality"] == 8
    assert report["curve"] == []
    assert "psnr_db" not in report["mean"]
    assert main(argv) == 0
    text = capsys.readouterr().out
    assert "bytes a frame in a file at quality index 8" in text
    assert "call, lowest delay" in text
    assert f"{report['mean']['bytes_per_frame']:.2f}" in text


def test_refusals(portrait: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "bitrate", str(portrait), "--motion-quality", "16"]) == 2
    assert "quality: got 16" in capsys.readouterr().err
    assert main(["bench", "bitrate", str(portrait), "--rebuild-every", "-1"]) == 2
    assert "rebuild_every: got -1" in capsys.readouterr().err
    assert main(["bench", "bitrate", str(portrait), "--rebuild-every", "31", "--no-curve"]) == 2
    assert "rebuild_every: got 31, but the clip has 30 frames" in capsys.readouterr().err
    assert main(["bench", "bitrate", str(tmp_path / "missing.mp4")]) == 2
    assert "missing.mp4" in capsys.readouterr().err
    with pytest.raises(ValueError, match="quality: got 99"):
        BitrateOptions(quality=4, curve=(0, 99))
