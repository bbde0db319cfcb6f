"""A plain coder of motion to compare with: differences from the frame before, uniform steps, Exp-Golomb codes.

What one writes first, and what several published systems send: no transform, no trained tables, every frame predicted
blindly from the one before, so a lost packet spoils all after it. Steps as design studies of such coders use them: a
pixel of 512 for keypoints, 0.04 for Jacobian entries.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from adasr_core.geometry import MotionParameters

KEYPOINT_STEP = 2 / 512
JACOBIAN_STEP = 0.04


def exp_golomb_bits(levels: npt.NDArray[np.int64]) -> int:
    """Bits of signed Exp-Golomb codes of order 0 (H.264's se(v)) for all levels: 1 for 0, 3 for 1 and -1, ..."""
    mapped = np.where(levels > 0, 2 * levels - 1, -2 * levels)
    return int((2 * np.floor(np.log2(mapped + 1)) + 1).sum())


def plain_frame_bytes(frames: Sequence[MotionParameters]) -> list[float]:
    """Bytes of every frame but the first, each in whole bytes, without any header."""
    count = frames[0].count
    steps = np.concatenate((np.full(2 * count, KEYPOINT_STEP), np.full(4 * count, JACOBIAN_STEP)))
    held = np.rint(frames[0].vector() / steps)
    sizes = []
    for frame in frames[1:]:
        wanted = np.rint(frame.vector() / steps)
        sizes.append(float(-(-exp_golomb_bits((wanted - held).astype(np.int64)) // 8)))
        held = wanted
    return sizes
