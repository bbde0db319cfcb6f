"""``adasr models info``: counts, budgets, and what works without torch."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from adasr.cli import main
from adasr.preset_cost import BUDGETS, PartFigures, count_presets
from adasr_core.bundle import open_bundle

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
from adasr.cli import main
sys.exit(main(["models", "info", "--json", sys.argv[1]]))
"""


def test_both_presets_keep_their_budgets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report_path = tmp_path / "models.json"
    assert main(["models", "info", "--json", str(report_path)]) == 0
    report = json.loads(report_path.read_text())
    assert set(report["presets"]) == {"edge", "base"}
    for name, limit in (("edge", 2.0), ("base", 100.0)):
        preset = report["presets"][name]
        assert preset["ok"] is True
        assert 0.0 < preset["gmac_per_frame"] <= limit
        assert 0.0 < preset["parts"]["detector"]["gmac"] <= 0.25
        assert all(part["parameters"] > 0 for part in preset["parts"].values())
    assert report["presets"]["edge"]["parts"]["detector"] == report["presets"]["base"]["parts"]["detector"]
    bundle = open_bundle("edge")
    assert report["model"]["codec_id"] == bundle.codec_id
    assert sum(report["model"]["bytes"].values()) <= 20_000_000
    text = capsys.readouterr().out
    for expected in ("edge: sizes", "base: sizes", "budget", bundle.codec_id, "detector.onnx"):
        assert expected in text


def test_over_budget_is_seen() -> None:
    presets = count_presets()
    assert presets is not None
    edge = next(preset for preset in presets if preset.name == "edge")
    assert edge.within_budget
    slow = dataclasses.replace(edge, parts={**edge.parts, "generator": PartFigures(1, BUDGETS["edge"].frame)})
    assert not slow.frame_within_budget
    assert slow.detector_within_budget
    assert not slow.within_budget
    greedy = dataclasses.replace(edge, parts={**edge.parts, "detector": PartFigures(1, 0.26)})
    assert not greedy.within_budget


def test_without_torch_the_model_is_still_shown(tmp_path: Path) -> None:
    report_path = tmp_path / "models.json"
    command = [sys.executable, "-c", WITHOUT_TORCH, str(report_path)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert finished.returncode == 0, finished.stderr
    assert "adasr[train]" in finished.stdout
    report = json.loads(report_path.read_text())
    assert report["presets"] is None
    assert report["model"]["gmac"]["generator"] > 0.1
