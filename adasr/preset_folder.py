"""``--model preset:base``: a preset without training as a model folder, made once and kept in the user's cache."""

import hashlib
import json
import os
from pathlib import Path

from adasr_core.bundle import MANIFEST_NAME, BundleError, ModelBundle, open_bundle

PREFIX = "preset:"
TRAINED = "edge"
"""The model whose detector and bitstream a preset gets."""


def open_model(name: str, folder: Path | None = None) -> ModelBundle:
    """Open a model by name or path, or make the preset after ``preset:``.

    Args:
        name: as `open_bundle` takes it, or "preset:base".
        folder: where presets are kept; None is `cache_folder`.

    Raises:
        BundleError: no such model, or it is damaged.
        ValueError: no such preset, or torch is not there to make it.
    """
    if not name.startswith(PREFIX):
        return open_bundle(name)
    preset = name.removeprefix(PREFIX)
    try:
        from adasr_core.networks import PRESETS
        from export.preset_model import SEED, export_preset
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("torch", "onnx", "onnxscript"):
            raise
        raise ValueError(f"model {name}: making it needs {error.name}; pip install 'adasr[train]'") from error
    if preset not in PRESETS:
        raise ValueError(f"model {name}: no such preset, expected one of {', '.join(PRESETS)}")
    trained = open_bundle(TRAINED)
    recipe = json.dumps([PRESETS[preset].to_dict(), SEED, trained.codec_id, _sources()], sort_keys=True)
    kept = (folder or cache_folder()) / f"preset-{preset}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    if not (kept / MANIFEST_NAME).is_file():
        from adasr.sample import sample_clip_path

        kept.parent.mkdir(parents=True, exist_ok=True)
        export_preset(preset, trained, kept, [sample_clip_path()])
    try:
        return open_bundle(kept)
    except BundleError as error:
        raise BundleError(f"{error}; delete {kept}, and it is made anew") from error


def cache_folder() -> Path:
    """Where made files are kept: ``adasr`` in $XDG_CACHE_HOME, or in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "adasr"


def _sources() -> str:
    """Hash of the code that decides what a preset becomes."""
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for file in (*sorted((root / "adasr_core" / "networks").glob("*.py")), root / "export" / "onnx_graphs.py"):
        digest.update(file.read_bytes())
    return digest.hexdigest()
