"""Frames of clips to compare engines on: the first one as the key frame, later ones to rebuild."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]


def frame_pairs(clips: Sequence[Path], size_px: int, per_clip: int = 2) -> list[tuple[Image, Image]]:
    """First frame of each clip with `per_clip` later ones, as squares uint8 [size_px, size_px, 3] RGB."""
    pairs = []
    for clip in clips:
        with av.open(str(clip)) as container:
            frames = [f.to_ndarray(format="rgb24") for f, _ in zip(container.decode(video=0), range(100), strict=False)]
        squares = [
            np.asarray(cv2.resize(f, (size_px, size_px), interpolation=cv2.INTER_AREA), np.uint8) for f in frames
        ]
        pairs += [(squares[0], squares[(len(squares) - 1) * (n + 1) // per_clip]) for n in range(per_clip)]
    return pairs
