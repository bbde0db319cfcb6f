"""A training state in parts: numpy's npz without pickle, cut into files of at most 15 MiB, with a manifest.

``state.json`` holds where the run stands and each part's name, bytes and SHA-256; it is written last, so that a folder
with a manifest is whole or says what is missing.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import torch

from adasr_core.networks import CheckpointedNetworks
from training.trainer.state import Progress, TrainingState

PART_BYTES = 15 * 2**20
"""Most bytes of a part."""
MANIFEST = "state.json"


def write_parts(state: TrainingState, folder: Path, part_bytes: int = PART_BYTES) -> list[Path]:
    """Write a state; returns all files, the manifest last. What was in the folder before is replaced.

    Raises:
        ValueError: `part_bytes` is not above 0.
    """
    if part_bytes <= 0:
        raise ValueError(f"part_bytes: got {part_bytes}, expected above 0")
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez(buffer, **{name: tensor.numpy() for name, tensor in state.tensors.items()})  # type: ignore[arg-type]
    content = buffer.getbuffer()
    old = set(folder.glob("state-*.part"))
    paths, listed = [], []
    for number, at in enumerate(range(0, len(content), part_bytes)):
        # The step is in the name: parts of two states never mix, whenever the writing is cut off.
        path = folder / f"state-{state.progress.step:08d}-{number:03d}.part"
        part = content[at : at + part_bytes]
        path.write_bytes(part)
        listed.append({"name": path.name, "bytes": len(part), "sha256": hashlib.sha256(part).hexdigest()})
        paths.append(path)
    manifest = folder / MANIFEST
    unfinished = folder / "state.unfinished"
    unfinished.write_text(json.dumps({"progress": json.loads(state.progress.to_json()), "parts": listed}))
    unfinished.replace(manifest)
    for path in old - set(paths):
        path.unlink()
    return [*paths, manifest]


def read_parts(folder: Path) -> TrainingState:
    """Read what `write_parts` wrote.

    Raises:
        ValueError: a part is missing, damaged, or belongs to another state.
        OSError: there is no manifest.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"{path}: not there; expected a state of adasr train slice, with its {MANIFEST}")
    try:
        manifest = json.loads(path.read_text())
        progress = Progress.from_json(json.dumps(manifest["progress"]))
        listed = [(str(p["name"]), int(p["bytes"]), str(p["sha256"])) for p in manifest["parts"]]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: damaged ({error}); carry the state again") from error
    content = bytearray()
    for name, size, digest in listed:
        part = folder / Path(name).name
        if not part.is_file():
            raise ValueError(f"{part}: part missing, expected {len(listed)} parts; carry all of them")
        piece = part.read_bytes()
        if len(piece) != size or hashlib.sha256(piece).hexdigest() != digest:
            raise ValueError(f"{part}: does not have the SHA-256 of {MANIFEST}; carry it again")
        content += piece
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            tensors = {name: torch.from_numpy(arrays[name].copy()) for name in arrays.files}
    except (zipfile.BadZipFile, EOFError, ValueError) as error:
        raise ValueError(f"{folder}: its parts make no state ({error}); carry the state again") from error
    return TrainingState(tensors, progress)


class PartsKeeper:
    """Leaves the state in parts at every report; the averaged weights are inside it."""

    def __init__(self, folder: Path, *, weights_only: bool = False, part_bytes: int = PART_BYTES) -> None:
        """`weights_only`: averaged weights in half precision instead of all that an exact resume needs."""
        self.folder, self.weights_only, self.part_bytes = folder, weights_only, part_bytes

    def checkpoint(self, averaged: CheckpointedNetworks, notes: dict[str, str], *, best: bool) -> None:
        """The state holds these weights."""

    def state(self, state: TrainingState) -> None:
        """Write the parts."""
        write_parts(state.weights_only() if self.weights_only else state, self.folder, self.part_bytes)
