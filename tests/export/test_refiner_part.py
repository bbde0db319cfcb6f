"""A refiner in a model folder: exported, added, replaced, kept, and refused where it does not fit."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from adasr.cli import main as adasr
from adasr.sample import sample_clip_path
from adasr.sample_pictures import sample_pictures
from adasr_core.bundle import BundleError, ModelBundle, open_bundle
from adasr_core.engines.onnxruntime_runner import OnnxRuntimeRunner
from adasr_core.networks import Refiner, RefinerConfig
from export.add_refiner import add_refiner
from export.engine_builder import EngineConfig, engine_graphs
from export.export_model import WEIGHTS, export_model
from export.onnx_graphs import ALLOWED_OPERATORS, check_operators
from export.parity import ParityError, check_refiner
from export.refiner_part import REFINER_WEIGHTS, RefinerPart, kept_refiner
from export.tensorrt_support import findings
from tests.refiners import CONFIG, plain_edge, random_refiner

CLIPS = [sample_clip_path()]


def hashes(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


def test_it_is_added_and_nothing_else_changes(refined: ModelBundle, tmp_path: Path) -> None:
    plain = plain_edge(tmp_path / "plain")
    before, after = hashes(plain), hashes(refined.folder)
    assert set(after) - set(before) == {"refiner.onnx", REFINER_WEIGHTS}
    assert {name for name in before if before[name] != after[name]} == {"manifest.json"}
    manifest, was = refined.manifest, open_bundle(plain).manifest
    assert manifest.version == "9.9.9"
    assert (refined.codec_id, manifest.name, manifest.licence) == (was.codec_id, was.name, was.licence)
    assert manifest.inputs["refiner"] == {
        "earlier": (1, 3, 512, 512), "later": (1, 3, 512, 512), "weight": (1, 1, 1, 1),
    }  # fmt: skip
    assert manifest.outputs["refiner"] == {"frame": (1, 3, 512, 512)}
    assert RefinerConfig.from_dict(manifest.architecture["refiner"]) == CONFIG
    assert 0.01 < manifest.architecture["cost"]["refiner"]["gmac"] < 2
    assert manifest.architecture["cost"]["generator"] == was.architecture["cost"]["generator"]
    assert manifest.training["refiner"] == {"made": "by a test"}
    assert manifest.training["recipe"] == was.training["recipe"]


def test_another_takes_its_place(refined: ModelBundle, tmp_path: Path) -> None:
    folder = shutil.copytree(refined.folder, tmp_path / "model")
    before = hashes(folder)
    other = random_refiner(seed=8)
    other.save(tmp_path / "other.safetensors")
    rows = add_refiner(
        folder, tmp_path / "other.safetensors", CLIPS, version="10", training={"by": "x"}, quality={"y": 1}
    )
    assert {row.engine for row in rows} >= {"openvino", "onnxruntime"}
    after, manifest = hashes(folder), open_bundle(folder).manifest
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {"refiner.onnx", REFINER_WEIGHTS, "manifest.json"}
    assert "refiner" not in manifest.training, "the notes were the other one's"
    assert (manifest.training["by"], manifest.quality["y"]) == ("x", 1)
    loaded, _ = Refiner.load(folder / REFINER_WEIGHTS)
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), other.parameters(), strict=True))
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["model"], "temporary folders must be gone"


def test_what_does_not_fit_changes_nothing(refined: ModelBundle, tmp_path: Path) -> None:
    folder = shutil.copytree(refined.folder, tmp_path / "model")
    before = hashes(folder)
    small = tmp_path / "small.safetensors"
    Refiner(dataclasses.replace(CONFIG, frame_px=256)).save(small)
    good = tmp_path / "good.safetensors"
    random_refiner().save(good)
    broken = tmp_path / "broken.safetensors"
    infinite = random_refiner()
    with torch.no_grad():
        infinite.enter.conv.weight.fill_(float("nan"))
    infinite.save(broken)
    with pytest.raises(ValueError, match="for frames of 256 px, the model's are 512 px"):
        add_refiner(folder, small, CLIPS, version="10")
    with pytest.raises(ValueError, match="'refiner' in its metadata"):
        add_refiner(folder, open_bundle("edge").folder / WEIGHTS, CLIPS, version="10")
    with pytest.raises(BundleError, match="version"):
        add_refiner(folder, good, CLIPS, version="")
    with pytest.raises(ParityError, match=r"refiner\.frame on"):
        add_refiner(folder, broken, CLIPS, version="10")
    assert hashes(folder) == before
    (folder / "motion.onnx").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"motion\.onnx has 1 bytes"):
        add_refiner(folder, good, CLIPS, version="10")


def test_the_gate_sees_other_weights(refined: ModelBundle) -> None:
    frame, later = sample_pictures(2)
    rows = check_refiner(random_refiner(), refined.folder, [(frame, later)])
    assert all(row.ok for row in rows)
    with pytest.raises(ParityError, match=r"refiner\.frame on openvino"):
        check_refiner(random_refiner(seed=8), refined.folder, [(frame, later)])


def test_the_graph_keeps_to_what_tensorrt_runs_and_clips(refined: ModelBundle) -> None:
    content = refined.path("refiner").read_bytes()
    model = onnx.ModelProto.FromString(content)
    check_operators(model, "refiner")
    assert {node.op_type for node in model.graph.node} <= ALLOWED_OPERATORS
    assert b".py" not in content
    assert findings(content) == []
    for precision in ("fp32", "fp16", "bf16"):
        graphs = engine_graphs(refined, EngineConfig(precision=precision))
        assert [graph.precision for graph in graphs if graph.part == "refiner"] == [precision]
    black = np.zeros((1, 3, 512, 512), np.float32)
    runner = OnnxRuntimeRunner(refined.path("refiner"), threads=1)
    dark, light = (
        runner.run({"earlier": value, "later": value, "weight": np.zeros((1, 1, 1, 1), np.float32)})["frame"]
        for value in (black, black + 1)
    )
    assert (dark.min(), light.max()) == (0.0, 1.0), "random weights go beyond both ends"


def test_models_info_lists_it(refined: ModelBundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "info.json"
    assert adasr(["models", "info", "--model", str(refined.folder), "--json", str(report)]) == 0
    assert "refiner.onnx" in capsys.readouterr().out
    stated = refined.manifest.architecture["cost"]["refiner"]["gmac"]
    assert json.loads(report.read_text())["model"]["gmac"]["refiner"] == pytest.approx(stated, rel=0.01)


def test_an_export_keeps_the_one_that_is_there(refined: ModelBundle, tmp_path: Path) -> None:
    part = kept_refiner(refined.folder, tmp_path, 512)
    assert part == RefinerPart.of(refined.manifest)
    assert (tmp_path / "refiner.onnx").read_bytes() == refined.path("refiner").read_bytes()
    assert kept_refiner(plain_edge(tmp_path / "plain"), tmp_path, 512) is None
    assert kept_refiner(tmp_path / "nothing", tmp_path, 512) is None
    with pytest.raises(ValueError, match="for frames of 512 px, the new model's are 256 px; give another one"):
        kept_refiner(refined.folder, tmp_path, 256)
    damaged = shutil.copytree(refined.folder, tmp_path / "damaged")
    (damaged / "refiner.onnx").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"damaged, so it cannot be said which refiner it had .*remove the folder"):
        kept_refiner(damaged, tmp_path, 512)


@pytest.mark.slow
def test_a_whole_export_with_a_refiner_and_over_it(tmp_path: Path) -> None:
    edge, out = open_bundle("edge"), tmp_path / "out"
    checkpoint = tmp_path / "refiner.safetensors"
    said: list[str] = []

    def export(refiner: Path | None, version: str) -> ModelBundle:
        export_model(
            edge.folder / WEIGHTS, None, out, CLIPS, name="mine", version=version, training={}, quality={},
            bitstream_of=edge.folder, refiner=refiner, report=said.append,
        )  # fmt: skip
        return open_bundle(out)

    random_refiner().save(checkpoint, {"seed": "7"})
    first = export(checkpoint, "1")
    kept = export(None, "2")
    assert said == [f"refiner: {checkpoint}", f"refiner: kept, the one that {out} has"]
    assert kept.manifest.files["refiner"] == first.manifest.files["refiner"]
    assert kept.manifest.architecture == first.manifest.architecture
    assert [one.manifest.training["refiner"]["seed"] for one in (first, kept)] == ["7", "7"]
    assert (out / REFINER_WEIGHTS).read_bytes() == checkpoint.read_bytes()
