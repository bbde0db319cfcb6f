"""``adasr bench compare``: rows of every codec at the wire rate that was asked for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adasr.cli import main
from adasr.compare_bench import CompareOptions, CompareReport, print_comparison
from adasr.compare_row import BEST_RATE_SUFFIX, SETTINGS_END, CompareRow
from benchmarks.display_quality import DisplayQuality
from benchmarks.video_codecs import VIDEO_CODECS
from benchmarks.wire_rate_search import RateTarget

SVT = VIDEO_CODECS["svt-av1"]


def row(clip: str, codec: str, kbps: float, psnr_db: float) -> CompareRow:
    return CompareRow(
        clip=clip,
        codec=codec,
        settings=f"{SVT.settings}{SETTINGS_END}crf 60",
        target_kbps=kbps,
        frame_rate=25.0,
        wire_kbps=kbps - 0.2,
        steady_kbps=kbps - 1.0,
        first_picture_bytes=1500,
        quality=DisplayQuality(psnr_db, psnr_db - 1, 0.9, 0.6),
    )


def report_of(rows: list[CompareRow]) -> CompareReport:
    return CompareReport(True, None, {"a": "1" * 64, "b": "2" * 64}, rows)


def test_the_table_of_a_clip(landmarked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    destination = tmp_path / "report.json"
    arguments = ["bench", "compare", str(landmarked), "--kbps", "20,40", "--frames", "24", "--anchors", "4,8"]
    assert main([*arguments, "--codecs", "adasr,svt-av1", "--json", str(destination)]) == 0
    table = capsys.readouterr().out
    assert "20 kbps on the wire (first picture included), mean of 1 clips" in table
    rows = json.loads(destination.read_text())["rows"]
    by_codec = {name: [entry for entry in rows if entry["codec"] == name] for name in ("adasr", "svt-av1")}
    for entries in by_codec.values():
        assert [entry["target_kbps"] for entry in entries] == [20, 40]
        for entry in entries:
            assert entry["steady_kbps"] < entry["wire_kbps"]
            assert 15 < entry["quality"]["psnr_db"] < 50
            assert 0.4 < entry["quality"]["ssim"] <= 1
    for entry in by_codec["svt-av1"]:
        assert 0.9 * entry["target_kbps"] < entry["wire_kbps"] <= entry["target_kbps"]
    for entry in by_codec["adasr"]:
        assert entry["wire_kbps"] <= entry["target_kbps"]
        assert "anchor every" in entry["settings"]
    known = CompareReport.read(destination)
    assert [entry.to_json() for entry in known.rows] == rows


def test_earlier_figures_are_taken_where_nothing_changed() -> None:
    rows = [row("a", "svt-av1", 20, 30), row("a", "svt-av1" + BEST_RATE_SUFFIX, 20, 31), row("b", "svt-av1", 20, 28)]
    report = report_of(rows)
    assert report.rows_of("1" * 64, SVT, RateTarget(kbps=20), None) == rows[:2]
    assert report.rows_of("3" * 64, SVT, RateTarget(kbps=20), None) == []
    assert report.rows_of("1" * 64, SVT, RateTarget(kbps=25), None) == []
    assert report.rows_of("1" * 64, SVT, RateTarget(kbps=20, first_picture_counts=False), None) == []
    assert report.rows_of("1" * 64, SVT, RateTarget(kbps=20), 100) == []
    slower = replace(SVT, options={**SVT.options, "preset": "5"})
    assert report.rows_of("1" * 64, slower, RateTarget(kbps=20), None) == []


def test_means_are_of_codecs_that_reach_the_rate_on_every_clip(capsys: pytest.CaptureFixture[str]) -> None:
    held = "svt-av1" + BEST_RATE_SUFFIX
    report = report_of(
        [row("a", "svt-av1", 20, 30), row("a", held, 20, 32), row("b", "svt-av1", 20, 28), row("a", "vp9", 20, 25)]
    )
    means = {mean.codec: mean.quality.psnr_db for mean in report.mean()}
    assert means == {"svt-av1": pytest.approx(29), held: pytest.approx(30)}
    print_comparison(report)
    assert "1 of 2" in capsys.readouterr().out, "VP9 on one clip only"


def test_wrong_names_and_rates_are_refused(landmarked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "compare", str(landmarked), "--codecs", "h261"]) == 2
    assert "expected some of adasr, svt-av1, x265, vp9, x264" in capsys.readouterr().err
    with pytest.raises(ValueError, match="kbps: got -3"):
        CompareOptions(kbps=(-3.0,))


def test_landmarks_of_another_clip_are_refused(landmarked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with np.load(landmarked.with_suffix(".npz")) as file:
        deltas = file["landmarks_delta_q"]
    np.savez(landmarked.with_suffix(".npz"), landmarks_delta_q=deltas[:-2])
    assert main(["bench", "compare", str(landmarked), "--codecs", "vp9"]) == 2
    assert "as the landmarks have" in capsys.readouterr().err


def test_a_report_of_another_kind_is_refused(tmp_path: Path, landmarked: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"clips": {}}')
    assert main(["bench", "compare", str(landmarked), "--codecs", "vp9", "--reuse", str(other)]) == 2
