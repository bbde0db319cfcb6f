"""What was made from one video: a JSON file, written last, by which a later run knows that it is finished."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.prepare.job import VideoJob
from training.prepare.settings import FORMAT_VERSION, PrepareSettings

RECORDS_FOLDER = "records"


@dataclass(frozen=True, kw_only=True, slots=True)
class FileRecord:
    """A file of the data set: its path below the data set's folder, size and hash."""

    file: str
    bytes: int
    sha256: str

    @classmethod
    def measure(cls, out: Path, file: str) -> FileRecord:
        """Hash a finished file. Raises OSError."""
        path = out / file
        with path.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        return cls(file=file, bytes=path.stat().st_size, sha256=digest)

    def is_whole(self, out: Path) -> bool:
        """Whether the file is there in its full size."""
        path = out / self.file
        return path.is_file() and path.stat().st_size == self.bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipRecord:
    """One clip or still.

    Attributes:
        split: train, val or stills.
        identity: who it shows.
        media: the mp4 or jpg.
        landmarks: the npz.
        twin: the super-resolved clip of the same frames, if any; twin_size_px its side.
        size_px: side of the picture.
        fps: pictures a second; None for a still.
        frames: number of pictures.
        face_px: median height of the face in the clip, pixels.
        audio: whether it has sound.
        tier: A, B or C; see `quality_tier`.
        sharpness: see `quality_tier`.
        start_s, end_s: span in the source, seconds from its first picture.
        crop_px: left, top and side of the square in the source, pixels of the upright picture.
    """

    split: str
    identity: str
    media: FileRecord
    landmarks: FileRecord
    twin: FileRecord | None
    twin_size_px: int | None
    size_px: int
    fps: float | None
    frames: int
    face_px: int
    audio: bool
    tier: str
    sharpness: float
    start_s: float
    end_s: float
    crop_px: tuple[int, int, int]

    @property
    def files(self) -> tuple[FileRecord, ...]:
        """All its files."""
        return (self.media, self.landmarks) if self.twin is None else (self.media, self.landmarks, self.twin)


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoRecord:
    """What became of one video or picture.

    Attributes:
        key: the video's name in the data set.
        job: what was asked for, as JSON.
        settings: the settings it was prepared with, as JSON.
        stamp: size and time of change of the source (and its twin), which tell whether it is still the same.
        clips: what was cut from it.
        left_out_s: seconds of it that gave no clip, by reason.
        frames_read: pictures decoded in both passes.
        work_s: how long it took, seconds.
        error: why it failed; None where it did not. Failed videos leave no record on disk and are tried again.
    """

    key: str
    job: dict[str, Any]
    settings: dict[str, Any]
    stamp: str
    clips: tuple[ClipRecord, ...]
    left_out_s: dict[str, float]
    frames_read: int
    work_s: float
    error: str | None = None

    def save(self, out: Path) -> None:
        """Write the record below `out`. Raises OSError."""
        path = record_path(out, self.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            text = json.dumps({"format": FORMAT_VERSION} | asdict(self), indent=1, ensure_ascii=False)
            temporary.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> VideoRecord:
        """Read a record.

        Raises:
            ValueError: it is damaged or of another version of the format.
            OSError: it cannot be read.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            version = values.pop("format")
            if version != FORMAT_VERSION:
                raise ValueError(f"{path}: record of format {version}, expected {FORMAT_VERSION}; use another --out")
            values["clips"] = tuple(_clip(clip) for clip in values["clips"])
            return cls(**values)
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(
                f"{path}: not a record of a prepared video ({error}); delete it to prepare anew"
            ) from error

    def is_whole(self, out: Path) -> bool:
        """Whether every file that it names is there in its full size."""
        return all(file.is_whole(out) for clip in self.clips for file in clip.files)

    def delete(self, out: Path) -> None:
        """Remove the record and every file that it names."""
        record_path(out, self.key).unlink(missing_ok=True)
        for clip in self.clips:
            for file in clip.files:
                (out / file.file).unlink(missing_ok=True)


def _clip(values: dict[str, Any]) -> ClipRecord:
    twin = values.pop("twin")
    return ClipRecord(
        **values
        | {
            "media": FileRecord(**values["media"]),
            "landmarks": FileRecord(**values["landmarks"]),
            "twin": None if twin is None else FileRecord(**twin),
            "crop_px": tuple(values["crop_px"]),
        }
    )


def failed_record(
    job: VideoJob, settings: PrepareSettings, error: str, *, frames_read: int = 0, work_s: float = 0.0
) -> VideoRecord:
    """The record of a video that could not be prepared; it is reported, never saved."""
    return VideoRecord(
        key=job.key,
        job=job.as_json(),
        settings=settings.as_json(),
        stamp="",
        clips=(),
        left_out_s={},
        frames_read=frames_read,
        work_s=round(work_s, 3),
        error=error,
    )


def record_path(out: Path, key: str) -> Path:
    """Where the record of a video lies."""
    return out / RECORDS_FOLDER / f"{key_hash(key)}.json"


def key_hash(key: str) -> str:
    """Short name of a video, stable over machines and runs: 12 hexadecimal digits."""
    return hashlib.sha256(key.encode()).hexdigest()[:12]


def load_records(out: Path) -> list[VideoRecord]:
    """All records below `out`, by key. Raises as `VideoRecord.load`."""
    records = [VideoRecord.load(path) for path in (out / RECORDS_FOLDER).glob("*.json")]
    return sorted(records, key=lambda record: record.key)


def stamp(job: VideoJob) -> str:
    """Size and time of change of a video and its twin. Raises OSError when the video is missing."""
    files = [Path(job.path)] + ([Path(job.twin)] if job.twin else [])
    return " ".join(f"{file.stat().st_size}@{file.stat().st_mtime_ns}" for file in files)


@contextmanager
def whole_file(final: Path) -> Iterator[Path]:
    """Lend a temporary name beside `final`; rename it when the block ends well, delete it when the block raises."""
    temporary = final.with_name(f".{final.stem}.{os.getpid()}.partial{final.suffix}")
    try:
        yield temporary
        os.replace(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)
