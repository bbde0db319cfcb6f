"""``adasr bench quality``: clips through the file codec and back, compared with their source frame by frame."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from adasr.akc_summary import AkcSummary
from adasr.clip_setup import ClipSetup
from adasr.colour import RgbImage
from adasr.file_codec import EncodeOptions, decode_clip, encode_clip
from adasr.progress import ProgressReport, no_progress
from adasr.video_file import open_video
from adasr_core.adapter import Adapter
from adasr_core.bundle import ModelBundle
from adasr_core.engines import FaceModel
from adasr_core.landmarks import load_landmarks
from benchmarks.rebuild_quality import Quality, mean_quality, measure_quality


@dataclass(frozen=True, slots=True)
class ClipResult:
    """What became of one clip: its name, what was in the ``.akc`` file, and how good the decoded mp4 is."""

    name: str
    summary: AkcSummary
    quality: Quality

    def to_json(self) -> dict[str, object]:
        """Figures by name."""
        return {"clip": self.name, **self.summary.to_json(), **self.quality.to_json()}


def frame_pairs(source: Path, decoded: Path) -> Iterator[tuple[RgbImage, RgbImage]]:
    """Frames of both files in step.

    Raises:
        ValueError: one file has more frames than the other.
    """
    yield from (
        (first.image, second.image)
        for first, second in zip(open_video(source).frames(), open_video(decoded).frames(), strict=True)
    )


def clip_measurer(setup: ClipSetup, threads: int) -> Callable[[Path, ProgressReport], ClipResult]:
    """Load the model once.

    Args:
        setup: what to do.
        threads: rebuilds at once. The figures do not depend on it.

    Returns:
        `measure_clip` with it.

    Raises:
        ValueError, OSError, EngineError: the model or the adapter cannot be loaded.
    """
    model = setup.load(threads)

    def measure(clip: Path, progress: ProgressReport) -> ClipResult:
        return measure_clip(clip, model, setup.options, progress)

    return measure


def measure_clip(
    clip: Path, model: FaceModel, options: EncodeOptions, progress: ProgressReport = no_progress
) -> ClipResult:
    """Encode, decode and compare one square clip that has its landmarks beside it (``clip.npz``).

    Raises:
        ValueError: the clip is not square or has no face, or its landmarks are of another clip.
        OSError: a file cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        coded, decoded = Path(folder) / "clip.akc", Path(folder) / "clip.mp4"
        summary = encode_clip(clip, coded, model, options, progress)
        decode_clip(coded, decoded, model, progress)
        landmarks = load_landmarks(clip.with_suffix(".npz"), open_video(clip).width_px)
        quality = measure_quality(frame_pairs(clip, decoded), landmarks)
    return ClipResult(clip.stem, summary, quality)


def quality_report(
    bundle: ModelBundle, options: EncodeOptions, results: Sequence[ClipResult], adapter: Adapter | None = None
) -> dict[str, object]:
    """All clips and their mean, for JSON."""
    return {
        "model": bundle.manifest.name,
        "codec_id": bundle.codec_id,
        "adapter_sha256": None if adapter is None else adapter.sha256,
        "references": options.references,
        "picture_quality": options.picture_quality,
        "motion_quality": options.motion_quality,
        "effort": options.effort,
        "clips": [result.to_json() for result in results],
        "mean": mean_quality([result.quality for result in results]),
    }


def print_quality(results: Sequence[ClipResult]) -> None:
    """Print the table: bytes, PSNR and its gain over holding the first frame, clip by clip."""
    table = Table(title="PSNR in dB; in brackets the gain over holding the first frame", title_justify="left")
    table.add_column("clip")
    for heading in ("frames", "key frames", "B/frame", "whole", "face", "sharpness", "worst face"):
        table.add_column(heading, justify="right")
    for result in results:
        quality, summary = result.quality, result.summary
        table.add_row(
            result.name,
            str(summary.frames),
            f"{summary.references} ({summary.sizes.references} B)",
            f"{summary.motion_bytes_per_frame:.1f}",
            f"{quality.psnr_db:.2f} ({quality.gain_db:+.2f})",
            f"{quality.face_psnr_db:.2f} ({quality.face_gain_db:+.2f})",
            f"{quality.sharpness:.2f}",
            f"{quality.worst_face_psnr_db:.1f} in {quality.worst_frame}",
        )
    mean = mean_quality([result.quality for result in results])
    table.add_section()
    whole = f"{mean['psnr_db']:.2f} ({mean['gain_db']:+.2f})"
    face = f"{mean['face_psnr_db']:.2f} ({mean['face_gain_db']:+.2f})"
    table.add_row("mean", "", "", "", whole, face, f"{mean['sharpness']:.2f}", "")
    Console(highlight=False, width=140).print(table)
