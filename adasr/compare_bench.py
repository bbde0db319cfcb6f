"""``adasr bench compare``: our codec beside ordinary video encoders at equal wire rate, on the same frames."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from adasr.compare_clip import ComparedClip, load_compared_clip
from adasr.compare_ours import OursComparison, OursConfig
from adasr.compare_row import BEST_RATE_SUFFIX, OURS, SETTINGS_END, CompareRow, mean_row
from adasr.compare_video import VideoComparison
from adasr.progress import ProgressReport, no_progress
from adasr_core.bundle import ModelBundle
from benchmarks.video_codecs import VIDEO_CODECS, VideoCodec
from benchmarks.wire_rate_search import RateTarget

CODECS = (OURS, *VIDEO_CODECS)
"""Every codec that can be compared, in the order of the tables."""

_FIRST_PICTURE = {True: "counted", False: "apart"}


@dataclass(frozen=True, kw_only=True, slots=True)
class CompareOptions:
    """What is compared."""

    kbps: tuple[float, ...] = (12.0, 15.0, 20.0, 25.0, 40.0)
    """Wire rates, kbit/s."""
    codecs: tuple[str, ...] = CODECS
    """Names out of `CODECS`."""
    first_picture_counts: bool = True
    """Whether the rate is that of the whole clip, or that of all but its first picture."""
    frames: int | None = None
    """Only the first so many frames of each clip; None takes all."""
    ours: OursConfig = field(default_factory=OursConfig)
    """How our codec is run."""

    def __post_init__(self) -> None:
        """Check names and ranges. Raises ValueError."""
        unknown = [name for name in self.codecs if name not in CODECS]
        if unknown or not self.codecs:
            raise ValueError(f"codecs: got {', '.join(unknown) or 'none'}, expected some of {', '.join(CODECS)}")
        if not self.kbps:
            raise ValueError("kbps: got none, expected at least one rate")
        if self.frames is not None and self.frames < 2:
            raise ValueError(f"frames: got {self.frames}, expected at least 2")
        for kbps in self.kbps:
            RateTarget(kbps=kbps)

    def targets(self) -> list[RateTarget]:
        """The rates as the codecs take them."""
        return [RateTarget(kbps=kbps, first_picture_counts=self.first_picture_counts) for kbps in self.kbps]


@dataclass(frozen=True, slots=True)
class CompareReport:
    """Rows of all clips. clips: sha256 of each file by its name. frames: as in `CompareOptions`."""

    first_picture_counts: bool
    frames: int | None
    clips: Mapping[str, str]
    rows: Sequence[CompareRow]

    def mean(self) -> list[CompareRow]:
        """Means over the clips, rate by rate, of every codec that reaches the rate on all of them."""
        found = []
        for kbps in sorted({row.target_kbps for row in self.rows}):
            at_rate = [row for row in self.rows if row.target_kbps == kbps]
            for name in CODECS:
                by_rule = {row.clip: row for row in at_rate if row.codec == name}
                if len(by_rule) < len(self.clips):
                    continue
                found.append(mean_row(list(by_rule.values()), name))
                held = {row.clip: row for row in at_rate if row.codec == name + BEST_RATE_SUFFIX}
                if held:
                    # On a clip where the rule's frame rate is the best one it stands in both rows.
                    found.append(mean_row(list({**by_rule, **held}.values()), name + BEST_RATE_SUFFIX))
        return found

    def to_json(self) -> dict[str, object]:
        """Everything, for JSON."""
        return {
            "first_picture": _FIRST_PICTURE[self.first_picture_counts],
            "frames": self.frames,
            "clips": dict(self.clips),
            "rows": [row.to_json() for row in self.rows],
            "mean": [row.to_json() for row in self.mean()],
        }

    @classmethod
    def read(cls, path: Path) -> CompareReport:
        """Read what ``--json`` wrote.

        Raises:
            ValueError: not such a file.
            OSError: it cannot be read.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                first_picture_counts=content["first_picture"] == _FIRST_PICTURE[True],
                frames=content["frames"],
                clips=dict(content["clips"]),
                rows=[CompareRow.from_json(entry) for entry in content["rows"]],
            )
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: {error!r}: expected a report of `adasr bench compare --json`") from error

    def rows_of(self, sha256: str, codec: VideoCodec, target: RateTarget, frames: int | None) -> list[CompareRow]:
        """Rows of an ordinary encoder that hold for this clip, these settings and this rate; none where one differs."""
        names = {name for name, found in self.clips.items() if found == sha256}
        if self.frames != frames or self.first_picture_counts != target.first_picture_counts:
            return []
        return [
            row
            for row in self.rows
            if row.clip in names
            and row.codec in (codec.name, codec.name + BEST_RATE_SUFFIX)
            and row.settings.startswith(codec.settings + SETTINGS_END)
            and row.target_kbps == target.kbps
        ]


