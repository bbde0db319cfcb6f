"""Coder tables made up from made-up motion: small, sound, equal for equal arguments."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from adasr_core.bitstream.entropy import TOTAL
from adasr_core.bitstream.prediction import MODES
from adasr_core.bitstream.tables import MotionTables
from fuzz.material import head_motion

_SCALES = 40
_SMALLEST = 0.05
_ACTIVITY_OFFSETS = (-8, -4, 0, 4, 8)


@cache
def made_tables(K: int, components: int, *, radius: int = 15, reference_radius: int = 31) -> MotionTables:
    """Tables for K keypoints whose transform is fitted to `head_motion`.

    components: M, at most 6K. radius: R of the motion's levels; a small one makes for escapes. reference_radius: the
    same for references' own parameters.
    """
    motion = head_motion(K, 300, seed=1)
    vectors = np.stack([frame.vector() for frame in motion]).astype(np.float64)
    differences = vectors - vectors[0]
    basis = np.linalg.svd(differences, full_matrices=False)[2][:components]
    steps = np.full(components, 0.01)
    sizes = np.abs(differences @ basis.T).mean(axis=0) / steps
    by_mode = sizes / 2.0 ** np.minimum(np.arange(MODES)[:, None], 8)
    scales = np.clip(np.rint(4 * np.log2(by_mode / _SMALLEST)), 0, _SCALES - 1)
    activities = np.full((MODES, len(_ACTIVITY_OFFSETS)), TOTAL // len(_ACTIVITY_OFFSETS))
    activities[:, 0] += TOTAL - activities.sum(axis=1)
    identity = np.tile(np.eye(2).reshape(-1), K)
    return MotionTables(
        basis=basis.astype(np.float32),
        synthesis=np.ascontiguousarray(basis.T).astype(np.float32),
        steps=steps.astype(np.float32),
        scales=scales.astype(np.uint8),
        frequencies=laplace_rows(_SMALLEST * 2.0 ** (np.arange(_SCALES) / 4), radius),
        activity_offsets=np.array(_ACTIVITY_OFFSETS, np.int8),
        activity_frequencies=activities.astype(np.uint16),
        reference_mean=np.concatenate((np.zeros(2 * K), identity)).astype(np.float32),
        reference_steps=np.concatenate((np.full(2 * K, 1 / 512), np.full(4 * K, 1 / 64))).astype(np.float32),
        reference_frequencies=laplace_rows(np.full(6 * K, 12.0), reference_radius),
    )


def laplace_rows(sizes: npt.NDArray[np.float64], radius: int) -> npt.NDArray[np.uint16]:
    """Frequencies [..., 2 radius + 2] of two-sided geometric levels with these mean magnitudes, escape last."""
    levels = np.arange(-radius, radius + 1)
    weights = np.exp(-np.abs(levels) / np.maximum(sizes[..., None], 0.2))
    weights = np.concatenate((weights, weights[..., :1]), axis=-1)
    weights /= weights.sum(axis=-1, keepdims=True)
    frequencies = 1 + np.floor(weights * (TOTAL - 2 * radius - 2)).astype(np.int64)
    frequencies[..., radius] += TOTAL - frequencies.sum(axis=-1)
    rows: npt.NDArray[np.uint16] = frequencies.astype(np.uint16)
    return rows
