"""From which frames a frame is predicted: the order, the modes, the weighted means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adasr_core.bitstream.prediction import INTRA_MODE, MAX_DISTANCE, MODES, Prediction, coding_order, predict

LAYOUTS = [(frames, distance) for frames in range(1, 9) for distance in (0, *range(frames, MAX_DISTANCE + 1))]


@pytest.mark.parametrize(("frames", "distance"), LAYOUTS)
def test_every_frame_is_coded_once_from_frames_that_are_known_by_then(frames: int, distance: int) -> None:
    known = {distance} if distance else set()
    order = coding_order(frames, distance)
    assert sorted(prediction.age for prediction in order) == list(range(frames))
    for prediction in order:
        neighbours = [age for age in (prediction.left, prediction.right) if age is not None]
        assert known.issuperset(neighbours)
        assert 0 <= prediction.mode < MODES
        assert (prediction.mode == INTRA_MODE) == (not neighbours)
        if prediction.left is not None and prediction.right is not None:
            assert prediction.left > prediction.age > prediction.right
        known.add(prediction.age)


def _order(frames: int, distance: int) -> list[tuple[int, int | None, int | None]]:
    return [(prediction.age, prediction.left, prediction.right) for prediction in coding_order(frames, distance)]


def test_orders_of_the_document() -> None:
    assert _order(4, 0) == [(0, None, None), (1, None, 0), (2, None, 1), (3, None, 2)]
    assert _order(4, 4) == [(0, 4, None), (2, 4, 0), (3, 4, 2), (1, 2, 0)]
    assert _order(3, 3) == [(0, 3, None), (1, 3, 0), (2, 3, 1)]
    # (20 + 0) // 2 is older than the message: its oldest frame comes first.
    assert _order(4, 20) == [(0, 20, None), (3, 20, 0), (1, 3, 0), (2, 3, 1)]
    assert _order(1, 63) == [(0, 63, None)]
    assert _order(8, 8) == [
        (0, 8, None),
        (4, 8, 0),
        (6, 8, 4),
        (7, 8, 6),
        (5, 6, 4),
        (2, 4, 0),
        (3, 4, 2),
        (1, 2, 0),
    ]
    assert _order(5, 9) == [(0, 9, None), (4, 9, 0), (2, 4, 0), (3, 4, 2), (1, 2, 0)]
    assert _order(8, 0) == [(0, None, None), *((age, None, age - 1) for age in range(1, 8))]


def test_modes_of_the_document() -> None:
    by_distance = [Prediction(0, distance, None).mode for distance in range(1, MAX_DISTANCE + 1)]
    assert by_distance == [1, 2, 3, 4, 5, 5, 6, 6, 6, 7, 7, 7, 7, 7, *[8] * 49]
    assert Prediction(0, None, None).mode == 0
    assert Prediction(2, None, 1).mode == 1
    # Spread 4 a b // (a + b), a and b being how far the older and the newer neighbour are.
    spreads = {(1, 1): 9, (1, 2): 9, (2, 1): 9, (1, 3): 10, (2, 2): 10, (1, 60): 10, (2, 3): 10, (3, 3): 11}
    spreads |= {(4, 3): 11, (4, 4): 11, (17, 3): 12, (60, 3): 12}
    for (a, b), mode in spreads.items():
        assert Prediction(b, a + b, 0).mode == mode, (a, b)


def test_means_are_weighted_by_nearness_and_rounded() -> None:
    known = {8: (0, 10, -1, 7), 0: (100, 11, 0, 7)}
    assert predict(Prediction(4, 8, 0), known, 4) == (50, 11, 0, 7)  # halves go up: -0.5 is 0
    assert predict(Prediction(2, 8, 0), known, 4) == (75, 11, 0, 7)
    assert predict(Prediction(6, 8, 0), known, 4) == (25, 10, -1, 7)
    assert predict(Prediction(0, 8, None), known, 4) == known[8]
    assert predict(Prediction(1, None, 0), known, 4) == known[0]
    assert predict(Prediction(0, None, None), {}, 4) == (0, 0, 0, 0)


@given(st.integers(-(1 << 24), 1 << 24), st.integers(-(1 << 24), 1 << 24), st.integers(2, 63), st.data())
def test_a_mean_lies_between_its_neighbours_within_half_a_unit(
    left: int, right: int, far: int, data: st.DataObject
) -> None:
    age = data.draw(st.integers(1, far - 1))
    (made,) = predict(Prediction(age, far, 0), {far: (left,), 0: (right,)}, 1)
    assert min(left, right) <= made <= max(left, right)
    assert abs(made * far - (age * left + (far - age) * right)) * 2 <= far
