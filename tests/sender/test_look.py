from __future__ import annotations

import numpy as np
import pytest

from sender.look import Look, loss_matrix_db
from tests.real_model import talking
from tests.sender.poses import look, pose


def test_the_same_look_loses_nothing_and_others_lose_more_the_more_they_differ() -> None:
    assert look().loss_db(look()) == 0
    by_pose = [look().loss_db(look(x=x)) for x in (0.005, 0.02, 0.1, 0.4)]
    by_light = [look().loss_db(look(grey=grey)) for grey in (104.0, 110.0, 130.0, 200.0)]
    for losses in (by_pose, by_light):
        assert losses == sorted(losses)
        assert losses[0] > 0
    assert look().loss_db(look(x=0.1, grey=130.0)) == pytest.approx(by_pose[2] + by_light[2])


def test_what_hardly_differs_is_the_same() -> None:
    assert look().loss_db(look(grey=101.0)) == 0


def test_a_matrix_holds_every_pair() -> None:
    looks, references = [look(x=0.1 * n) for n in range(3)], [look(x=0.25, grey=90.0), look()]
    losses = loss_matrix_db(looks, references)
    assert losses.shape == (3, 2)
    for i, one in enumerate(looks):
        for j, other in enumerate(references):
            assert losses[i, j] == one.loss_db(other)


def test_pictures_of_a_moving_head_differ_more_the_longer_it_moved() -> None:
    looks = [Look.of(talking(frame), pose()) for frame in (0, 2, 6, 14)]
    losses = [looks[0].loss_db(other) for other in looks]
    assert losses == sorted(losses)
    assert looks[0].thumbnail.dtype == np.float32
    assert losses[1] < 0.6 * losses[3]
