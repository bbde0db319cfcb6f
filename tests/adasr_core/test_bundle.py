"""Model folders: manifest, lookup, damage."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adasr_core.bitstream.tables import MotionTables
from adasr_core.bundle import (
    GRAPHS,
    MODEL_PARTS,
    BundleError,
    ModelManifest,
    ModelPart,
    codec_id_of,
    open_bundle,
    write_manifest,
)

K = 4
FILES: dict[ModelPart, str] = {
    "detector": "detector.onnx",
    "encoder": "encoder.onnx",
    "motion": "motion.onnx",
    "generator": "generator.onnx",
    "tables": "tables.safetensors",
}


def _write(folder: Path, tables: MotionTables, **changes: Any) -> ModelManifest:
    """A model folder with real tables; the graphs are never opened here, so any bytes will do."""
    folder.mkdir(parents=True, exist_ok=True)
    for graph in GRAPHS:
        (folder / f"{graph}.onnx").write_bytes(f"graph {graph}".encode() * 50)
    tables.save(folder / "tables.safetensors")
    fields: dict[str, Any] = {
        "name": "edge",
        "version": "0.1",
        "architecture": {"width": 16},
        "keypoints": K,
        "frame_px": 512,
        "detector_px": 256,
        "opset": 18,
        "files": FILES,
        "inputs": {graph: {"picture": ["batch", 3, 256, 256]} for graph in GRAPHS},
        "outputs": {graph: {"result": [1, K, 2]} for graph in GRAPHS},
        "training": {"steps": 1000},
        "quality": {"psnr_db": 25.5},
    }
    return write_manifest(folder, **(fields | changes))


@pytest.fixture
def folder(tmp_path: Path, synthetic_tables: Callable[[int], MotionTables]) -> Path:
    _write(tmp_path / "model", synthetic_tables(K))
    return tmp_path / "model"


def _edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads((folder / "manifest.json").read_text())
    change(content)
    (folder / "manifest.json").write_text(json.dumps(content))


def test_round_trip(folder: Path) -> None:
    bundle = open_bundle(folder)
    assert bundle.manifest == ModelManifest.from_json(bundle.manifest.to_json())
    assert bundle.manifest.inputs["detector"]["picture"] == ("batch", 3, 256, 256)
    assert bundle.path("detector") == folder / "detector.onnx"
    assert bundle.tables().keypoints == K
    assert open_bundle(str(folder)) == bundle
    assert sorted(path.name for path in folder.iterdir()) == sorted([*FILES.values(), "manifest.json"])


def _write_refined(folder: Path, tables: MotionTables, **changes: Any) -> ModelManifest:
    """The same with a refiner."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "refiner.onnx").write_bytes(b"graph refiner" * 50)
    shapes = {graph: {"tensor": [1, 3, 8, 8]} for graph in (*GRAPHS, "refiner")}
    fields = {"files": {**FILES, "refiner": "refiner.onnx"}, "inputs": shapes, "outputs": shapes}
    return _write(folder, tables, **(fields | changes))


def test_a_refiner_is_a_part_that_a_model_may_have(
    folder: Path, tmp_path: Path, synthetic_tables: Callable[[int], MotionTables]
) -> None:
    plain = open_bundle(folder)
    assert not plain.has("refiner")
    assert plain.has("motion")
    assert plain.manifest.parts == MODEL_PARTS
    assert plain.manifest.graphs == GRAPHS
    _write_refined(tmp_path / "refined", synthetic_tables(K))
    refined = open_bundle(tmp_path / "refined")
    assert refined.has("refiner")
    assert refined.path("refiner").name == "refiner.onnx"
    assert refined.manifest.parts == (*MODEL_PARTS, "refiner")
    assert refined.manifest.graphs == (*GRAPHS, "refiner")
    assert refined.codec_id == plain.codec_id, "it is a matter of the receiver alone"
    assert ModelManifest.from_json(refined.manifest.to_json()) == refined.manifest


def test_a_refiner_is_checked_as_the_other_parts_are(
    tmp_path: Path, synthetic_tables: Callable[[int], MotionTables]
) -> None:
    folder, tables = tmp_path / "refined", synthetic_tables(K)
    _write_refined(folder, tables)
    content = (folder / "manifest.json").read_text()
    (folder / "refiner.onnx").write_bytes(b"graph Refiner" * 50)
    with pytest.raises(BundleError, match=r"refiner.onnx was changed.*install the model again"):
        open_bundle(folder)
    (folder / "refiner.onnx").unlink()
    with pytest.raises(BundleError, match=r"cannot read refiner.onnx .*install the model again"):
        open_bundle(folder)
    for field in ("inputs", "outputs"):
        (folder / "manifest.json").write_text(content)
        _edit(folder, lambda manifest, field=field: manifest[field].pop("refiner"))  # type: ignore[misc]
        with pytest.raises(BundleError, match=rf"{field}: got .*expected .*refiner"):
            open_bundle(folder)
    with pytest.raises(BundleError, match="inputs"):
        _write_refined(folder, tables, files=FILES)


def test_codec_id_is_detector_and_tables(folder: Path) -> None:
    digests = [hashlib.sha256((folder / FILES[part]).read_bytes()).digest() for part in ("detector", "tables")]
    expected = hashlib.sha256(digests[0] + digests[1]).hexdigest()[:16]
    assert open_bundle(folder).codec_id == expected
    assert codec_id_of(digests[0].hex(), digests[1].hex()) == expected


