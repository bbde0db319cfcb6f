import itertools

import numpy as np
import pytest

from adasr.picture_score import face_mask, score_picture
from adasr.reference_choice import choose_references, likeliest_references, spread_numbers
from adasr_core.geometry import MotionParameters
from adasr_core.picture_quality import psnr_db


def test_spread_numbers_are_even_and_start_with_the_first() -> None:
    assert spread_numbers(range(100), 4) == [0, 33, 66, 99]
    assert spread_numbers([7, 9], 32) == [7, 9]
    assert spread_numbers([7, 9, 11], 1) == [7]
    with pytest.raises(ValueError, match="at least one"):
        spread_numbers([], 4)


def test_one_reference_is_the_first_frame() -> None:
    assert choose_references(np.array([[1.0, 1.0], [9.0, 9.0]]), 1) == [0]


def test_choice_covers_groups_of_targets() -> None:
    scores = np.full((5, 9), 10.0)
    scores[0, :3] = scores[2, 3:6] = scores[4, 6:] = 30.0
    assert choose_references(scores, 3) == [0, 2, 4]


def test_no_reference_that_helps_nobody() -> None:
    scores = np.array([[30.0, 30.0], [20.0, 20.0], [10.0, 30.0]])
    assert choose_references(scores, 3) == [0]


def test_exchange_mends_a_greedy_choice() -> None:
    # Greedy takes candidate 1, a good compromise, and can then add only one of the two specialists.
    scores = np.array([[0.0, 0.0, 0.0, 0.0], [6.0, 6.0, 6.0, 6.0], [10.0, 10.0, 0.0, 0.0], [0.0, 0.0, 10.0, 10.0]])
    assert choose_references(scores, 3) == [0, 2, 3]


@pytest.mark.parametrize("seed", range(20))
def test_choice_is_close_to_the_optimum(seed: int) -> None:
    rng = np.random.default_rng(seed)
    places, targets = rng.random(10), rng.random(40)
    scores = 30.0 - 40.0 * abs(places[:, None] - targets)
    chosen = choose_references(scores, 4)
    best = max(scores[[0, *others]].max(axis=0).sum() for others in itertools.combinations(range(1, 10), 3))
    assert chosen[0] == 0
    assert len(set(chosen)) == len(chosen) == 4
    assert best - scores[chosen].max(axis=0).sum() < 0.01 * abs(best)


def test_bad_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        choose_references(np.array([[np.nan]]), 1)
    with pytest.raises(ValueError, match="at least one"):
        choose_references(np.zeros((1, 1)), 0)


def test_likeliest_references() -> None:
    losses = np.array([2.5, 0.5, 1.0, 0.5])
    assert likeliest_references(losses, 3) == [1, 3, 2]


def test_psnr_of_the_whole_and_of_the_face() -> None:
    source = np.full((64, 64, 3), 100, np.uint8)
    rebuilt = source.copy()
    rebuilt[:32] += 10
    mask = np.zeros((64, 64), np.uint8)
    mask[:32] = 255
    assert psnr_db(source, rebuilt, mask) == pytest.approx(20 * np.log10(25.5), abs=1e-6)
    assert psnr_db(source, rebuilt) == pytest.approx(20 * np.log10(25.5) + 10 * np.log10(2), abs=1e-6)
    score = score_picture(source, rebuilt, mask > 0)
    assert score.score_db == pytest.approx(20 * np.log10(25.5) + 2 * np.log10(2), abs=1e-6)
    assert score.whole_db == psnr_db(source, rebuilt)
    assert psnr_db(source, source) == 99.0


def test_face_mask_is_the_hull_of_the_face_keypoints() -> None:
    points = np.zeros((40, 2), np.float32)
    points[:4] = [(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)]
    points[34:] = 0.9  # beside the face
    mask = face_mask(MotionParameters.create(points, np.zeros((40, 2, 2))), 64)
    assert mask[32, 32]
    assert not mask[60, 60]
    assert abs(int((mask > 0).sum()) - 32 * 32) < 140
