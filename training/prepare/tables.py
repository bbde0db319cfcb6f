"""The tables that a user brings: facts about files (`--metadata`) and published lists of spans (`--list`)."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from training.prepare.job import SPLITS

_FACTS = ("identity", "split", "licence", "source")
_BOX = ("x0", "y0", "x1", "y1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What a table says of a file or span; None where it says nothing."""

    identity: str | None = None
    split: str | None = None
    licence: str | None = None
    source: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedSpan:
    """A row of a published list. Times in seconds; box in the unit of the list."""

    video: str
    start_s: float
    end_s: float | None
    box: tuple[float, float, float, float] | None
    facts: Facts


def read_metadata(path: Path) -> dict[str, Facts]:
    """Facts by file name or key, from a CSV with the column ``file`` and any of identity, split, licence, source.

    Raises:
        ValueError: a column or value is wrong; the message names the line.
        OSError: it cannot be read.
    """
    facts: dict[str, Facts] = {}
    for line, row in _rows(path, required=("file",), allowed=("file", *_FACTS)):
        if row["file"] in facts:
            raise ValueError(f"{path}, line {line}: file {row['file']!r} stands there twice")
        facts[row["file"]] = _facts(path, line, row)
    return facts


def read_list(path: Path) -> list[ListedSpan]:
    """Spans from a CSV with the column ``video`` and any of start_s, end_s, x0, y0, x1, y1, identity, split.

    Raises:
        ValueError: a column or value is wrong; the message names the line.
        OSError: it cannot be read.
    """
    spans = []
    for line, row in _rows(
        path, required=("video",), allowed=("video", "start_s", "end_s", *_BOX, "identity", "split")
    ):
        box = [_number(path, line, row, name) for name in _BOX]
        if None in box and any(edge is not None for edge in box):
            raise ValueError(f"{path}, line {line}: a box needs x0, y0, x1 and y1, or none of them")
        start_s, end_s = _number(path, line, row, "start_s") or 0.0, _number(path, line, row, "end_s")
        if start_s < 0 or (end_s is not None and end_s <= start_s):
            raise ValueError(f"{path}, line {line}: got a span from {start_s} to {end_s} s, expected 0 <= start < end")
        x0, y0, x1, y1 = box
        whole = None
        if x0 is not None and y0 is not None and x1 is not None and y1 is not None:
            if x0 >= x1 or y0 >= y1:
                raise ValueError(f"{path}, line {line}: got the box {x0}, {y0}, {x1}, {y1}, expected x0 < x1, y0 < y1")
            whole = (x0, y0, x1, y1)
        spans.append(
            ListedSpan(video=row["video"], start_s=start_s, end_s=end_s, box=whole, facts=_facts(path, line, row))
        )
    if not spans:
        raise ValueError(f"{path}: the list is empty; expected a row for each span")
    return spans


def _rows(path: Path, *, required: tuple[str, ...], allowed: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    """Rows with their line numbers, every column known and every required one filled."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        columns = reader.fieldnames or ()
        unknown = [name for name in columns if name not in allowed]
        missing = [name for name in required if name not in columns]
        if unknown or missing:
            said = ", ".join(columns) or "no columns"
            raise ValueError(f"{path}: got {said}; needs {', '.join(required)} and knows {', '.join(allowed)}")
        rows = []
        for row in reader:
            if None in row:
                raise ValueError(f"{path}, line {reader.line_num}: more values than columns")
            values = {name: (value or "").strip() for name, value in row.items()}
            for name in required:
                if not values[name]:
                    raise ValueError(f"{path}, line {reader.line_num}: {name} is empty")
            rows.append((reader.line_num, values))
    return rows


def _facts(path: Path, line: int, row: dict[str, str]) -> Facts:
    split = row.get("split") or None
    if split is not None and split not in SPLITS:
        raise ValueError(f"{path}, line {line}: split: got {split!r}, expected one of {', '.join(SPLITS)}")
    return Facts(
        identity=row.get("identity") or None,
        split=split,
        licence=row.get("licence") or None,
        source=row.get("source") or None,
    )


def _number(path: Path, line: int, row: dict[str, str], name: str) -> float | None:
    text = row.get(name)
    if not text:
        return None
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f"{path}, line {line}: {name}: got {text!r}, expected a number") from error
