"""Model folders: a manifest, four or five ONNX graphs and the coder's tables, every file checked by its sha256."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from adasr_core.bitstream.tables import MotionTables
from adasr_core.geometry import MAX_KEYPOINTS

MANIFEST_FORMAT = "adasr-model"
MANIFEST_VERSION = 1
MANIFEST_NAME = "manifest.json"
DEFAULT_MODEL = "edge"

ModelPart = Literal["detector", "encoder", "motion", "generator", "tables", "refiner"]
OPTIONAL_PARTS: tuple[ModelPart, ...] = ("refiner",)
"""Parts that a model may have or not."""
MODEL_PARTS: tuple[ModelPart, ...] = tuple(part for part in get_args(ModelPart) if part not in OPTIONAL_PARTS)
"""Parts that every model has."""
GRAPHS = tuple(part for part in MODEL_PARTS if part != "tables")
"""Graphs that every model has."""
QuantisedPart = Literal["motion", "generator"]
Precision = Literal["f32", "int8"]
"""How the numbers of a graph are stored; an engine may compute in another precision."""

Shape = tuple[int | str, ...]
"""Shape of a graph's input or output; a name stands for a size that is free at run time."""

_MAX_MANIFEST_BYTES = 1024 * 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HASH = re.compile(r"[0-9a-f]{64}")


class BundleError(ValueError):
    """A model folder is missing, incomplete, changed or of another format. The message says what to do."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model folder.

    path: plain file name inside the folder. sha256: 64 hex digits. bytes: size.
    """

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelManifest:
    """What `manifest.json` says.

    name: model name, for example "edge". version: the model's own version. architecture: configuration of the networks.
    keypoints: K. frame_px: side of a rebuilt frame. detector_px: side of the detector's input. opset: ONNX opset.
    files: the parts by name: MODEL_PARTS, and those of OPTIONAL_PARTS that the model has. inputs, outputs: for every
    graph the shapes by tensor name.
    codec_id: 16 hex digits; peers with different ids cannot decode each other.
    training, quality: free form, for people.
    licence: SPDX identifier of the weights.

    The constructor checks every field and raises BundleError.
    """

    name: str
    version: str
    architecture: Mapping[str, Any]
    keypoints: int
    frame_px: int
    detector_px: int
    opset: int
    files: Mapping[str, ModelFile]
    inputs: Mapping[str, Mapping[str, Shape]]
    outputs: Mapping[str, Mapping[str, Shape]]
    codec_id: str
    training: Mapping[str, Any]
    quality: Mapping[str, Any]
    licence: str

    def __post_init__(self) -> None:
        """Check every field. Raises BundleError that names it."""
        _expect("name", self.name, "a short plain name", bool(_NAME.fullmatch(self.name)))
        _expect("version", self.version, "1 to 64 characters", 1 <= len(self.version) <= 64)
        _expect("licence", self.licence, "1 to 64 characters", 1 <= len(self.licence) <= 64)
        _expect("keypoints", self.keypoints, f"1..{MAX_KEYPOINTS}", 1 <= self.keypoints <= MAX_KEYPOINTS)
        _expect("frame_px", self.frame_px, "16..2048", 16 <= self.frame_px <= 2048)
        _expect("detector_px", self.detector_px, "16..2048", 16 <= self.detector_px <= 2048)
        _expect("opset", self.opset, "1..99", 1 <= self.opset <= 99)
        _expect_parts(self.files)
        for part, file in self.files.items():
            _expect(f"files.{part}.path", file.path, "a plain file name", bool(_NAME.fullmatch(file.path)))
            _expect(f"files.{part}.sha256", file.sha256, "64 hex digits", bool(_HASH.fullmatch(file.sha256)))
            _expect(f"files.{part}.bytes", file.bytes, "0 or more", file.bytes >= 0)
        for name, shapes in (("inputs", self.inputs), ("outputs", self.outputs)):
            _expect(name, sorted(shapes), f"{sorted(self.graphs)}", set(shapes) == set(self.graphs))
        expected = codec_id_of(self.files["detector"].sha256, self.files["tables"].sha256)
        _expect("codec_id", self.codec_id, f"{expected} (from the detector and the tables)", self.codec_id == expected)
        stated = self.architecture.get("precision", {})
        known = isinstance(stated, Mapping) and all(
            part in get_args(QuantisedPart) and precision == "int8" for part, precision in stated.items()
        )
        _expect("architecture.precision", stated, 'motion or generator: "int8", or nothing', known)

    @property
    def parts(self) -> tuple[ModelPart, ...]:
        """The parts that this model has."""
        return tuple(part for part in get_args(ModelPart) if part in self.files)

    @property
    def graphs(self) -> tuple[ModelPart, ...]:
        """Those of its parts that are graphs."""
        return tuple(part for part in self.parts if part != "tables")

    def precision(self, part: ModelPart) -> Precision:
        """How a part is stored: float32, unless ``architecture.precision`` says int8."""
        return "int8" if part in self.architecture.get("precision", {}) else "f32"

    def to_json(self) -> str:
        """The manifest's text; `from_json` reads it back."""
        content: dict[str, Any] = {"format": MANIFEST_FORMAT, "format_version": MANIFEST_VERSION}
        for field in fields(self):
            content[field.name] = getattr(self, field.name)
        content["files"] = {
            part: {"path": self.files[part].path, "sha256": self.files[part].sha256, "bytes": self.files[part].bytes}
            for part in self.parts
        }
        return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> ModelManifest:
        """Parse and check a manifest.

        Raises:
            BundleError: not JSON, or a key is unknown, missing, of another type or out of range.
        """
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BundleError(f"manifest: not JSON ({error}); install the model again") from error
        if not isinstance(content, dict):
            raise BundleError(f"manifest: got a JSON {type(content).__name__}, expected an object")
        if content.pop("format", None) != MANIFEST_FORMAT:
            raise BundleError(f"manifest: its format is not {MANIFEST_FORMAT!r}; this is no model of adasr")
        version = content.pop("format_version", None)
        if version != MANIFEST_VERSION:
            raise BundleError(f"manifest format_version: got {version}, expected {MANIFEST_VERSION}; update adasr")
        _expect_keys("manifest", content, [field.name for field in fields(cls)])
        types = {
            str: ("name", "version", "codec_id", "licence"),
            int: ("keypoints", "frame_px", "detector_px", "opset"),
        }
        for expected_type, names in types.items():
            for name in names:
                _expect_type(name, content[name], expected_type)
        for name in ("architecture", "files", "inputs", "outputs", "training", "quality"):
            _expect_type(name, content[name], dict)
        content["files"] = {part: _parse_file(part, value) for part, value in content["files"].items()}
        for name in ("inputs", "outputs"):
            content[name] = {graph: _parse_shapes(f"{name}.{graph}", shapes) for graph, shapes in content[name].items()}
        return cls(**content)