def compare_clips(
    clips: Sequence[Path],
    bundle: ModelBundle,
    options: CompareOptions,
    *,
    known: Sequence[CompareReport] = (),
    progress: ProgressReport = no_progress,
) -> CompareReport:
    """Take every clip through every codec at every rate.

    Args:
        clips: square video files, each with its landmarks beside it.
        bundle: our model.
        options: what is compared.
        known: earlier reports, whose rows of ordinary encoders are taken where nothing has changed.
        progress: told after every codec of a clip.

    Raises:
        ValueError: a clip is not what it should be, or two have one name.
        OSError: a file cannot be read.
        EngineError: the engine is not there.
    """
    if len({clip.stem for clip in clips}) < len(clips):
        raise ValueError("clips: got two of one name, expected a name for each")
    ours = OursComparison(bundle, options.ours) if OURS in options.codecs else None
    hashes: dict[str, str] = {}
    rows: list[CompareRow] = []
    for number, path in enumerate(clips):
        clip = load_compared_clip(path, frames=options.frames)
        hashes[clip.name] = clip.sha256
        for index, name in enumerate(options.codecs):
            if name == OURS:
                assert ours is not None
                rows.extend(row for target in options.targets() for row in ours.rows(clip, target))
            else:
                rows.extend(_video_rows(clip, VIDEO_CODECS[name], options, known))
            progress("comparing", number * len(options.codecs) + index + 1, len(clips) * len(options.codecs))
    return CompareReport(options.first_picture_counts, options.frames, hashes, rows)


def _video_rows(
    clip: ComparedClip, codec: VideoCodec, options: CompareOptions, known: Sequence[CompareReport]
) -> list[CompareRow]:
    comparison = VideoComparison(clip, codec)
    rows: list[CompareRow] = []
    for target in options.targets():
        earlier = [row for report in known for row in report.rows_of(clip.sha256, codec, target, options.frames)]
        rows.extend(earlier or comparison.rows(target))
    return rows


def print_comparison(report: CompareReport) -> None:
    """Print a table for each rate: means over the clips."""
    console = Console(highlight=False, width=120)
    means = report.mean()
    for kbps in sorted({row.target_kbps for row in report.rows}):
        counted = "first picture included" if report.first_picture_counts else "first picture apart"
        table = Table(
            title=f"{kbps:g} kbps on the wire ({counted}), mean of {len(report.clips)} clips", title_justify="left"
        )
        table.add_column("codec")
        for heading in ("PSNR", "SSIM", "face PSNR", "sharpness", "frames/s", "kbps", "kbps steady", "first picture"):
            table.add_column(heading, justify="right")
        for row in means:
            if row.target_kbps == kbps:
                table.add_row(*_cells(row))
        reached = {row.codec for row in means if row.target_kbps == kbps}
        for name in CODECS:
            clips = {row.clip for row in report.rows if row.codec == name and row.target_kbps == kbps}
            if clips and name not in reached:
                table.add_row(name, f"{len(clips)} of {len(report.clips)}", "clips")
        console.print(table)


def _cells(row: CompareRow) -> tuple[str, ...]:
    quality = row.quality
    return (
        row.codec,
        f"{quality.psnr_db:.2f}",
        f"{quality.ssim:.3f}",
        f"{quality.face_psnr_db:.2f}",
        f"{quality.sharpness:.2f}",
        f"{row.frame_rate:.1f}",
        f"{row.wire_kbps:.1f}",
        f"{row.steady_kbps:.1f}",
        f"{row.first_picture_bytes} B",
    )