@pytest.mark.parametrize("part", MODEL_PARTS)
def test_every_changed_file_is_named(folder: Path, part: ModelPart) -> None:
    path = folder / FILES[part]
    intact = path.read_bytes()
    path.write_bytes(intact[:-1] + bytes([intact[-1] ^ 1]))
    with pytest.raises(BundleError, match=rf"{FILES[part]} was changed.*install the model again"):
        open_bundle(folder)
    path.write_bytes(intact[:-1])
    with pytest.raises(BundleError, match=rf"{FILES[part]} has {len(intact) - 1} bytes"):
        open_bundle(folder)
    path.unlink()
    with pytest.raises(BundleError, match=f"cannot read {FILES[part]}"):
        open_bundle(folder)
    path.write_bytes(intact)
    open_bundle(folder)


@pytest.mark.parametrize(
    ("message", "change"),
    [
        ("unknown keys.*extra", lambda m: m.update(extra=1)),
        ("missing keys.*opset", lambda m: m.pop("opset")),
        ("format", lambda m: m.update(format="other")),
        ("format_version: got 2", lambda m: m.update(format_version=2)),
        ("keypoints: got str", lambda m: m.update(keypoints="4")),
        ("keypoints: got bool", lambda m: m.update(keypoints=True)),
        ("keypoints: got 0", lambda m: m.update(keypoints=0)),
        ("frame_px: got 5", lambda m: m.update(frame_px=5)),
        ("name", lambda m: m.update(name="../edge")),
        ("codec_id", lambda m: m.update(codec_id="0" * 16)),
        ("files", lambda m: m["files"].pop("motion")),
        ("files", lambda m: m["files"].update(other=m["files"]["motion"])),
        ("files.motion", lambda m: m["files"].update(motion="motion.onnx")),
        ("files.motion.path", lambda m: m["files"]["motion"].update(path="../motion.onnx")),
        ("files.motion.path", lambda m: m["files"]["motion"].update(path="/etc/passwd")),
        ("files.motion.sha256", lambda m: m["files"]["motion"].update(sha256="zz")),
        ("files.motion.bytes: got float", lambda m: m["files"]["motion"].update(bytes=1.0)),
        ("files.motion.*unknown keys", lambda m: m["files"]["motion"].update(url="x")),
        ("inputs", lambda m: m["inputs"].pop("motion")),
        ("inputs.motion", lambda m: m["inputs"].update(motion=[1])),
        ("inputs.motion.picture", lambda m: m["inputs"]["motion"].update(picture=[1, 0])),
        ("inputs.motion.picture", lambda m: m["inputs"]["motion"].update(picture="1")),
        ("training: got list", lambda m: m.update(training=[])),
    ],
)
def test_manifest_mistakes_are_named(folder: Path, message: str, change: Callable[[dict[str, Any]], object]) -> None:
    _edit(folder, change)
    with pytest.raises(BundleError, match=message):
        open_bundle(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"x"', b"\xff\xfe", b"[" * 100_000, b"x" * (1 << 20 | 1)])
def test_a_manifest_that_is_none(folder: Path, content: bytes) -> None:
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(BundleError, match="manifest"):
        open_bundle(folder)


def test_every_truncation_of_a_manifest(folder: Path) -> None:
    data = (folder / "manifest.json").read_bytes().rstrip()
    for length in range(0, len(data), 7):
        (folder / "manifest.json").write_bytes(data[:length])
        with pytest.raises(BundleError, match="manifest"):
            open_bundle(folder)


def test_tables_of_another_model(folder: Path, synthetic_tables: Callable[[int], MotionTables]) -> None:
    _write(folder, synthetic_tables(3))
    with pytest.raises(BundleError, match="tables are for 3 keypoints, the manifest says 4"):
        open_bundle(folder).tables()


def test_damaged_tables_behind_a_right_hash(folder: Path, synthetic_tables: Callable[[int], MotionTables]) -> None:
    (folder / "junk").write_bytes(b"junk")
    _write(folder, synthetic_tables(K), files={**FILES, "tables": "junk"})
    with pytest.raises(BundleError, match="not a safetensors file"):
        open_bundle(folder).tables()


def test_names(
    tmp_path: Path, synthetic_tables: Callable[[int], MotionTables], monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path / "adasr" / "models" / "tiny", synthetic_tables(K), name="tiny")
    (tmp_path / "adasr" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "adasr", raising=False)
    monkeypatch.chdir(tmp_path)
    assert open_bundle("tiny").manifest.name == "tiny"
    for missing in ("nothing-of-that-name", "../adasr/models", "no/such/folder", ""):
        with pytest.raises(BundleError, match="give the path of a model folder"):
            open_bundle(missing)


def test_write_manifest_refuses(folder: Path, synthetic_tables: Callable[[int], MotionTables]) -> None:
    before = (folder / "manifest.json").read_bytes()
    with pytest.raises(BundleError, match="files"):
        _write(folder, synthetic_tables(K), files={"detector": "detector.onnx"})
    with pytest.raises(BundleError, match="opset"):
        _write(folder, synthetic_tables(K), opset=0)
    with pytest.raises(BundleError, match="outputs"):
        _write(folder, synthetic_tables(K), outputs={})
    with pytest.raises(FileNotFoundError):
        _write(folder, synthetic_tables(K), files={**FILES, "motion": "missing.onnx"})
    assert (folder / "manifest.json").read_bytes() == before