@dataclass(frozen=True, slots=True)
class ModelBundle:
    """An opened model folder whose files were all checked.

    folder: where it lies. manifest: what it says.
    """

    folder: Path
    manifest: ModelManifest

    @property
    def codec_id(self) -> str:
        """16 hex digits that name the meaning of packets: detector and tables."""
        return self.manifest.codec_id

    def has(self, part: ModelPart) -> bool:
        """Whether the model has a part; one that is not in OPTIONAL_PARTS every model has."""
        return part in self.manifest.files

    def path(self, part: ModelPart) -> Path:
        """The file of a part that it has."""
        return self.folder / self.manifest.files[part].path

    def tables(self) -> MotionTables:
        """Load the coder's tables.

        Raises:
            BundleError: they are damaged or made for another number of keypoints.
        """
        try:
            tables = MotionTables.load(self.path("tables"))
        except (ValueError, OSError) as error:
            raise BundleError(f"model {self.folder}: {error}") from error
        if tables.keypoints != self.manifest.keypoints:
            raise BundleError(
                f"model {self.folder}: tables are for {tables.keypoints} keypoints, the manifest says "
                f"{self.manifest.keypoints}; export the model again"
            )
        return tables


def codec_id_of(detector_sha256: str, tables_sha256: str) -> str:
    """Codec id: the first 16 hex digits of the sha256 over the two files' digests, detector first."""
    return hashlib.sha256(bytes.fromhex(detector_sha256) + bytes.fromhex(tables_sha256)).hexdigest()[:16]


def open_bundle(name_or_path: str | Path = DEFAULT_MODEL) -> ModelBundle:
    """Open a model by name, or by the path of its folder, and check the sha256 of every file.

    A path to a folder with a manifest comes first; else the name is looked up among the installed models, then in a
    checkout's ``models`` folder.

    Raises:
        BundleError: there is no such model, or a file of it is missing or changed.
    """
    folder = _find(name_or_path)
    try:
        manifest_file = folder / MANIFEST_NAME
        if manifest_file.stat().st_size > _MAX_MANIFEST_BYTES:
            raise BundleError(f"model {folder}: {MANIFEST_NAME} is above {_MAX_MANIFEST_BYTES} bytes")
        text = manifest_file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"model {folder}: cannot read {MANIFEST_NAME} ({error}); install the model again") from error
    try:
        manifest = ModelManifest.from_json(text)
    except BundleError as error:
        raise BundleError(f"model {folder}: {error}") from error
    for part in manifest.parts:
        _check_file(folder, manifest.files[part])
    return ModelBundle(folder, manifest)


