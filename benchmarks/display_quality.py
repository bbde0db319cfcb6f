"""How good a clip looks on a display that runs at the source's full frame rate, whatever was sent.

A picture that stands while the source moves on counts as what it is: the wrong picture for that moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from adasr_core.landmarks import hull_mask
from adasr_core.picture_quality import sharpness_of
from benchmarks.rebuild_quality import psnr_db
from benchmarks.structural_similarity import ssim

Image = npt.NDArray[np.uint8]

SSIM_STRIDE = 7
"""Every so many source frames SSIM is taken; prime to the held steps, so that fresh and held pictures count alike."""


@dataclass(frozen=True, slots=True)
class DisplayQuality:
    """Means over all source frames of a clip, the first one included.

    psnr_db: of the whole frame. face_psnr_db: inside the convex hull of the landmarks. ssim: over every
    `SSIM_STRIDE`-th frame. sharpness: mean absolute Laplacian, shown over source; 1 is as sharp.
    """

    psnr_db: float
    face_psnr_db: float
    ssim: float
    sharpness: float

    def to_json(self) -> dict[str, float]:
        """Figures by name."""
        return asdict(self)


def measure_display(
    pairs: Iterable[tuple[Image, Image]], landmarks: npt.NDArray[np.float32], *, ssim_stride: int = SSIM_STRIDE
) -> DisplayQuality:
    """Compare what was shown with the source, frame by frame.

    Args:
        pairs: (source, shown) for every source frame, uint8 [S, S, 3] each; a held picture comes again and again.
        landmarks: [T, N, >=2] in [-1, 1], one row for each source frame.
        ssim_stride: every so many frames SSIM is taken.

    Raises:
        ValueError: another number of frames than landmarks, none, or a stride below 1.
    """
    if ssim_stride < 1:
        raise ValueError(f"ssim_stride: got {ssim_stride}, expected at least 1")
    rows: list[tuple[float, float, float]] = []
    similarities: list[float] = []
    count = 0
    for number, (source, shown) in enumerate(pairs):
        count += 1
        if number >= len(landmarks):
            continue
        mask = hull_mask(landmarks[number], source.shape[0])
        sharpness = sharpness_of(shown) / max(sharpness_of(source), 1e-6)
        rows.append((psnr_db(source, shown), psnr_db(source, shown, mask), sharpness))
        if number % ssim_stride == 0:
            similarities.append(ssim(source, shown))
    if count != len(landmarks) or not rows:
        raise ValueError(f"frames: got {count}, expected {len(landmarks)} as the landmarks have, and at least 1")
    whole, face, sharp = (float(value) for value in np.array(rows).mean(axis=0))
    return DisplayQuality(whole, face, float(np.mean(similarities)), sharp)


def mean_display_quality(clips: Sequence[DisplayQuality]) -> DisplayQuality:
    """Mean over clips, each counting the same. Raises ValueError without one."""
    if not clips:
        raise ValueError("clips: got none, expected at least one")
    rows = [(clip.psnr_db, clip.face_psnr_db, clip.ssim, clip.sharpness) for clip in clips]
    return DisplayQuality(*(float(value) for value in np.mean(rows, axis=0)))
