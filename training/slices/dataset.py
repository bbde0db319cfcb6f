"""From packs to frame caches, each step once: what earlier calls unpacked and decoded in a work folder stays there."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.frame_cache import FrameCache, build
from training.slices.packs import Row, unpack


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetConfig:
    """Which frames are decoded."""

    size_px: int = 256
    """Side of the frames."""
    frames_per_clip: int = 120
    """Most frames of a training clip."""
    val_frames_per_clip: int = 48
    """Most frames of a validation clip."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Caches of one size. stills is None where the packs hold none."""

    train: FrameCache
    val: FrameCache
    stills: FrameCache | None


def open_dataset(
    packs: Path, work: Path, config: DatasetConfig, *, workers: int | None = None, say: Callable[[str], None] = print
) -> Dataset:
    """Unpack the packs of a folder that `work` does not hold yet, decode with `workers` threads (None: one a core).

    Raises:
        ValueError: a pack is damaged, or no pack with training and validation clips was ever unpacked here.
        OSError: a file cannot be read or written.
    """
    rows = unpack_new(packs, work, say)
    splits = {split: [r for r in rows if r["split"] == split] for split in ("train", "val", "stills")}
    for split in ("train", "val"):
        if not splits[split]:
            raise ValueError(f"packs: {packs} and {work} hold no {split} clips; carry pack-000.tar in the first call")
    caches = {}
    for split, chosen in splits.items():
        if chosen:
            caches[split] = _cache(work, split, chosen, config, workers or os.cpu_count() or 1, say)
    return Dataset(caches["train"], caches["val"], caches.get("stills"))


def unpack_new(packs: Path, work: Path, say: Callable[[str], None]) -> list[Row]:
    """Unpack what is new; returns the rows of all packs that were ever unpacked into `work`."""
    ledger = work / "packs.json"
    known: dict[str, list[Row]] = json.loads(ledger.read_text()) if ledger.is_file() else {}
    work.mkdir(parents=True, exist_ok=True)
    for path in sorted(packs.glob("pack-*.tar")):
        key = f"{path.name} {path.stat().st_size}"
        if key not in known:
            known[key] = unpack(path, work / "data")
            # Written after each pack: a call that is cut off loses the pack it was at, no more.
            ledger.write_text(json.dumps(known))
            say(f"unpacked {path.name}: {len(known[key])} clips and stills")
    unique = {row["file"]: row for rows in known.values() for row in rows}
    return [unique[name] for name in sorted(unique)]


def _cache(
    work: Path, split: str, rows: Sequence[Row], config: DatasetConfig, workers: int, say: Callable[[str], None]
) -> FrameCache:
    frames = config.val_frames_per_clip if split == "val" else config.frames_per_clip
    folder = work / f"{split}-{config.size_px}"
    made, wanted = folder / "made.json", {"frames_per_clip": frames, "files": [r["file"] for r in rows]}
    if not made.is_file() or json.loads(made.read_text()) != wanted:
        made.unlink(missing_ok=True)
        with (work / "data" / "index.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        # A frame that was small is no truth for a large one: only clips of full size train the generator.
        least = config.size_px if split == "train" and config.size_px > 256 else 0
        build(
            work / "data",
            folder,
            split=split,
            size_px=config.size_px,
            frames_per_clip=frames,
            min_clip_px=least,
            workers=workers,
            say=say,
        )
        made.write_text(json.dumps(wanted))
    return FrameCache.open(folder)