def write_manifest(
    folder: Path,
    *,
    name: str,
    version: str,
    architecture: Mapping[str, Any],
    keypoints: int,
    frame_px: int,
    detector_px: int,
    opset: int,
    files: Mapping[ModelPart, str],
    inputs: Mapping[str, Mapping[str, Sequence[int | str]]],
    outputs: Mapping[str, Mapping[str, Sequence[int | str]]],
    training: Mapping[str, Any],
    quality: Mapping[str, Any],
    licence: str = "Apache-2.0",
) -> ModelManifest:
    """Hash the files of a folder and write its manifest, whole or not at all.

    files: file name of every part, relative to the folder. The rest: see `ModelManifest`.

    Raises:
        BundleError: a field is out of range or a part is missing.
        OSError: a file cannot be read or the manifest not written.
    """
    _expect_parts(files)
    hashed = {part: _describe(folder, file) for part, file in files.items()}
    manifest = ModelManifest(
        name=name,
        version=version,
        architecture=architecture,
        keypoints=keypoints,
        frame_px=frame_px,
        detector_px=detector_px,
        opset=opset,
        files={str(part): file for part, file in hashed.items()},
        inputs={graph: _parse_shapes(f"inputs.{graph}", shapes) for graph, shapes in inputs.items()},
        outputs={graph: _parse_shapes(f"outputs.{graph}", shapes) for graph, shapes in outputs.items()},
        codec_id=codec_id_of(hashed["detector"].sha256, hashed["tables"].sha256),
        training=training,
        quality=quality,
        licence=licence,
    )
    temporary = folder / (MANIFEST_NAME + ".part")
    temporary.write_text(manifest.to_json(), encoding="utf-8")
    os.replace(temporary, folder / MANIFEST_NAME)
    return manifest


def _find(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if (path / MANIFEST_NAME).is_file():
        return path
    name = str(name_or_path)
    searched = [path]
    if _NAME.fullmatch(name):
        package = importlib.util.find_spec("adasr")
        roots = [Path(root) for root in (package.submodule_search_locations or ())] if package else []
        roots.append(Path(__file__).resolve().parents[1])
        for root in roots:
            searched.append(root / "models" / name)
            if (searched[-1] / MANIFEST_NAME).is_file():
                return searched[-1]
    places = ", ".join(str(place) for place in dict.fromkeys(searched))
    raise BundleError(f"model {name!r}: no {MANIFEST_NAME} in {places}; give the path of a model folder")


def _describe(folder: Path, file_name: str) -> ModelFile:
    file = folder / file_name
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return ModelFile(path=file_name, sha256=digest, bytes=file.stat().st_size)


def _check_file(folder: Path, expected: ModelFile) -> None:
    try:
        found = _describe(folder, expected.path)
    except OSError as error:
        raise BundleError(f"model {folder}: cannot read {expected.path} ({error}); install the model again") from error
    if found.bytes != expected.bytes:
        raise BundleError(
            f"model {folder}: {expected.path} has {found.bytes} bytes, the manifest says {expected.bytes}; "
            "install the model again"
        )
    if found.sha256 != expected.sha256:
        raise BundleError(
            f"model {folder}: {expected.path} was changed (sha256 {found.sha256[:16]}..., the manifest says "
            f"{expected.sha256[:16]}...); install the model again"
        )


def _parse_file(part: str, value: object) -> ModelFile:
    _expect_type(f"files.{part}", value, dict)
    assert isinstance(value, dict)
    _expect_keys(f"files.{part}", value, ["path", "sha256", "bytes"])
    _expect_type(f"files.{part}.path", value["path"], str)
    _expect_type(f"files.{part}.sha256", value["sha256"], str)
    _expect_type(f"files.{part}.bytes", value["bytes"], int)
    return ModelFile(**value)


def _parse_shapes(name: str, value: object) -> dict[str, Shape]:
    if not isinstance(value, Mapping):
        raise BundleError(f"manifest {name}: got {type(value).__name__}, expected shapes by tensor name")
    shapes: dict[str, Shape] = {}
    for tensor, shape in value.items():
        if not isinstance(shape, Sequence) or isinstance(shape, str):
            raise BundleError(f"manifest {name}.{tensor}: got {shape!r}, expected a list of sizes")
        for size in shape:
            valid = size >= 1 if isinstance(size, int) and not isinstance(size, bool) else isinstance(size, str)
            _expect(f"{name}.{tensor}", size, "sizes of 1 or more, or names", valid)
        shapes[tensor] = tuple(shape)
    return shapes


def _expect_parts(files: Mapping[str, object] | Mapping[ModelPart, object]) -> None:
    missing, unknown = set(MODEL_PARTS) - set(files), set(files) - set(get_args(ModelPart))
    expected = f"{sorted(MODEL_PARTS)}, and {' and '.join(OPTIONAL_PARTS)} or not"
    _expect("files", sorted(files), expected, not missing and not unknown)


def _expect(name: str, got: object, expected: str, condition: bool) -> None:
    if not condition:
        raise BundleError(f"manifest {name}: got {got!r}, expected {expected}")


def _expect_type(name: str, value: object, expected: type) -> None:
    if not isinstance(value, expected) or isinstance(value, bool):
        raise BundleError(f"manifest {name}: got {type(value).__name__}, expected {expected.__name__}")


def _expect_keys(name: str, content: Mapping[str, object], keys: Sequence[str]) -> None:
    unknown, missing = sorted(set(content) - set(keys)), sorted(set(keys) - set(content))
    if unknown or missing:
        raise BundleError(f"{name}: unknown keys {unknown}, missing keys {missing}; export the model again")
