"""``adasr train evaluate``: clips through the file codec, every rebuilt frame scored against its source.

::

    clip --> encode_file --> .akc --> rebuilt_frames --+--> PSNR, sharpness          (benchmarks.rebuild_quality)
      |                                                +--> SSIM, MS-SSIM, SSIMULACRA2, LPIPS, FID  (training.metrics)
      +------------------ source frames ---------------+--> face mesh on both --> AKD, AED

Rebuilt frames are scored as the generator leaves them, not after the mp4's H.264, which `adasr bench quality` includes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from adasr.akc_summary import AkcSummary
from adasr.colour import RgbImage
from adasr.evaluation_measures import ClipMeasures, MetricNetworks, Strides
from adasr.file_codec import DECODER_PARTS, EncodeOptions, encode_file, open_decodable, rebuilt_frames
from adasr.progress import ProgressReport, no_progress
from adasr.video_file import open_video
from adasr_core.adapter import Adapter
from adasr_core.bitstream import AkcFile
from adasr_core.bundle import ModelBundle
from adasr_core.engines import EngineName, FaceModel
from adasr_core.landmarks import load_landmarks
from benchmarks.rebuild_quality import Quality, measure_quality


@dataclass(frozen=True, slots=True)
class WorstFrame:
    """The frame whose face came out worst. number: in the clip. psnr_db: of its face. Pictures: uint8 [S, S, 3] RGB."""

    number: int
    psnr_db: float
    source: RgbImage
    rebuilt: RgbImage


@dataclass(frozen=True, slots=True)
class ClipEvaluation:
    """What became of one clip.

    summary: what was in the ``.akc`` file. quality: PSNR and sharpness, of the held first frame too. measures: every
    other metric by its name, None where it could not be measured. worst: None unless it was asked for.
    """

    name: str
    summary: AkcSummary
    quality: Quality
    measures: dict[str, float | None]
    worst: WorstFrame | None

    def to_json(self) -> dict[str, object]:
        """Figures by name."""
        return {
            "clip": self.name,
            **self.summary.to_json(),
            "bytes_per_frame": round(self.summary.motion_bytes_per_frame, 3),
            **self.quality.to_json(),
            **self.measures,
        }


def evaluate_clip(
    clip: Path,
    bundle: ModelBundle,
    options: EncodeOptions,
    *,
    networks: MetricNetworks,
    strides: Strides,
    engine: EngineName = "openvino",
    adapter: Adapter | None = None,
    keep_worst: bool = False,
    progress: ProgressReport = no_progress,
) -> ClipEvaluation:
    """Encode one square clip, rebuild it and score it.

    Args:
        clip: a square clip of the model's size with its landmarks beside it (``clip.npz``).
        bundle: the model.
        options: how to encode.
        networks: the networks of the metrics that need one.
        strides: how often the slow metrics are taken.
        engine: what runs the model.
        adapter: of the person in the clip.
        keep_worst: whether the worst frame's pictures are kept, which rebuilds the clip up to it a second time.
        progress: told how far the work is.

    Raises:
        ValueError: the clip has another size or no face, or its landmarks are of another clip.
        OSError: a file cannot be read.
    """
    video = open_video(clip)
    frame_px = bundle.manifest.frame_px
    if (video.width_px, video.height_px) != (frame_px, frame_px):
        raise ValueError(
            f"{clip}: got {video.width_px}x{video.height_px}, expected {frame_px}x{frame_px} as model "
            f"{bundle.manifest.name!r} rebuilds; adasr train prepare makes such clips"
        )
    landmarks = load_landmarks(clip.with_suffix(".npz"), frame_px)
    with tempfile.TemporaryDirectory() as folder:
        coded = Path(folder) / "clip.akc"
        encode_file(clip, coded, bundle, options, engine=engine, adapter=adapter, progress=progress)
        akc = open_decodable(coded, bundle)
    model = FaceModel.load(bundle, engine=engine, parts=DECODER_PARTS, adapter=adapter)
    with ClipMeasures(frame_px, networks, strides) as measures:
        watched = _reported(measures.watch(_pairs(clip, akc, model)), akc.header.frames, progress)
        quality = measure_quality(watched, landmarks)
        figures = measures.to_json()
    worst = None
    if keep_worst:
        source, rebuilt = next(islice(_pairs(clip, akc, model), quality.worst_frame, None))
        worst = WorstFrame(quality.worst_frame, quality.worst_face_psnr_db, source, rebuilt)
    return ClipEvaluation(clip.stem, AkcSummary.of(akc), quality, figures, worst)


def _pairs(clip: Path, akc: AkcFile, model: FaceModel) -> Iterator[tuple[RgbImage, RgbImage]]:
    """Source and rebuilt frames in step."""
    for source, rebuilt in zip(open_video(clip).frames(), rebuilt_frames(akc, model), strict=True):
        yield source.image, rebuilt.image


def _reported(
    pairs: Iterator[tuple[RgbImage, RgbImage]], total: int, progress: ProgressReport
) -> Iterator[tuple[RgbImage, RgbImage]]:
    for number, pair in enumerate(pairs):
        yield pair
        progress("scoring", number + 1, total)
