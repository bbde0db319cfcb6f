"""``adasr bench bitrate``: bytes of the motion of clips by part, and what quantising it costs the picture."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from adasr.clip_analysis import AnalysedClip, analyse_clip
from adasr.picture_score import face_mask
from adasr.progress import ProgressReport, no_progress
from adasr.video_file import open_video
from adasr_core.bitstream import MAX_QUALITY, TICKS_PER_SECOND, MotionCodec, decode_picture, encode_picture
from adasr_core.bundle import ModelBundle
from adasr_core.engines import EngineName, FaceModel
from adasr_core.engines.face_model import PARTS
from adasr_core.geometry import MotionParameters
from adasr_core.picture_quality import psnr_db
from benchmarks.motion_rate import SCHEDULES, MotionRate, Schedule, code_motion
from benchmarks.plain_motion import plain_frame_bytes

_PICTURE_QUALITY = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class BitrateOptions:
    """What is measured."""

    quality: int
    """Quantiser index of the main figures, 0 (finest) to 15."""
    curve: tuple[int, ...] = (0, 2, 4, 6, 8, 10, 12, 15)
    """Quantiser indices of the rate-quality curve; empty for none."""
    rebuild_every: int = 5
    """Every so many frames one is rebuilt and compared, the key frame left out; 0 rebuilds none."""

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        for index in (self.quality, *self.curve):
            if not 0 <= index <= MAX_QUALITY:
                raise ValueError(f"quality: got {index}, expected 0..{MAX_QUALITY}")
        if self.rebuild_every < 0:
            raise ValueError(f"rebuild_every: got {self.rebuild_every}, expected 0 or more")


@dataclass(frozen=True, slots=True)
class QuantisedQuality:
    """PSNR of rebuilds against their source, whole picture and face, with the parameters as decoded.

    cost_db, face_cost_db: what that is below the same rebuilds from parameters that were not quantised.
    """

    psnr_db: float
    face_psnr_db: float
    cost_db: float
    face_cost_db: float


@dataclass(frozen=True, slots=True)
class ClipBitrate:
    """Figures of one clip: by schedule, and along the curve (quality index, rate in a file, quality)."""

    name: str
    frames: int
    rates: tuple[MotionRate, ...]
    plain_bytes: float
    quality: QuantisedQuality | None
    curve: tuple[tuple[int, MotionRate, QuantisedQuality | None], ...]


def measure_clip(
    path: Path,
    bundle: ModelBundle,
    options: BitrateOptions,
    engine: EngineName,
    progress: ProgressReport = no_progress,
) -> ClipBitrate:
    """Code the motion that the detector sees in a clip, against its first frame.

    Raises:
        ValueError: not a video, no face in it, or no frame to rebuild.
        OSError: it cannot be read.
    """
    model = FaceModel.load(bundle, engine=engine, parts=PARTS if options.rebuild_every else ("detector",))
    codec = MotionCodec(bundle.tables(), model.keypoints)
    clip = analyse_clip(open_video(path), model, None, progress, steady=False)
    frames = [frame.parameters for frame in clip.frames]
    times_ms = [frame.ticks * 1000 // TICKS_PER_SECOND for frame in clip.frames]
    first = clip.numbers_with_face()[0]
    reference = codec.decode_reference(codec.encode_reference(frames[first]))
    trial = _RebuildTrial(clip, model, first, reference, options.rebuild_every) if options.rebuild_every else None

    def coded(quality: int, schedule: Schedule) -> tuple[MotionRate, Sequence[MotionParameters]]:
        result = code_motion(frames, times_ms, reference, codec, quality, schedule)
        return result.rate, result.frames

    rates = tuple(coded(options.quality, schedule)[0] for schedule in SCHEDULES)
    curve = []
    for number, quality in enumerate(options.curve):
        rate, decoded = coded(quality, SCHEDULES[0])
        curve.append((quality, rate, None if trial is None else trial.measure(decoded)))
        progress("rate-quality curve", number + 1, len(options.curve))
    main = next((measured for quality, _, measured in curve if quality == options.quality), None)
    if main is None and trial is not None:
        main = trial.measure(coded(options.quality, SCHEDULES[0])[1])
    return ClipBitrate(
        name=path.stem,
        frames=len(frames),
        rates=rates,
        plain_bytes=float(np.mean(plain_frame_bytes(frames))),
        quality=main,
        curve=tuple(curve),
    )


class _RebuildTrial:
    """Rebuilds every n-th frame of a clip from its first picture."""

    def __init__(
        self, clip: AnalysedClip, model: FaceModel, first: int, reference: MotionParameters, every: int
    ) -> None:
        self._model = model
        self._reference = reference
        self._pictures = {
            number: picture for number, picture in clip.pictures() if number == first or number % every == every - 1
        }
        # What is lost on the key frame is the still's, not the motion's.
        key = self._pictures.pop(first)
        if not self._pictures:
            raise ValueError(f"rebuild_every: got {every}, but the clip has {len(clip.frames)} frames; give fewer")
        self._features = model.encode(decode_picture(encode_picture(key, _PICTURE_QUALITY), clip.frame_px))
        self._masks = {number: face_mask(clip.frames[number].parameters, clip.frame_px) for number in self._pictures}
        self._exact = {number: self._compare(number, clip.frames[number].parameters) for number in self._pictures}

    def measure(self, frames: Sequence[MotionParameters]) -> QuantisedQuality:
        """Quality with these parameters."""
        made = np.array([self._compare(number, frames[number]) for number in self._pictures])
        exact = np.array(list(self._exact.values()))
        whole, face = made.mean(axis=0)
        exact_whole, exact_face = exact.mean(axis=0)
        return QuantisedQuality(float(whole), float(face), float(exact_whole - whole), float(exact_face - face))

    def _compare(self, number: int, parameters: MotionParameters) -> tuple[float, float]:
        source = self._pictures[number]
        made = self._model.rebuild(self._features, self._reference, parameters)
        return psnr_db(source, made), psnr_db(source, made, self._masks[number])


def bitrate_report(bundle: ModelBundle, options: BitrateOptions, clips: Sequence[ClipBitrate]) -> dict[str, object]:
    """Everything for ``--json``: mean over the clips, by clip, by schedule, and the curve."""
    means = [_mean_rate([clip.rates[at] for clip in clips]) for at in range(len(SCHEDULES))]
    return {
        "model": bundle.manifest.name,
        "codec_id": bundle.codec_id,
        "quality": options.quality,
        "mean": {
            **asdict(means[0]),
            "plain_bytes_per_frame": float(np.mean([clip.plain_bytes for clip in clips])),
            **_mean_quality([clip.quality for clip in clips]),
        },
        "schedules": [{**asdict(schedule), **asdict(mean)} for schedule, mean in zip(SCHEDULES, means, strict=True)],
        "curve": [
            {
                "quality": quality,
                **asdict(_mean_rate([clip.curve[at][1] for clip in clips])),
                **_mean_quality([clip.curve[at][2] for clip in clips]),
            }
            for at, quality in enumerate(options.curve)
        ],
        "clips": [
            {
                "clip": clip.name,
                "frames": clip.frames,
                **asdict(clip.rates[0]),
                "plain_bytes_per_frame": clip.plain_bytes,
                **_mean_quality([clip.quality]),
            }
            for clip in clips
        ],
    }


def print_bitrate(options: BitrateOptions, clips: Sequence[ClipBitrate]) -> None:
    """Print the tables for people."""
    console = Console(highlight=False, width=140)
    table = Table(title=f"motion, bytes a frame in a file at quality index {options.quality}")
    for name in ("clip", "frames", "all", "header", "keypoints", "Jacobians", "plain coder", "cost whole", "cost face"):
        table.add_column(name, justify="left" if name == "clip" else "right")
    for clip in clips:
        table.add_row(
            clip.name, str(clip.frames), *_cells(clip.rates[0]), f"{clip.plain_bytes:.1f}", *_costs(clip.quality)
        )
    table.add_section()
    plain = float(np.mean([clip.plain_bytes for clip in clips]))
    mean = _mean_rate([clip.rates[0] for clip in clips])
    table.add_row("mean", "", *_cells(mean), f"{plain:.1f}", *_costs(_mean_of([clip.quality for clip in clips])))
    console.print(table)
    schedules = Table(title="by schedule, mean of the clips")
    for name in ("schedule", "all", "header", "keypoints", "Jacobians"):
        schedules.add_column(name, justify="left" if name == "schedule" else "right")
    for at, schedule in enumerate(SCHEDULES):
        schedules.add_row(schedule.name, *_cells(_mean_rate([clip.rates[at] for clip in clips])))
    console.print(schedules)
    if options.curve:
        curve = Table(title="rate against rebuilt quality, in a file")
        for name in ("quality index", "bytes a frame", "PSNR", "face PSNR", "cost whole", "cost face"):
            curve.add_column(name, justify="right")
        for at, quality in enumerate(options.curve):
            rate = _mean_rate([clip.curve[at][1] for clip in clips])
            measured = _mean_of([clip.curve[at][2] for clip in clips])
            pictures = ("", "") if measured is None else (f"{measured.psnr_db:.2f}", f"{measured.face_psnr_db:.2f}")
            curve.add_row(str(quality), f"{rate.bytes_per_frame:.2f}", *pictures, *_costs(measured))
        console.print(curve)


def _mean_rate(rates: Sequence[MotionRate]) -> MotionRate:
    table = np.array([list(asdict(rate).values()) for rate in rates])
    return MotionRate(*(float(value) for value in table.mean(axis=0)))


def _mean_of(qualities: Sequence[QuantisedQuality | None]) -> QuantisedQuality | None:
    rows = [list(asdict(quality).values()) for quality in qualities if quality is not None]
    return QuantisedQuality(*(float(value) for value in np.mean(rows, axis=0))) if rows else None


def _mean_quality(qualities: Sequence[QuantisedQuality | None]) -> dict[str, float]:
    mean = _mean_of(qualities)
    if mean is None:
        return {}
    return {
        "psnr_db": mean.psnr_db,
        "face_psnr_db": mean.face_psnr_db,
        "quantisation_cost_db": mean.cost_db,
        "face_quantisation_cost_db": mean.face_cost_db,
    }


def _cells(rate: MotionRate) -> tuple[str, str, str, str]:
    return (
        f"{rate.bytes_per_frame:.2f}",
        f"{rate.header_bytes:.2f}",
        f"{rate.keypoint_bytes:.2f}",
        f"{rate.jacobian_bytes:.2f}",
    )


def _costs(quality: QuantisedQuality | None) -> tuple[str, str]:
    return ("", "") if quality is None else (f"{quality.cost_db:.2f} dB", f"{quality.face_cost_db:.2f} dB")
