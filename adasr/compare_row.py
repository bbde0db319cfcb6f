"""One figure row of the comparison: what a codec showed of one clip at one wire rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from benchmarks.display_quality import DisplayQuality, mean_display_quality

OURS = "adasr"
"""Our codec's name in the tables."""
SETTINGS_END = " | "
"""Stands between a codec's settings and what was searched for this clip and rate."""
BEST_RATE_SUFFIX = " (held)"
"""Added to an encoder's name where it does better at a lower frame rate than at the full one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CompareRow:
    """A codec on a clip at a wire rate.

    codec: name in the tables. settings: all that the figures hang on, in one line. target_kbps: what the wire might
    carry. frame_rate: pictures coded a second. wire_kbps: what it took over the whole clip, first picture included;
    steady_kbps: without it. first_picture_bytes: wire bytes of the first picture. quality: over all source frames.
    """

    clip: str
    codec: str
    settings: str
    target_kbps: float
    frame_rate: float
    wire_kbps: float
    steady_kbps: float
    first_picture_bytes: int
    quality: DisplayQuality

    def to_json(self) -> dict[str, object]:
        """Figures by name."""
        return asdict(self)

    @classmethod
    def from_json(cls, entry: Mapping[str, object]) -> CompareRow:
        """Undo `to_json`.

        Raises:
            ValueError: fields are missing, unknown or of another type.
        """
        try:
            quality = entry["quality"]
            assert isinstance(quality, Mapping)
            fields = {**entry, "quality": DisplayQuality(**{name: float(value) for name, value in quality.items()})}
            return cls(**fields)  # type: ignore[arg-type]
        except (KeyError, TypeError, AssertionError) as error:
            raise ValueError(f"row: got {dict(entry)!r}, expected one that `adasr bench compare` wrote") from error


def mean_row(rows: Sequence[CompareRow], codec: str) -> CompareRow:
    """The mean over clips of one codec, called `codec`, at one rate.

    Raises:
        ValueError: no row.
    """
    if not rows:
        raise ValueError("rows: got none, expected at least one")

    def mean(name: str) -> float:
        return float(np.mean([getattr(row, name) for row in rows]))

    return CompareRow(
        clip="mean",
        codec=codec,
        settings=rows[0].settings.partition(SETTINGS_END)[0],
        target_kbps=rows[0].target_kbps,
        frame_rate=mean("frame_rate"),
        wire_kbps=mean("wire_kbps"),
        steady_kbps=mean("steady_kbps"),
        first_picture_bytes=round(mean("first_picture_bytes")),
        quality=mean_display_quality([row.quality for row in rows]),
    )
