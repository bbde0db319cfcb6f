"""What ``adasr train evaluate`` says: JSON, a table beside the paper's figures, pictures of the worst frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from adasr.evaluation import ClipEvaluation
from adasr.evaluation_measures import MetricNetworks, Strides
from adasr.file_codec import EncodeOptions
from adasr_core.bundle import ModelBundle
from benchmarks.rebuild_quality import mean_quality

PAPER = {
    "psnr_db": "27.0 to 27.9",
    "ssim": "0.78 to 0.79",
    "akd_px": "1.1 to 1.3",
    "aed": "0.098 to 0.102",
}
"""AdaSR (arXiv 2403.15944), table 1, same-identity rebuild on HDTF: other clips, other landmark and face networks."""

_MEANS = ("ssim", "ms_ssim", "ssimulacra2", "lpips", "aed", "akd_px", "akd68_l1_px", "akd_missing")
_DIFFERENCE_GAIN = 3


def evaluation_report(
    bundle: ModelBundle,
    options: EncodeOptions,
    strides: Strides,
    networks: MetricNetworks,
    results: Sequence[ClipEvaluation],
) -> dict[str, object]:
    """All clips and their mean, for JSON."""
    return {
        "model": bundle.manifest.name,
        "codec_id": bundle.codec_id,
        "references": options.references,
        "picture_quality": options.picture_quality,
        "motion_quality": options.motion_quality,
        "effort": options.effort,
        "scored": "rebuilt frames before H.264, first frame of each clip left out",
        "stride_similarity": strides.similarity,
        "stride_ssimulacra2": strides.ssimulacra2,
        "missing": networks.missing,
        "mean": mean_figures(results, networks),
        "clips": [result.to_json() for result in results],
    }


def mean_figures(results: Sequence[ClipEvaluation], networks: MetricNetworks) -> dict[str, float | None]:
    """Mean over clips of every figure; of those clips that have it, None where none has. FID is over all frames."""
    figures: dict[str, float | None] = dict(mean_quality([result.quality for result in results]))
    for name in _MEANS:
        known = [value for result in results if (value := result.measures[name]) is not None]
        figures[name] = float(np.mean(known)) if known else None
    figures["fid"] = networks.frechet.value() if networks.frechet is not None else None
    figures["frames"] = float(np.mean([result.summary.frames for result in results]))
    figures["bytes_per_frame"] = float(np.mean([result.summary.motion_bytes_per_frame for result in results]))
    return figures


def print_evaluation(results: Sequence[ClipEvaluation], networks: MetricNetworks, *, with_paper: bool) -> None:
    """Print the table, then the metrics that are missing and why."""
    columns = [
        ("B/frame", "bytes_per_frame", 1),
        ("PSNR", "psnr_db", 2),
        ("gain", "gain_db", 2),
        ("face", "face_psnr_db", 2),
        ("gain", "face_gain_db", 2),
        ("SSIM", "ssim", 3),
        ("MS-SSIM", "ms_ssim", 3),
        ("SSIMULACRA2", "ssimulacra2", 1),
        ("AKD px", "akd_px", 2),
        ("sharpness", "sharpness", 2),
        ("LPIPS", "lpips", 3),
        ("AED", "aed", 3),
        ("FID", "fid", 1),
    ]
    mean = mean_figures(results, networks)
    columns = [column for column in columns if mean[column[1]] is not None]
    table = Table(title="PSNR in dB; gains over holding the first frame; AKD in pixels of 512", title_justify="left")
    table.add_column("clip")
    for heading, _, _ in columns:
        table.add_column(heading, justify="right")
    for result in results:
        table.add_row(result.name, *(_show(result.to_json().get(name), digits) for _, name, digits in columns))
    table.add_section()
    table.add_row("mean", *(_show(mean[name], digits) for _, name, digits in columns))
    if with_paper:
        table.add_row("AdaSR, HDTF (other clips)", *(PAPER.get(name, "") for _, name, _ in columns))
    console = Console(highlight=False, width=180)
    console.print(table)
    for line in dict.fromkeys(networks.missing.values()):
        console.print(f"not measured: {line}")


def write_worst(results: Sequence[ClipEvaluation], folder: Path) -> None:
    """Write each clip's worst frame as source, rebuild and threefold difference side by side: a JPEG file each.

    Raises:
        OSError: the folder cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for result in results:
        worst = result.worst
        assert worst is not None
        difference = np.abs(worst.source.astype(np.int16) - worst.rebuilt) * _DIFFERENCE_GAIN
        sheet = np.hstack((worst.source, worst.rebuilt, difference.clip(0, 255).astype(np.uint8)))
        path = folder / f"{result.name}_frame{worst.number}_{worst.psnr_db:.1f}dB.jpg"
        _, data = cv2.imencode(".jpg", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])
        path.write_bytes(data.tobytes())


def _show(value: object, digits: int) -> str:
    return f"{value:.{digits}f}" if isinstance(value, float) else "-"
