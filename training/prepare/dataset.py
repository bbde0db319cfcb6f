"""``index.csv`` and ``manifest.json``: what a prepared folder holds, from the records of its videos."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.prepare.record import ClipRecord, FileRecord, VideoRecord, whole_file
from training.prepare.settings import FORMAT_VERSION

COLUMNS = (
    "split",
    "file",
    "landmarks",
    "identity",
    "size_px",
    "fps",
    "frames",
    "face_px",
    "audio",
    "tier",
    "licence",
    "source",
    "source_path",
)
"""Columns of ``index.csv``, in order."""
_SPLIT_ORDER = ("train", "val", "stills")


def write_dataset(out: Path, records: Sequence[VideoRecord]) -> None:
    """Write index and manifest, each at once. Raises OSError."""
    clips = sorted(
        ((record, clip) for record in records for clip in record.clips),
        key=lambda pair: (_SPLIT_ORDER.index(pair[1].split), pair[1].media.file),
    )
    with whole_file(out / "index.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(_row(record, clip) for record, clip in clips)
    manifest = {
        "format": FORMAT_VERSION,
        "settings": records[0].settings if records else {},
        "identities": _identities([clip for _, clip in clips]),
        "clips": [_entry(record, clip) for record, clip in clips],
        "left_out_s": {record.key: record.left_out_s for record in records if record.left_out_s},
    }
    with whole_file(out / "manifest.json") as temporary:
        temporary.write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _row(record: VideoRecord, clip: ClipRecord) -> tuple[object, ...]:
    return (
        clip.split,
        clip.media.file,
        clip.landmarks.file,
        clip.identity,
        clip.size_px,
        "" if clip.fps is None else clip.fps,
        clip.frames,
        clip.face_px,
        "y" if clip.audio else "n",
        clip.tier,
        record.job["licence"],
        record.job["source"],
        record.key,
    )


def _identities(clips: Sequence[ClipRecord]) -> dict[str, int]:
    """Number of people by split."""
    people = {split: {clip.identity for clip in clips if clip.split == split} for split in _SPLIT_ORDER}
    return {split: len(names) for split, names in people.items() if names}


def _entry(record: VideoRecord, clip: ClipRecord) -> dict[str, Any]:
    entry = {
        "split": clip.split,
        "identity": clip.identity,
        "tier": clip.tier,
        "size_px": clip.size_px,
        "fps": clip.fps,
        "frames": clip.frames,
        "face_px": clip.face_px,
        "sharpness": clip.sharpness,
        "audio": clip.audio,
        "licence": record.job["licence"],
        "source": record.job["source"],
        "source_path": record.key,
        "span_s": [clip.start_s, clip.end_s],
        "crop_px": {"left": clip.crop_px[0], "top": clip.crop_px[1], "side": clip.crop_px[2]},
        "media": _file(clip.media),
        "landmarks": _file(clip.landmarks),
    }
    if clip.twin is not None:
        entry["super_resolved"] = _file(clip.twin) | {"size_px": clip.twin_size_px}
    return entry


def _file(file: FileRecord) -> dict[str, Any]:
    return {"file": file.file, "bytes": file.bytes, "sha256": file.sha256}
