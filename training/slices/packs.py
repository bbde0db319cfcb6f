"""Packs: a data set in files small enough to carry.

A pack is an uncompressed tar. Its first member, ``manifest.json``, holds the rows of ``index.csv`` for its clips and
the SHA-256 of every file; then come clips, stills, super-resolved twins and landmarks under their own names. Each pack
stands alone: any of them, in any order, make a data set.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

PACK_BYTES = 28 * 2**20
"""Most bytes of a pack."""
FORMAT = 1
MANIFEST = "manifest.json"
Row = dict[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class PackConfig:
    """How a data set is packed."""

    pack_bytes: int = PACK_BYTES
    """Most bytes of a pack."""
    max_packs: int | None = None
    """Stop after so many packs; the first holds the validation clips and stills."""
    clips: int | None = None
    """Take so many training clips, drawn evenly over the identities."""
    seed: int = 0
    """Seed of the order of the training clips: every pack holds a mixture."""

    def __post_init__(self) -> None:
        """Raises ValueError for a size or count that is not above 0."""
        for name in ("pack_bytes", "max_packs", "clips"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name}: got {value}, expected above 0")


def sha256_of(content: bytes) -> str:
    """Hexadecimal digest."""
    return hashlib.sha256(content).hexdigest()


def pack(data: Path, out: Path, config: PackConfig = PackConfig()) -> list[Path]:
    """Write the packs ``pack-000.tar`` ... of a data set with an ``index.csv``; returns their paths.

    Raises:
        ValueError: one clip alone is larger than a pack.
        OSError: the data set cannot be read.
    """
    with (data / "index.csv").open() as file:
        rows = list(csv.DictReader(file))
    out.mkdir(parents=True, exist_ok=True)
    packs: list[Path] = []
    pending: list[tuple[Row, dict[str, bytes]]] = []
    size = 0
    for row in _order(rows, config):
        files = {name: (data / name).read_bytes() for name in _files(data, row)}
        # A member costs a header of 512 bytes and padding to 512; the manifest names it and its digest.
        cost = sum(len(content) + 1024 + 256 for content in files.values()) + 1024
        if cost + 20_480 > config.pack_bytes:
            raise ValueError(f"{row['file']}: {cost} bytes, expected at most {config.pack_bytes}; cut it shorter")
        if pending and size + cost + 20_480 > config.pack_bytes:
            packs.append(_write(out / f"pack-{len(packs):03d}.tar", pending))
            pending, size = [], 0
            if len(packs) == config.max_packs:
                return packs
        pending.append((row, files))
        size += cost
    packs.append(_write(out / f"pack-{len(packs):03d}.tar", pending))
    return packs


def _order(rows: list[Row], config: PackConfig) -> list[Row]:
    """Validation clips, stills, then training clips: one of each identity, a second of each, and so on."""
    train = [r for r in rows if r["split"] == "train"]
    shuffled = [train[i] for i in np.random.default_rng(config.seed).permutation(len(train))]
    seen: dict[str, int] = {}
    turns = []
    for row in shuffled:
        turns.append(seen.get(row["identity"], 0))
        seen[row["identity"]] = turns[-1] + 1
    chosen = [shuffled[i] for i in np.argsort(turns, kind="stable")][: config.clips]
    return [r for r in rows if r["split"] == "val"] + [r for r in rows if r["split"] == "stills"] + chosen


def _files(data: Path, row: Row) -> list[str]:
    """Names of a row's files: clip, landmarks and, where it is, the super-resolved twin."""
    twin = PurePosixPath(row["file"]).with_suffix(".sr.mp4").as_posix()
    return [row["file"], row["landmarks"], *([twin] if (data / twin).is_file() else [])]


def _write(path: Path, entries: Iterable[tuple[Row, dict[str, bytes]]]) -> Path:
    listed = list(entries)
    files = {name: content for _, contents in listed for name, content in contents.items()}
    manifest = {
        "format": FORMAT,
        "rows": [row for row, _ in listed],
        "sha256": {name: sha256_of(content) for name, content in files.items()},
    }
    with tarfile.open(path, "w") as tar:
        for name, content in ({MANIFEST: json.dumps(manifest).encode()} | files).items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def unpack(path: Path, data: Path) -> list[Row]:
    """Write a pack's files under `data`; returns its rows of ``index.csv``.

    Raises:
        ValueError: the pack is damaged, of another version, or names a file outside `data`.
        OSError: it cannot be read.
    """
    try:
        with tarfile.open(path, "r:") as tar:
            first = tar.next()
            if first is None or first.name != MANIFEST:
                raise ValueError(f"{path}: does not begin with {MANIFEST}; expected a pack of adasr train pack")
            manifest = json.loads(_read(tar, first))
            if manifest.get("format") != FORMAT:
                raise ValueError(f"{path}: got format {manifest.get('format')}, expected {FORMAT}; pack it anew")
            expected = dict(manifest["sha256"])
            while (member := tar.next()) is not None:
                _put(path, data, member.name, _read(tar, member), expected.pop(member.name, None))
    except (tarfile.TarError, EOFError) as error:
        raise ValueError(f"{path}: damaged ({error}); carry the pack again") from error
    if expected:
        raise ValueError(f"{path}: ends before {min(expected)}; carry the pack again")
    return list(manifest["rows"])


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    if file is None:
        raise tarfile.TarError(f"{member.name} is not a file")
    return file.read()


def _put(path: Path, data: Path, name: str, content: bytes, digest: str | None) -> None:
    target = PurePosixPath(name)
    if target.is_absolute() or ".." in target.parts:
        raise ValueError(f"{path}: {name} leads out of the data set; do not use this pack")
    if digest is None or sha256_of(content) != digest:
        raise ValueError(f"{path}: {name} does not have the SHA-256 of its manifest; carry the pack again")
    (data / name).parent.mkdir(parents=True, exist_ok=True)
    (data / name).write_bytes(content)
