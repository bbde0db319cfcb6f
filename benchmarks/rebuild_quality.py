"""How good a rebuilt clip is: PSNR of the whole frame and of the face, beside that of a held key frame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial

import numpy as np
import numpy.typing as npt

from adasr_core import picture_quality
from adasr_core.landmarks import hull_mask
from adasr_core.picture_quality import sharpness_of

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Quality:
    """Means over frames (first frame left out: there the key frame is the frame).

    psnr_db, face_psnr_db: rebuilt frames, whole and inside the hull of the landmarks.
    static_psnr_db, static_face_psnr_db: the same for the first source frame, held.
    sharpness: mean absolute Laplacian of rebuilt over source; 1 is as sharp.
    worst_frame: number of the frame whose face is worst; worst_face_psnr_db: its PSNR.
    """

    psnr_db: float
    face_psnr_db: float
    static_psnr_db: float
    static_face_psnr_db: float
    sharpness: float
    worst_frame: int
    worst_face_psnr_db: float

    @property
    def gain_db(self) -> float:
        """Whole frame, against holding the first frame."""
        return self.psnr_db - self.static_psnr_db

    @property
    def face_gain_db(self) -> float:
        """Face, against holding the first frame."""
        return self.face_psnr_db - self.static_face_psnr_db

    def to_json(self) -> dict[str, float]:
        """All figures by name, gains included."""
        return {**asdict(self), "gain_db": self.gain_db, "face_gain_db": self.face_gain_db}


# Equal pictures score 100 in the tables.
psnr_db = partial(picture_quality.psnr_db, exact_db=100.0)


def measure_quality(frames: Iterable[tuple[Image, Image]], landmarks: npt.NDArray[np.float32]) -> Quality:
    """Compare pairs (source, rebuilt) of one clip, uint8 [S, S, 3] each, with landmarks [T, 478, 3].

    Raises:
        ValueError: fewer than two frames, or another number of frames than landmarks.
    """
    key: Image | None = None
    rows = []
    count = 0
    for number, (source, rebuilt) in enumerate(frames):
        count += 1
        if key is None:
            key = source
            continue
        if number >= len(landmarks):
            continue
        mask = hull_mask(landmarks[number], source.shape[0])
        rows.append(
            (
                psnr_db(source, rebuilt),
                psnr_db(source, rebuilt, mask),
                psnr_db(source, key),
                psnr_db(source, key, mask),
                sharpness_of(rebuilt) / max(sharpness_of(source), 1e-6),
            )
        )
    if count != len(landmarks) or not rows:
        raise ValueError(f"frames: got {count}, expected {len(landmarks)} as the landmarks have, and at least 2")
    table = np.array(rows)
    worst = int(table[:, 1].argmin())
    whole, face, static, static_face, sharp = (float(v) for v in table.mean(axis=0))
    return Quality(whole, face, static, static_face, sharp, worst + 1, float(table[worst, 1]))


def mean_quality(clips: Sequence[Quality]) -> dict[str, float]:
    """Mean over clips of every figure but the worst frame."""
    names = [f.name for f in fields(Quality) if not f.name.startswith("worst")]
    rows = [c.to_json() for c in clips]
    return {name: float(np.mean([r[name] for r in rows])) for name in [*names, "gain_db", "face_gain_db"]}
