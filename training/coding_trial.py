"""Codes clips as the bitstream does, to count what occurs: sizes of levels by mode, levels by size, activities.

It runs on whole clips at once. For a prediction from one frame, d frames back, every frame follows its own d-th
predecessor in a closed loop; for one between two frames, the neighbours come from the loop with d = 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from adasr_core.bitstream.motion import ROUND_UP_FROM
from adasr_core.bitstream.prediction import MODES, Prediction

Floats = npt.NDArray[np.float64]
Levels = npt.NDArray[np.int64]

ROW_STEPS_PER_OCTAVE = 4
_ROW_OF_ONE = 24
_QUALITY = 4
_COUNTED_QUALITIES = (0, 2, 4, 6, 9, 12)
_SMOOTHING = 300.0

_KINDS = (
    Prediction(0, None, None),
    *(Prediction(0, distance, None) for distance in (1, 2, 3, 4, 6, 8, 12, 20)),
    *(Prediction(age, left, 0) for left, age in ((2, 1), (4, 2), (8, 2), (20, 3))),
)
"""One prediction of every mode."""


class CodingTrial:
    """Coefficients of clips, float64 [T, M] each, in steps of quality index 0."""

    def __init__(self, clips: Sequence[Floats]) -> None:
        """Raise ValueError unless some clip is long enough for every mode."""
        self.clips = list(clips)
        needed = 1 + max(kind.left or 0 for kind in _KINDS)
        longest = max((len(clip) for clip in self.clips), default=0)
        if longest < needed:
            raise ValueError(f"clips: the longest has {longest} frames, expected {needed} or more")

    def remainders(self, mode: int, quality: int) -> Iterator[Floats]:
        """What a mode's predictions leave of every frame, in steps of the quality index, clip by clip: [N, M]."""
        kind = _KINDS[mode]
        assert kind.mode == mode
        step = 2.0 ** (quality / 4)
        for clip in self.clips:
            exact = clip / step
            if kind.left is None:
                yield exact
            elif kind.right is None:
                if len(exact) > kind.left:
                    yield _closed_loop(exact, kind.left)[0]
            elif len(exact) > kind.left:
                made = _closed_loop(exact, 1)[1]
                a, b = kind.left - kind.age, kind.age
                between = (b * made[: -kind.left] + a * made[kind.left :]) / kind.left
                yield exact[a : len(exact) - b] - between


def quantised(remainders: Floats) -> Levels:
    """Levels of remainders as the codec rounds them."""
    return np.asarray(np.sign(remainders) * np.floor(np.abs(remainders) + 1 - ROUND_UP_FROM), np.int64)


def expected_rows(trial: CodingTrial) -> Levels:
    """Row of the expected size of every coefficient by mode, at quality index 0: int64 [13, M]."""
    sizes = np.stack(
        [np.abs(np.concatenate(list(trial.remainders(mode, _QUALITY)))).mean(axis=0) for mode in range(MODES)]
    )
    rows = ROW_STEPS_PER_OCTAVE * np.log2(np.maximum(sizes, 1e-3)) + _ROW_OF_ONE + _QUALITY
    return np.asarray(np.rint(rows), np.int64)


def level_distribution(row: int, radius: int) -> Floats:
    """Levels -R..R and the escape [2R + 2] of a Laplace distribution of a row's mean size, rounded by the codec."""
    size = 2.0 ** ((row - _ROW_OF_ONE) / ROW_STEPS_PER_OCTAVE)
    # Levels k > 0 hold the sizes from k - 1 + ROUND_UP_FROM to k + ROUND_UP_FROM.
    edges = np.exp(-(np.arange(radius + 1) + ROUND_UP_FROM) / size)
    positive = (edges[:-1] - edges[1:]) / 2
    return np.concatenate((positive[::-1], [1 - edges[0]], positive, [edges[-1]]))


def count_levels(
    trial: CodingTrial, scales: Levels, offsets: npt.NDArray[np.int64], shares: Floats, activity_shares: Floats
) -> tuple[Floats, Floats]:
    """Better distributions of levels by row [S, 2R + 2] and of activities by mode [13, A], from coding everything once.

    Every frame takes the activity that is cheapest with the distributions so far.
    """
    rows, symbols = shares.shape
    radius = (symbols - 2) // 2
    costs = -np.log2(shares + 1e-9)
    counted = np.zeros_like(shares)
    activities = np.ones_like(activity_shares)
    for mode in range(MODES):
        for quality in _COUNTED_QUALITIES:
            for remainders in trial.remainders(mode, quality):
                levels = quantised(remainders)
                symbol = np.where(np.abs(levels) > radius, symbols - 1, levels + radius)
                row = np.clip(scales[mode] - quality + offsets[:, None], 0, rows - 1)
                bits = costs[row[:, None, :], symbol[None]].sum(axis=2) - np.log2(activity_shares[mode])[:, None]
                chosen = bits.argmin(axis=0)
                activities[mode] += np.bincount(chosen, minlength=len(offsets))
                cells = (row[chosen] * symbols + symbol).reshape(-1)
                counted += np.bincount(cells, minlength=counted.size).reshape(counted.shape)
    inside = counted[:, :-1]
    counted[:, :-1] = (inside + inside[:, ::-1]) / 2
    smooth = np.stack([level_distribution(row, radius) for row in range(rows)])
    mixed = counted + _SMOOTHING * smooth
    return mixed / mixed.sum(axis=1, keepdims=True), activities / activities.sum(axis=1, keepdims=True)


def _closed_loop(exact: Floats, distance: int) -> tuple[Floats, Floats]:
    """Remainders [T - d, M] and rebuilt coefficients [T, M] when every frame is predicted from the d-th before it."""
    made = np.zeros_like(exact)
    made[:distance] = np.rint(exact[:distance])
    remainders = np.empty((len(exact) - distance, exact.shape[1]))
    for start in range(distance, len(exact), distance):
        block = slice(start, min(start + distance, len(exact)))
        before = made[block.start - distance : block.stop - distance]
        remainders[block.start - distance : block.stop - distance] = exact[block] - before
        made[block] = before + quantised(exact[block] - before)
    return remainders, made
