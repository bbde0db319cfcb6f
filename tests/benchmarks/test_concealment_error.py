from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from adasr_core.geometry import MotionParameters
from benchmarks.concealment_error import (
    CodedClip,
    MethodError,
    code_clip,
    keypoint_error_px,
    methods,
    motion_errors,
    table,
)
from tests.real_model import edge_codec, edge_model


def moving_clip(speed: float) -> CodedClip:
    """Keypoints that all move at an even speed, crop units a frame."""
    frames = np.outer(np.arange(40) * speed, np.concatenate((np.ones(4), np.zeros(8))))
    still = MotionParameters.create(np.zeros((2, 2)), np.zeros((2, 2, 2)))
    return CodedClip(Path("made-up.mp4"), 40.0, still, frames, frames)


def test_even_motion_is_drawn_without_error_between_neighbours_and_lags_when_held() -> None:
    clip, ways = moving_clip(0.005), methods()
    px = 0.005 * np.sqrt(2) * 256
    assert motion_errors(clip, ways["as received"], 3) == 0
    assert motion_errors(clip, ways["between its neighbours"], 3) == pytest.approx(0, abs=1e-9)
    assert motion_errors(clip, ways["held"], 3) == pytest.approx(2 * px)
    assert 0 < motion_errors(clip, ways["carried on, gain 1"], 1) < 0.2 * px, "it brakes from the start"
    gains = [motion_errors(clip, ways[f"carried on, gain {gain}"], 2) for gain in ("0.25", "0.5", "0.75", "1")]
    assert gains == sorted(gains, reverse=True)


def test_the_keypoint_error_counts_no_jacobians() -> None:
    assert keypoint_error_px(np.ones(12), np.concatenate((np.ones(4), np.zeros(8)))) == 0
    assert keypoint_error_px(np.zeros(6), np.array((0.3, 0.4, 0, 0, 0, 0))) == pytest.approx(128)


def test_the_table_has_a_row_a_method() -> None:
    text = table([MethodError("held", gap, gap * 1.0, None if gap < 4 else 20.0) for gap in (1, 2, 3, 4)])
    assert text.splitlines()[-1] == "| held | 1.00 px | 2.00 px | 3.00 px | 4.00 px, 20.00 dB |"


@pytest.mark.realdata
def test_on_real_motion_the_shipped_setting_is_no_worse_than_holding_and_neighbours_are_best(
    recorded_clips: list[Path],
) -> None:
    clips = [code_clip(path, edge_model(), edge_codec(), 80) for path in recorded_clips[::4]]
    ways = methods()
    for gap in (1, 2, 3):
        held, carried_on, between = (
            np.mean([motion_errors(clip, ways[name], gap) for clip in clips])
            for name in ("held", "carried on, gain 0.25", "between its neighbours")
        )
        assert between < 0.85 * carried_on
        assert carried_on < 1.005 * held
