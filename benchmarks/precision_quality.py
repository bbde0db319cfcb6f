"""What a precision costs in picture: PSNR of rebuilt validation frames, whole and face, beside that of float32.

Nothing is coded: key frames are the clip's own and motion is what the float32 detector says, so that every difference
is the rebuilding networks' own. Of the frames taken from a clip every n-th is a key frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from adasr_core.engines import FaceModel
from adasr_core.geometry import MotionParameters
from adasr_core.landmarks import hull_mask, load_landmarks
from adasr_core.picture_quality import psnr_db
from benchmarks.precision_variant import Variant

Picture = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class QualityRun:
    """What is taken from a clip."""

    frames: int = 60
    """Frames at most, spread evenly over the clip, 2 or more."""
    key_every: int = 15
    """Of these frames every n-th is a key frame, 2 or more; the others are rebuilt from the one before them."""

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        for name in ("frames", "key_every"):
            if getattr(self, name) < 2:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected at least 2")


@dataclass(frozen=True, slots=True)
class ClipScore:
    """Means over the rebuilt frames of one clip, dB. same_db: PSNR against the first variant's rebuild."""

    clip: str
    psnr_db: float
    face_psnr_db: float
    same_db: float


@dataclass(frozen=True, slots=True)
class QualityRow:
    """Figures of one variant on all clips."""

    engine: str
    precision: str
    clips: tuple[ClipScore, ...]

    @property
    def psnr_db(self) -> float:
        """Whole frame, mean over clips."""
        return float(np.mean([clip.psnr_db for clip in self.clips]))

    @property
    def face_psnr_db(self) -> float:
        """Face, mean over clips."""
        return float(np.mean([clip.face_psnr_db for clip in self.clips]))

    @property
    def same_db(self) -> float:
        """PSNR against the first variant's rebuild, mean over clips."""
        return float(np.mean([clip.same_db for clip in self.clips]))

    def loss_db(self, base: QualityRow) -> tuple[float, float]:
        """How much lower than `base`: whole and face, mean over clips."""
        return base.psnr_db - self.psnr_db, base.face_psnr_db - self.face_psnr_db

    def worst_loss_db(self, base: QualityRow) -> tuple[float, float]:
        """The same for the clip that lost most, whole and face each by itself."""
        pairs = list(zip(base.clips, self.clips, strict=True))
        return max(b.psnr_db - s.psnr_db for b, s in pairs), max(b.face_psnr_db - s.face_psnr_db for b, s in pairs)

    def to_json(self) -> dict[str, object]:
        """Figures by name."""
        return {
            "engine": self.engine,
            "precision": self.precision,
            "psnr_db": self.psnr_db,
            "face_psnr_db": self.face_psnr_db,
            "same_db": self.same_db,
            "clips": [
                {"clip": c.clip, "psnr_db": c.psnr_db, "face_psnr_db": c.face_psnr_db, "same_db": c.same_db}
                for c in self.clips
            ],
        }


def measure_rebuilds(
    variants: Sequence[Variant],
    clips: Sequence[Path],
    run: QualityRun,
    *,
    threads: int,
    progress: Callable[[int], None] = lambda _: None,
) -> list[QualityRow]:
    """Rebuild clips with every variant; the first variant is what the others are compared with.

    `clips`: square video files with face mesh landmarks beside them (clip.mp4, clip.npz). `progress` is told how many
    clips are done.

    Raises:
        ValueError: no variants or clips, or the landmarks are of another clip.
        OSError: a file cannot be read.
        EngineError: an engine cannot load a graph.
    """
    if not variants or not clips:
        raise ValueError(f"variants, clips: got {len(variants)} and {len(clips)}, expected at least one of each")
    detector = variants[0].load(threads, ("detector",))
    models = [variant.load(threads, ("encoder", "motion", "generator")) for variant in variants]
    scores: list[list[ClipScore]] = [[] for _ in variants]
    for number, clip in enumerate(clips):
        frames, masks = _read(clip, detector.frame_px, run.frames)
        size = (detector.detector_px, detector.detector_px)
        motion = [
            detector.detect(np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)).parameters
            for frame in frames
        ]
        first: list[Picture] = []
        for model, taken in zip(models, scores, strict=True):
            rebuilt = _rebuild(model, frames, motion, run.key_every)
            first = first or list(rebuilt.values())
            rows = [
                (psnr_db(frames[at], picture), psnr_db(frames[at], picture, masks[at]), psnr_db(base, picture))
                for (at, picture), base in zip(rebuilt.items(), first, strict=True)
            ]
            taken.append(ClipScore(clip.stem, *(float(value) for value in np.mean(rows, axis=0))))
        progress(number + 1)
    return [
        QualityRow(variant.engine, variant.precision, tuple(taken))
        for variant, taken in zip(variants, scores, strict=True)
    ]


def _rebuild(
    model: FaceModel, frames: Sequence[Picture], motion: Sequence[MotionParameters], key_every: int
) -> dict[int, Picture]:
    """Rebuilt frames by their number; key frames are left out."""
    rebuilt = {}
    ends = [*range(0, len(frames), key_every), len(frames)]
    for key, end in pairwise(ends):
        features = model.encode(frames[key])
        for at in range(key + 1, end):
            rebuilt[at] = model.rebuild(features, motion[key], motion[at])
    return rebuilt


def _read(clip: Path, size_px: int, count: int) -> tuple[list[Picture], list[NDArray[np.bool_]]]:
    """`count` frames spread over a clip, uint8 [size_px, size_px, 3], and the outline of the face in each."""
    landmarks = load_landmarks(clip.with_suffix(".npz"), size_px)
    if len(landmarks) < 2:
        raise ValueError(f"{clip}: got {len(landmarks)} frames, expected at least 2; give another clip")
    wanted = set(np.linspace(0, len(landmarks) - 1, min(count, len(landmarks))).round().astype(int).tolist())
    frames, decoded = [], 0
    with av.open(str(clip)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            decoded += 1
            if number in wanted:
                frames.append(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8))
    if decoded != len(landmarks):
        raise ValueError(f"{clip}: got {decoded} frames, expected {len(landmarks)} as its landmarks have")
    if frames[0].shape != (size_px, size_px, 3):
        raise ValueError(f"{clip}: got frames {frames[0].shape[:2]}, expected square clips of {size_px} pixels")
    return frames, [hull_mask(landmarks[number], size_px) for number in sorted(wanted)]
