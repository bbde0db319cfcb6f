"""The plain coder beside ours: its bits done by hand."""

from __future__ import annotations

import numpy as np
import pytest

from adasr_core.geometry import MotionParameters
from benchmarks.plain_motion import JACOBIAN_STEP, KEYPOINT_STEP, exp_golomb_bits, plain_frame_bytes


@pytest.mark.parametrize(
    ("level", "code"),
    [
        (0, "1"),
        (1, "010"),
        (-1, "011"),
        (2, "00100"),
        (-2, "00101"),
        (3, "00110"),
        (-3, "00111"),
        (4, "0001000"),
        (-7, "0001111"),
        (8, "000010000"),
        (-1000, "000000000011111010001"),
    ],
)
def test_codes_of_h264(level: int, code: str) -> None:
    """ITU-T H.264, 9.1 and 9.1.1: codeNum k is 2 level - 1 or -2 level, coded as k + 1 behind its zeros."""
    k = 2 * level - 1 if level > 0 else -2 * level
    assert int(code, 2) == k + 1
    assert code.index("1") == len(code) // 2
    assert exp_golomb_bits(np.array([level])) == len(code)


def test_bits_add_up() -> None:
    assert exp_golomb_bits(np.array([0, 0, 1, -2, 4])) == 1 + 1 + 3 + 5 + 7
    assert exp_golomb_bits(np.zeros(240, np.int64)) == 240


def _frame(x: float, stretch: float) -> MotionParameters:
    return MotionParameters.create([[x, 0.0]], [[[1.0 + stretch, 0.0], [0.0, 1.0]]])


def test_frames_against_the_one_before() -> None:
    """One keypoint: two coordinates and four entries, so six bits where nothing moved."""
    assert plain_frame_bytes([_frame(0.0, 0.0)] * 3) == [1.0, 1.0]
    # Three steps of a keypoint (5 bits), one of a Jacobian entry (3 bits), four zeros: 12 bits.
    assert plain_frame_bytes([_frame(0.0, 0.0), _frame(3 * KEYPOINT_STEP, -JACOBIAN_STEP)]) == [2.0]
    # What is less than half a step adds up over frames, and is sent once it is one.
    creeping = [_frame(0.3 * number * KEYPOINT_STEP, 0.0) for number in range(4)]
    assert plain_frame_bytes(creeping) == [1.0, 1.0, 1.0]
    assert plain_frame_bytes([creeping[0], creeping[3]]) == [1.0]
    assert plain_frame_bytes([_frame(0.0, 0.0), _frame(100 * KEYPOINT_STEP, 0.0)]) == [3.0]  # 15 + 5 bits
    assert plain_frame_bytes([_frame(0.0, 0.0)]) == []
