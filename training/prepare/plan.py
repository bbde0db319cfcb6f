"""From the command's arguments to jobs: find the files, name the people, lay out published lists."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from training.prepare.identity import IdentityRule, check_splits, split_of
from training.prepare.job import SpanJob, VideoJob
from training.prepare.still import PICTURE_SUFFIXES
from training.prepare.tables import Facts, ListedSpan

_CONTAINERS = (
    "3gp",
    "avi",
    "flv",
    "m2ts",
    "m4v",
    "mkv",
    "mov",
    "mp4",
    "mpeg",
    "mpg",
    "mts",
    "ogv",
    "ts",
    "webm",
    "wmv",
)
VIDEO_SUFFIXES = frozenset(f".{name}" for name in _CONTAINERS)
TWIN_SUFFIX = ".sr.mp4"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to prepare. key: its path below the folder that was given, or its name."""

    path: Path
    key: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Naming:
    """How files get identity, split, licence and source.

    Attributes:
        rule: names the identity where no table does.
        val_share: share of the people in ``val`` where no table says the split.
        licence: where no table says it.
        source: where no table says it.
        metadata: facts by key or file name.
        box_is_relative: whether a list's boxes are shares of the picture.
    """

    rule: IdentityRule
    val_share: float
    licence: str
    source: str
    metadata: dict[str, Facts] = field(default_factory=dict)
    box_is_relative: bool = False

    def __post_init__(self) -> None:
        """Check the share. Raises ValueError."""
        if not 0.0 <= self.val_share <= 1.0:
            raise ValueError(f"--val-share: got {self.val_share}, expected 0 to 1")

    def facts(self, key: str) -> Facts:
        """What the metadata say of a file. Raises ValueError when they name people but not this file's."""
        known = self.metadata.get(key) or self.metadata.get(key.rsplit("/", 1)[-1]) or Facts()
        if known.identity is None and any(facts.identity for facts in self.metadata.values()):
            raise ValueError(f"{key}: the metadata name identities, but none for this file; add a row")
        return known

    def person(self, key: str, *facts: Facts) -> tuple[str, str]:
        """Identity and split; earlier facts win over later ones, and these over the rules."""
        identity = next((f.identity for f in facts if f.identity), None) or self.rule.identify(key)
        split = next((f.split for f in facts if f.split), None) or split_of(identity, self.val_share)
        return identity, split


@dataclass(frozen=True, slots=True)
class Plan:
    """jobs: what to prepare, by key. remarks: what was left out, for people."""

    jobs: tuple[VideoJob, ...]
    remarks: tuple[str, ...]


def find_files(inputs: Sequence[Path], out: Path) -> list[SourceFile]:
    """Videos and pictures among files and, recursively, in folders; nothing below `out`, no twins.

    Raises:
        OSError: one does not exist.
        ValueError: two would have the same key, or there is nothing to prepare.
    """
    files: dict[str, SourceFile] = {}
    for given in inputs:
        if given.is_dir():
            found = [SourceFile(path, path.relative_to(given).as_posix()) for path in _walk(given, out)]
        elif given.is_file():
            found = [SourceFile(given, given.name)]
        else:
            raise FileNotFoundError(errno.ENOENT, "no such video, picture or folder", str(given))
        for file in found:
            other = files.setdefault(file.key, file)
            if not other.path.samefile(file.path):
                raise ValueError(
                    f"{file.path} and {other.path} would both be called {file.key!r}; give the folder above both"
                )
    if not files:
        raise ValueError(f"no video or picture in {', '.join(map(str, inputs))}")
    return [files[key] for key in sorted(files)]


def _walk(folder: Path, out: Path) -> Iterable[Path]:
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        kind = path.suffix.lower() in VIDEO_SUFFIXES | PICTURE_SUFFIXES
        twin = path.name.lower().endswith(TWIN_SUFFIX)
        if kind and not hidden and not twin and path.is_file() and not path.resolve().is_relative_to(out.resolve()):
            yield path


def plan(files: Sequence[SourceFile], naming: Naming, listed: Sequence[ListedSpan] | None = None) -> Plan:
    """One job for each file, or for each file that a list names.

    Raises:
        ValueError: a person cannot be named or would be in two splits, or the list names none of the files.
    """
    remarks: list[str] = []
    if listed is None:
        jobs = [_job(file, naming, (_span(file, naming),)) for file in files]
    else:
        names = _Names(files)
        spans: dict[str, list[SpanJob]] = {}
        absent: set[str] = set()
        for row in listed:
            file = names.find(row.video)
            if file is None:
                absent.add(row.video)
            else:
                spans.setdefault(file.key, []).append(_span(file, naming, row))
        if not spans:
            raise ValueError(f"the list names {len(absent)} videos and none of the given files; first {min(absent)!r}")
        if absent:
            remarks.append(f"{len(absent)} listed videos are not there and were left out; first {min(absent)!r}")
        jobs = [_job(file, naming, tuple(spans[file.key])) for file in files if file.key in spans]
    check_splits((span.identity, span.split) for job in jobs for span in job.spans)
    # Stills are for training, so those of people in val must not be among them.
    left = [job.key for job in jobs if job.still and job.spans[0].split == "val"]
    if left:
        remarks.append(f"{len(left)} pictures of people in val were left out, as stills are for training; {left[0]!r}")
    kept = tuple(job for job in jobs if job.key not in set(left))
    return Plan(kept, tuple(remarks))


class _Names:
    """Finds the video that a list means: by its path, its file name, or the name without suffix (a video's id)."""

    def __init__(self, files: Sequence[SourceFile]) -> None:
        self._by_name: dict[str, dict[str, SourceFile]] = {}
        for file in files:
            if file.path.suffix.lower() in VIDEO_SUFFIXES:
                for name in (file.key, file.path.name, file.path.stem):
                    self._by_name.setdefault(name, {})[file.key] = file

    def find(self, name: str) -> SourceFile | None:
        """The video of that name, None where there is none. Raises ValueError when there are several."""
        found = self._by_name.get(name, {})
        if name in found:
            return found[name]
        if len(found) > 1:
            raise ValueError(f"the list's {name!r} could be {' or '.join(sorted(found))}; write the path there")
        return next(iter(found.values()), None)


def _span(file: SourceFile, naming: Naming, row: ListedSpan | None = None) -> SpanJob:
    if row is None:
        identity, split = naming.person(file.key, naming.facts(file.key))
        return SpanJob(identity=identity, split=split)
    facts = (row.facts,) if row.facts.identity else (row.facts, naming.facts(file.key))
    identity, split = naming.person(file.key, *facts)
    return SpanJob(
        identity=identity,
        split=split,
        start_s=row.start_s,
        end_s=row.end_s,
        box=row.box,
        box_is_relative=naming.box_is_relative,
    )


def _job(file: SourceFile, naming: Naming, spans: tuple[SpanJob, ...]) -> VideoJob:
    known = naming.metadata.get(file.key) or naming.metadata.get(file.path.name) or Facts()
    still = file.path.suffix.lower() in PICTURE_SUFFIXES
    twin = file.path.with_name(file.path.stem + TWIN_SUFFIX)
    return VideoJob(
        path=str(file.path.resolve()),
        key=file.key,
        spans=spans,
        licence=known.licence or naming.licence,
        source=known.source or naming.source,
        still=still,
        twin=str(twin.resolve()) if not still and twin.is_file() else None,
    )
