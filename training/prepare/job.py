"""What is to be prepared: one video or picture with the people in it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

SPLITS = ("train", "val")


@dataclass(frozen=True, kw_only=True, slots=True)
class SpanJob:
    """A part of a video that shows one person.

    Attributes:
        identity: who it shows; free text, equal for equal people.
        split: train or val.
        start_s: seconds from the first picture.
        end_s: seconds from the first picture; None is the end.
        box: where the face is, x0, y0, x1, y1, as shares of width and height (`box_is_relative`) or in pixels of the
            upright picture; None takes the shots that show exactly one face.
        box_is_relative: whether the box is in shares.
    """

    identity: str
    split: str
    start_s: float = 0.0
    end_s: float | None = None
    box: tuple[float, float, float, float] | None = None
    box_is_relative: bool = False

    def __post_init__(self) -> None:
        """Check the values. Raises ValueError."""
        if not self.identity:
            raise ValueError("identity: got an empty one; name the person")
        if self.split not in SPLITS:
            raise ValueError(f"split: got {self.split!r}, expected one of {', '.join(SPLITS)}")
        if self.start_s < 0 or (self.end_s is not None and self.end_s <= self.start_s):
            raise ValueError(f"span: got {self.start_s} to {self.end_s} s, expected 0 <= start < end")
        if self.box is not None:
            x0, y0, x1, y1 = self.box
            if not (x0 < x1 and y0 < y1) or (self.box_is_relative and not all(-0.5 <= v <= 1.5 for v in self.box)):
                unit = "shares of the picture" if self.box_is_relative else "pixels"
                raise ValueError(f"box: got {self.box}, expected x0 < x1 and y0 < y1 in {unit}")


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoJob:
    """One video or picture.

    Attributes:
        path: the file.
        key: its name in the data set, unique there and the same on every machine: its path below the given folder.
        spans: the parts to prepare.
        licence: free text for index and manifest.
        source: where it comes from, free text.
        still: whether it is a picture.
        twin: the super-resolved video of the same frames, if there is one.
    """

    path: str
    key: str
    spans: tuple[SpanJob, ...]
    licence: str
    source: str
    still: bool = False
    twin: str | None = None

    def as_json(self) -> dict[str, Any]:
        """What makes its clips, without the paths, which may differ from machine to machine."""
        values = asdict(self)
        values["spans"] = [span | {"box": span["box"] and list(span["box"])} for span in values["spans"]]
        del values["path"]
        values["twin"] = self.twin is not None
        return values
