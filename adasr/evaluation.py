"""``adasr train evaluate``: clips through the file codec, every rebuilt frame scored against its source.

::

    clip --> encode_clip --> .akc --> rebuilt_frames --+--> PSNR, sharpness          (benchmarks.rebuild_quality)
      |                                                +--> SSIM, MS-SSIM, SSIMULACRA2, LPIPS, FID  (training.metrics)
      +------------------ source frames ---------------+--> face mesh on both --> AKD, AED

Rebuilt frames are scored as the generator leaves them, not after the mp4's H.264, which `adasr bench quality` includes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch

from adasr.akc_summary import AkcSummary
from adasr.clip_setup import ClipSetup
from adasr.colour import RgbImage
from adasr.evaluation_measures import ClipMeasures, FramePair, MetricNetworks, Strides
from adasr.file_codec import encode_clip, open_decodable, rebuilt_frames
from adasr.progress import ProgressReport
from adasr.video_file import open_video
from adasr_core.bitstream import AkcFile
from adasr_core.engines import FaceModel
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
    other metric by its name, None where it could not be measured. worst: None unless it was asked for. sampled: pairs
    of source and rebuilt frames for the metrics that are taken over all clips together.
    """

    name: str
    summary: AkcSummary
    quality: Quality
    measures: dict[str, float | None]
    worst: WorstFrame | None
    sampled: Sequence[FramePair]

    def to_json(self) -> dict[str, object]:
        """Figures by name."""
        return {
            "clip": self.name,
            **self.summary.to_json(),
            "bytes_per_frame": round(self.summary.motion_bytes_per_frame, 3),
            **self.quality.to_json(),
            **self.measures,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationSetup(ClipSetup):
    """All that it takes to evaluate clips."""

    strides: Strides
    """How often the slow metrics are taken."""
    lpips_weights: Path | None = None
    """See `MetricNetworks.find`."""
    aed_network: Path | None = None
    """See `MetricNetworks.find`."""
    keep_worst: bool = False
    """Whether the worst frame's pictures are kept, which rebuilds the clip up to it a second time."""
    keep_sampled: bool = False
    """Whether every frame that the slow metrics see is kept."""


def clip_evaluator(setup: EvaluationSetup, threads: int) -> Callable[[Path, ProgressReport], ClipEvaluation]:
    """Load the model and the metrics' networks once.

    Args:
        setup: what to do.
        threads: rebuilds at once. The figures do not depend on it.

    Returns:
        `evaluate_clip` of these.

    Raises:
        ValueError, OSError, EngineError: the model, the adapter or a network cannot be loaded.
    """
    model = setup.load(threads)
    networks = MetricNetworks.find(lpips_weights=setup.lpips_weights, aed_network=setup.aed_network, with_frechet=False)

    def evaluate(clip: Path, progress: ProgressReport) -> ClipEvaluation:
        return evaluate_clip(clip, model, setup, networks, progress)

    return evaluate


def evaluate_clip(
    clip: Path, model: FaceModel, setup: EvaluationSetup, networks: MetricNetworks, progress: ProgressReport
) -> ClipEvaluation:
    """Encode one square clip, rebuild it and score it.

    Args:
        clip: a square clip of the model's size with its landmarks beside it (``clip.npz``).
        model: the model, all its parts loaded.
        setup: how to encode and to measure.
        networks: the networks of the metrics that need one.
        progress: told how far the work is.

    Raises:
        ValueError: the clip has another size or no face, or its landmarks are of another clip.
        OSError: a file cannot be read.
    """
    video = open_video(clip)
    frame_px = model.frame_px
    if (video.width_px, video.height_px) != (frame_px, frame_px):
        raise ValueError(
            f"{clip}: got {video.width_px}x{video.height_px}, expected {frame_px}x{frame_px} as model "
            f"{model.bundle.manifest.name!r} rebuilds; adasr train prepare makes such clips"
        )
    landmarks = load_landmarks(clip.with_suffix(".npz"), frame_px)
    with tempfile.TemporaryDirectory() as folder:
        coded = Path(folder) / "clip.akc"
        encode_clip(clip, coded, model, setup.options, progress)
        akc = open_decodable(coded, model.bundle)
    with (
        _one_torch_thread(),
        ClipMeasures(frame_px, networks, setup.strides, keep_sampled=setup.keep_sampled) as measures,
    ):
        watched = _reported(measures.watch(_pairs(clip, akc, model)), akc.header.frames, progress)
        quality = measure_quality(watched, landmarks)
        figures = measures.to_json()
    worst = None
    if setup.keep_worst:
        source, rebuilt = next(islice(_pairs(clip, akc, model), quality.worst_frame, None))
        worst = WorstFrame(quality.worst_frame, quality.worst_face_psnr_db, source, rebuilt)
    return ClipEvaluation(clip.stem, AkcSummary.of(akc), quality, figures, worst, measures.sampled)


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Torch adds up in another order on more threads: figures would differ in the last digit with the workers."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _pairs(clip: Path, akc: AkcFile, model: FaceModel) -> Iterator[FramePair]:
    """Source and rebuilt frames in step."""
    for source, rebuilt in zip(open_video(clip).frames(), rebuilt_frames(akc, model), strict=True):
        yield source.image, rebuilt.image


def _reported(pairs: Iterator[FramePair], total: int, progress: ProgressReport) -> Iterator[FramePair]:
    for number, pair in enumerate(pairs):
        yield pair
        progress("scoring", number + 1, total)
