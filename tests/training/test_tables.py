"""Tables trained on motion code that motion well."""

import numpy as np
import pytest

from adasr_core.bitstream import MotionCodec
from adasr_core.bitstream.entropy import TOTAL
from adasr_core.geometry import MotionParameters
from training.tables import TablesConfig, frequencies_of, train_tables


@pytest.fixture(scope="module")
def motion() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Faces whose 8 keypoints move with four hidden numbers: shift x, shift y, size, turn."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-0.4, 0.4, (8, 2))
    keypoints, jacobians = [], []
    for _ in range(300):
        dx, dy, grow, turn = rng.normal(0, (0.1, 0.05, 0.05, 0.1))
        linear = np.exp(grow) * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        keypoints.append(points @ linear.T + (dx, dy) + rng.normal(0, 0.001, points.shape))
        jacobians.append(np.broadcast_to(linear, (8, 2, 2)) + rng.normal(0, 0.005, (8, 2, 2)))
    return np.array(keypoints), np.array(jacobians), np.repeat(np.arange(3), 100).astype(np.int32)


def test_hidden_numbers_cost_a_few_bytes(motion: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    keypoints, jacobians, clip = motion
    codec = MotionCodec(train_tables(keypoints, jacobians, clip, TablesConfig(components=16)), 8)
    frames = [MotionParameters.create(k, j) for k, j in zip(keypoints[:40], jacobians[:40], strict=True)]
    reference = codec.decode_reference(codec.encode_reference(frames[0]))
    bodies = [codec.encode(f, reference, 0) for f in frames]
    assert np.mean([len(b) for b in bodies]) < 8
    errors = [f.distance(codec.decode(b, reference, 0)) for f, b in zip(frames, bodies, strict=True)]
    assert max(errors) < 0.006


def test_nothing_moved_costs_next_to_nothing(motion: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    codec = MotionCodec(train_tables(*motion, TablesConfig(components=16)), 8)
    reference = MotionParameters.create(motion[0][0], motion[1][0])
    assert len(codec.encode(reference, reference, 4)) <= 4


def test_frequencies_are_a_sound_table() -> None:
    rng = np.random.default_rng(0)
    for levels in (np.zeros(1000, np.int64), rng.integers(-500, 500, 1000), rng.normal(0, 3, 1000).round().astype(int)):
        table = frequencies_of(levels.astype(np.int64), 63)
        assert table.sum() == TOTAL
        assert table.min() >= 1
        assert len(table) == 128
