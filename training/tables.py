"""Train the coder's frozen tables: transform, quantiser steps and integer frequencies, from real motion.

``adasr train tables`` runs the detector over clips at their full frame rate and fits

* a Karhunen-Loeve transform of the difference between a frame's parameters and its reference's, in the metric of the
  picture (`training.picture_sensitivity`): one unit of any coefficient hurts a rebuild alike, so that one step for all
  is what a given loss of quality wants;
* the expected size of what is left of every kind of prediction (`adasr_core.bitstream.prediction`), by coefficient;
* the distribution of levels for every size, and how often each activity occurs, by coding the clips and counting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from adasr_core.bitstream.entropy import TOTAL
from adasr_core.bitstream.tables import MAX_COMPONENTS, MotionTables
from training.coding_trial import ROW_STEPS_PER_OCTAVE, CodingTrial, count_levels, expected_rows, level_distribution
from training.motion_sequences import MotionSequence

Floats = npt.NDArray[np.float64]

_LARGEST_DIFFERENCE = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class TablesConfig:
    """How the tables are fitted."""

    components: int = 48
    """M, coefficients kept."""
    step: float = 0.035
    """Quantiser step at quality index 0; an error of one in a coefficient costs a rebuild 4.3 dB in the metric."""
    radius: int = 31
    """R, largest level without escape."""
    rows: int = 64
    """S, sizes of levels told apart, four an octave."""
    activity_offsets: tuple[int, ...] = (-10, -7, -4, -2, 0, 2, 4, 7)
    """What an activity adds to the row."""
    reference_radius: int = 127
    """R of reference parameters."""
    reference_keypoint_step: float = 0.002
    """Step of a reference's keypoints, [-1, 1] units."""
    reference_jacobian_step: float = 0.02
    """Step of a reference's Jacobian entries."""
    references_per_clip: int = 4
    """Random references drawn for each clip."""
    seed: int = 0
    """Seed of that draw."""

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        bounds = {
            "components": (1, MAX_COMPONENTS),
            "radius": (1, 511),
            "rows": (1, 128),
            "reference_radius": (1, 511),
            "references_per_clip": (1, 1000),
        }
        for name, (lowest, highest) in bounds.items():
            value = getattr(self, name)
            if not lowest <= value <= highest:
                raise ValueError(f"{name}: got {value}, expected {lowest} to {highest}")
        for name in ("step", "reference_keypoint_step", "reference_jacobian_step"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected above 0")


def differences(sequence: MotionSequence, reference: int) -> Floats:
    """Difference vectors [T, 6K] of a clip's frames from one of them, as the bitstream codes them."""
    count = len(sequence.keypoints)
    points = sequence.keypoints - sequence.keypoints[reference]
    shapes = sequence.jacobians @ np.linalg.inv(sequence.jacobians[reference]) - np.eye(2)
    return np.concatenate((points.reshape(count, -1), shapes.reshape(count, -1)), axis=1)


def frequencies_of(share: Floats) -> npt.NDArray[np.uint16]:
    """Integer frequencies of a distribution [N]: they add up to `TOTAL`, none is 0."""
    counts = np.maximum(np.floor(share / share.sum() * (TOTAL - len(share))) + 1, 1).astype(np.int64)
    counts[np.argmax(counts)] += TOTAL - counts.sum()
    return np.asarray(counts, np.uint16)


def picture_transform(rows: Floats, metric: Floats, components: int) -> tuple[Floats, Floats]:
    """Basis [M, D] and synthesis [D, M] of the transform that packs `rows` [N, D] best in the metric [D, D].

    With v^T G v the cost of an error v: the eigenvectors of G^1/2 C G^1/2, C the rows' second moments.
    """
    values, vectors = np.linalg.eigh(metric)
    roots = np.sqrt(np.maximum(values, values.max() * 1e-6))
    whiten, colour = (vectors * roots) @ vectors.T, (vectors / roots) @ vectors.T
    whitened = rows @ whiten
    sizes, directions = np.linalg.eigh(whitened.T @ whitened / len(rows))
    kept = directions[:, np.argsort(sizes)[::-1][:components]]
    return kept.T @ whiten, colour @ kept


def train_tables(
    sequences: Sequence[MotionSequence], metric: Floats, config: TablesConfig = TablesConfig()
) -> MotionTables:
    """Fit `MotionTables` to the motion of clips.

    metric: float64 [6K, 6K], see `training.picture_sensitivity`.

    Raises:
        ValueError: no clips with sane motion, all clips are shorter than 21 frames, more coefficients than
            parameters, or the metric is for another number of keypoints.
    """
    if not sequences:
        raise ValueError("sequences: got none, expected clips with a face; is the data set's index.csv right?")
    count = sequences[0].keypoints.shape[1]
    if metric.shape != (6 * count, 6 * count):
        raise ValueError(f"metric: got shape {metric.shape}, expected {(6 * count, 6 * count)}")
    if config.components > 6 * count:
        raise ValueError(f"components: got {config.components}, expected at most {6 * count} with {count} keypoints")
    rng = np.random.default_rng(config.seed)
    drawn = [
        differences(sequence, int(reference))
        for sequence in sequences
        for reference in rng.choice(len(sequence.keypoints), min(config.references_per_clip, len(sequence.keypoints)))
    ]
    # A folded face makes a Jacobian explode; such rows would own the transform.
    sound = [clip for clip in drawn if np.abs(clip).max() < _LARGEST_DIFFERENCE]
    if not sound:
        raise ValueError(f"sequences: in all, motion goes beyond {_LARGEST_DIFFERENCE}; is the detector trained?")
    basis, synthesis = picture_transform(np.concatenate(sound), metric, config.components)
    trial = CodingTrial([clip @ basis.T / config.step for clip in sound])
    scales = np.clip(expected_rows(trial), 0, config.rows - 1)
    shares = np.stack([level_distribution(row, config.radius) for row in range(config.rows)])
    offsets = np.array(config.activity_offsets)
    activity_shares = np.full((len(scales), len(offsets)), 1 / len(offsets))
    for _ in range(2):  # which activity is cheapest depends on the distributions, and they on the activities
        shares, activity_shares = count_levels(trial, scales, offsets, shares, activity_shares)
    own = np.concatenate(
        [
            np.concatenate((s.keypoints.reshape(len(s.keypoints), -1), s.jacobians.reshape(len(s.keypoints), -1)), 1)
            for s in sequences
        ]
    )
    mean = own.mean(axis=0)
    reference_steps = np.concatenate(
        (np.full(2 * count, config.reference_keypoint_step), np.full(4 * count, config.reference_jacobian_step))
    )
    return MotionTables(
        basis=np.ascontiguousarray(basis, np.float32),
        synthesis=np.ascontiguousarray(synthesis, np.float32),
        steps=np.full(config.components, config.step, np.float32),
        scales=scales.astype(np.uint8),
        frequencies=np.stack([frequencies_of(share) for share in shares]),
        activity_offsets=offsets.astype(np.int8),
        activity_frequencies=np.stack([frequencies_of(share) for share in activity_shares]),
        reference_mean=mean.astype(np.float32),
        reference_steps=reference_steps.astype(np.float32),
        reference_frequencies=np.stack(
            [_own_frequencies(c, config.reference_radius) for c in ((own - mean) / reference_steps).T]
        ),
    )


def _own_frequencies(scaled: Floats, radius: int) -> npt.NDArray[np.uint16]:
    """Frequencies [2R + 2] of a reference parameter's levels: symmetric histogram, smoothed by a Laplace's."""
    levels = np.rint(scaled).astype(np.int64)
    outside = np.abs(levels) > radius
    histogram = np.bincount(np.clip(levels[~outside], -radius, radius) + radius, minlength=2 * radius + 1).astype(float)
    histogram = (histogram + histogram[::-1]) / 2
    row = round(ROW_STEPS_PER_OCTAVE * np.log2(max(float(np.abs(levels).mean()), 0.05))) + 24
    smooth = level_distribution(row, radius)
    return frequencies_of(0.9 * np.append(histogram, outside.sum() + 0.5) / (len(levels) + 0.5) + 0.1 * smooth)
