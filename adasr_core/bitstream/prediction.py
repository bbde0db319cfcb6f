"""From which frames a frame of a message is predicted, and how well that works.

Ages count frames back from the newest of the message, which has age 0; the base has age d, its *distance*::

    with a base:      d  .  .  3  2  1  0        0 from d; then the others between two coded neighbours
                      B <----- 2 ----> N
    without a base:            3  2  1  0        0 from nothing but the reference; then 1 from 0, 2 from 1, 3 from 2

A frame between two neighbours is their mean, weighted by nearness. One neighbour stands for itself: extrapolating the
motion was measured to cost more than it saves. The *mode* says how well a prediction of that kind does; the tables
hold the expected size of what is left for every mode.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MAX_DISTANCE = 63
"""The farthest base, in frames before the newest of a message."""

INTRA_MODE = 0
_DISTANCE_ENDS = (1, 2, 3, 4, 6, 9, 14, MAX_DISTANCE)
_SPREAD_ENDS = (2, 4, 8)
MODES = 1 + len(_DISTANCE_ENDS) + len(_SPREAD_ENDS) + 1
"""0: from the reference alone; 1..8: from one frame, by distance; 9..12: between two frames, by their spread."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """How the frame of an age is predicted: from the ages `left` (older) and `right` (newer); None: there is none."""

    age: int
    left: int | None
    right: int | None

    @property
    def mode(self) -> int:
        """Row of the tables, 0..12."""
        if self.left is not None and self.right is not None:
            # Harmonic: a near neighbour on one side is worth more than two distant ones.
            a, b = self.left - self.age, self.age - self.right
            spread = 4 * a * b // (a + b)
            return 1 + len(_DISTANCE_ENDS) + sum(spread > end for end in _SPREAD_ENDS)
        neighbour = self.right if self.left is None else self.left
        if neighbour is None:
            return INTRA_MODE
        return 1 + sum(abs(neighbour - self.age) > end for end in _DISTANCE_ENDS[:-1])


def coding_order(frames: int, distance: int) -> list[Prediction]:
    """The frames of a message in the order in which they are coded.

    frames: 1 to 8. distance: of the base, at least `frames`; 0 without a base.
    """
    if distance == 0:
        return [Prediction(age, None, age - 1 if age else None) for age in range(frames)]
    order = [Prediction(0, distance, None)]

    def split(left: int, right: int) -> None:
        age = min(frames - 1, (left + right) // 2)
        if right < age < left:
            order.append(Prediction(age, left, right))
            split(left, age)
            split(age, right)

    split(distance, 0)
    return order


def predict(prediction: Prediction, known: Mapping[int, tuple[int, ...]], components: int) -> tuple[int, ...]:
    """Predicted coefficients; `known`: those of the base and of the frames coded so far, by age."""
    left = None if prediction.left is None else known[prediction.left]
    right = None if prediction.right is None else known[prediction.right]
    if left is None or right is None:
        one = right if left is None else left
        return (0,) * components if one is None else one
    assert prediction.left is not None
    assert prediction.right is not None
    a, b = prediction.left - prediction.age, prediction.age - prediction.right
    return tuple((b * older + a * newer + (a + b) // 2) // (a + b) for older, newer in zip(left, right, strict=True))
