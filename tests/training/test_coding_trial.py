"""The trial codes whole clips at once; the codec codes them message by message: they must leave the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from adasr_core.bitstream import FrameToCode, MotionCodec, MotionTables
from adasr_core.bitstream.prediction import MODES
from adasr_core.geometry import MotionParameters
from training.coding_trial import CodingTrial, count_levels, expected_rows, level_distribution, quantised

Floats = npt.NDArray[np.float64]
Build = Callable[[int], MotionTables]


@pytest.fixture(scope="module")
def walk() -> Floats:
    """Coefficients of a clip in steps of quality index 0: two that wander fast, two that hardly do."""
    rng = np.random.default_rng(0)
    return rng.normal(0, (6.0, 3.0, 0.5, 0.1), (400, 4)).cumsum(axis=0)


def test_what_a_mode_leaves_is_what_the_codec_codes(synthetic_tables: Build) -> None:
    """Frames of one keypoint, each against the one before: the trial's levels are the differences of the codec's."""
    tables = synthetic_tables(1)
    codec = MotionCodec(tables, 1)
    rng = np.random.default_rng(3)
    reference = MotionParameters.create([[0.0, 0.0]], np.eye(2)[None])
    place = rng.normal(0, 0.01, (60, 6)).cumsum(axis=0) + reference.vector()
    frames = [MotionParameters.from_vector(row.astype(np.float32)) for row in place]
    exact = np.stack([codec.transform(frame, reference) for frame in frames]) / codec.steps
    quality = 4
    (remainders,) = CodingTrial([exact]).remainders(1, quality)
    base = None
    made = []
    for number, frame in enumerate(frames):
        _, (base,) = codec.encode_message(
            [FrameToCode(40 * number, frame)],
            reference,
            slot=0,
            generation=0,
            sequence=number,
            quality=quality,
            base=base,
        )
        made.append(base.coefficients)
    levels = np.diff(np.array(made), axis=0) // 128
    # The trial starts from the first frame rounded to the nearest, the codec with its deadzone: they meet soon.
    np.testing.assert_array_equal(quantised(remainders)[20:], levels[20:])


def test_every_mode_leaves_something(walk: Floats) -> None:
    trial = CodingTrial([walk, walk[:30], walk[:5]])
    sizes = [np.abs(np.concatenate(list(trial.remainders(mode, 4)))).mean() for mode in range(MODES)]
    # Farther is worse; the mean of both neighbours beats either.
    assert sizes[1:9] == sorted(sizes[1:9])
    assert sizes[9:] == sorted(sizes[9:])
    assert sizes[9] < sizes[1]
    assert sizes[12] < sizes[8]
    # A clip that is too short for a mode is left out of it.
    assert [len(left) for left in trial.remainders(8, 4)] == [380, 10]
    assert [len(left) for left in trial.remainders(12, 4)] == [380, 10]
    assert [len(left) for left in trial.remainders(0, 4)] == [400, 30, 5]


def test_between_two_frames_is_their_weighted_mean() -> None:
    """A straight line leaves nothing but rounding."""
    line = np.arange(60.0)[:, None] * np.array([[5.0, -40.0]])
    for mode in (9, 10, 11, 12):
        (left,) = CodingTrial([line]).remainders(mode, 0)
        assert np.abs(left).max() < 1


def test_quantised_rounds_up_from_two_thirds() -> None:
    assert quantised(np.array([0.0, 0.66, 0.67, -0.66, -0.67, 1.6, 1.7, -5.5])).tolist() == [0, 0, 1, 0, -1, 1, 2, -5]


def test_expected_rows_are_a_quarter_of_an_octave_apart() -> None:
    rng = np.random.default_rng(0)
    sizes = 2.0 ** np.arange(-2, 6)
    clip = rng.laplace(0, sizes, (4000, 8))
    rows = expected_rows(CodingTrial([clip]))
    assert rows.shape == (MODES, 8)
    # Mean size 1 at quality index 0 is row 24.
    np.testing.assert_allclose(rows[0], 24 + 4 * np.arange(-2, 6), atol=1)


def test_level_distribution_is_that_of_what_is_rounded() -> None:
    rng = np.random.default_rng(0)
    for row in (10, 24, 36):
        share = level_distribution(row, 31)
        assert share.sum() == pytest.approx(1)
        levels = quantised(rng.laplace(0, 2.0 ** ((row - 24) / 4), 200_000))
        counted = np.bincount(np.clip(levels, -32, 32) + 32, minlength=65)
        np.testing.assert_allclose(share[:-1], counted[1:-1] / len(levels), atol=4e-3)
        assert share[-1] == pytest.approx((counted[0] + counted[-1]) / len(levels), abs=4e-3)


def test_counting_makes_coding_cheaper(walk: Floats) -> None:
    """Bits of the clips with what was counted, against what was assumed before."""
    trial = CodingTrial([walk])
    scales = np.clip(expected_rows(trial), 0, 63)
    offsets = np.array([-6, 0, 6])
    assumed = np.stack([level_distribution(row, 7) for row in range(64)])
    even = np.full((MODES, 3), 1 / 3)
    counted, activities = count_levels(trial, scales, offsets, assumed, even)
    np.testing.assert_allclose(counted.sum(axis=1), 1)
    np.testing.assert_allclose(activities.sum(axis=1), 1)
    np.testing.assert_allclose(counted[:, :-1], counted[:, -2::-1])

    def bits(shares: Floats, own: Floats) -> float:
        total = 0.0
        for mode in range(MODES):
            for remainders in trial.remainders(mode, 4):
                levels = quantised(remainders)
                symbols = np.where(np.abs(levels) > 7, 15, levels + 7)
                rows = np.clip(scales[mode] - 4 + offsets[:, None], 0, 63)
                costs = -np.log2(shares[rows[:, None, :], symbols[None]]).sum(axis=2) - np.log2(own[mode])[:, None]
                total += costs.min(axis=0).sum()
        return total

    assert bits(counted, activities) < bits(assumed, even)


def test_clips_too_short_for_all_are_refused() -> None:
    with pytest.raises(ValueError, match="the longest has 20 frames"):
        CodingTrial([np.zeros((20, 3)), np.zeros((4, 3))])
    with pytest.raises(ValueError, match="the longest has 0 frames"):
        CodingTrial([])
