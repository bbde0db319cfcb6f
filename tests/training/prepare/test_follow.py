"""Telling a cut between two takes from a shake of the head, on made-up landmarks."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from training.prepare.follow import FollowedFrame, mark_jumps

PICTURE = np.zeros((8, 8, 3), np.uint8)


def jumps(moves: list[float | None], frame_rate: float = 25.0) -> list[int]:
    """Numbers of the frames that a face of height 1 jumps to, moving so far from frame to frame; None has no face."""
    base = np.zeros((478, 3), np.float32)
    base[0, 1], base[1, 1] = -0.5, 0.5
    x = 0.0
    frames = [FollowedFrame(Fraction(0), PICTURE, base)]
    for number, move in enumerate(moves, start=1):
        x += move or 0.0
        landmarks = None if move is None else (base + np.array([x, 0, 0])).astype(np.float32)
        frames.append(FollowedFrame(Fraction(number, 25), PICTURE, landmarks))
    marked = list(mark_jumps(iter(frames), frame_rate=frame_rate))
    assert [frame for frame, _ in marked] == frames
    return [number for number, (_, jump) in enumerate(marked) if jump]


def test_a_lone_movement_is_a_jump_and_a_shake_is_none() -> None:
    assert jumps([0.01, 0.04, 0.28, 0.04, 0.01]) == [3]
    # A head thrown round, as measured: fast at once, and fast still in the next frame.
    assert jumps([0.02, 0.03, 0.175, 0.217, 0.113, 0.01]) == []
    assert jumps([0.02, 0.10, 0.25, 0.24, 0.1]) == []


def test_what_no_head_does_is_a_jump_whatever_is_around_it() -> None:
    assert jumps([0.2, 0.45, 0.3]) == [2]


@pytest.mark.parametrize("place", [0, 5])
def test_jumps_are_found_at_both_ends(place: int) -> None:
    moves: list[float | None] = [0.01] * 6
    moves[place] = 0.3
    assert jumps(moves) == [place + 1]


def test_a_slow_camera_lets_heads_go_farther_between_frames() -> None:
    assert jumps([0.01, 0.25, 0.01], frame_rate=10) == []
    assert jumps([0.01, 0.25, 0.01], frame_rate=60) == [2]


def test_frames_without_a_face_are_no_jumps() -> None:
    assert jumps([0.01, None, 0.3, 0.01]) == []
