"""Folders of drawn frames: what was written is read, what was cut off is not."""

from pathlib import Path

import numpy as np
import pytest

from tests.training.drawn import SIDE, drawn_frame, drawn_frames
from training.drawn_frames import DrawnFrames, DrawnFramesWriter


def test_what_was_written_is_read(tmp_path: Path) -> None:
    writer = DrawnFramesWriter(tmp_path, frames=7, size_px=SIDE)
    made = [drawn_frame(seed, seed / 10) for seed in range(5)]
    writer.add(made[:2], clip=0, crf=52.5)
    writer.add(made[2:], clip=1, crf=66.0)
    writer.close()
    frames = DrawnFrames.open(tmp_path)
    # Room that was not used is gone.
    assert frames.truth.shape == (5, SIDE, SIDE, 3)
    for number, one in enumerate(made):
        for name in ("earlier", "later", "truth"):
            assert np.array_equal(getattr(frames, name)[number], getattr(one, name)), (number, name)
    assert frames.weight.tolist() == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert frames.clip.tolist() == [0, 0, 1, 1, 1]
    assert frames.crf.tolist() == [52.5, 52.5, 66, 66, 66]


def test_a_recording_that_was_cut_off_is_not_opened(tmp_path: Path) -> None:
    drawn_frames(tmp_path)
    DrawnFramesWriter(tmp_path, frames=3, size_px=SIDE).add([drawn_frame(1, 0.5)], clip=0, crf=60.0)
    with pytest.raises(FileNotFoundError, match="adasr train drawn"):
        DrawnFrames.open(tmp_path)


def test_files_of_two_recordings_are_refused(tmp_path: Path) -> None:
    drawn_frames(tmp_path / "a", count=6)
    drawn_frames(tmp_path / "b", count=5)
    (tmp_path / "b" / "later.npy").replace(tmp_path / "a" / "later.npy")
    with pytest.raises(ValueError, match=r"later.npy: got \(5, .*record it again"):
        DrawnFrames.open(tmp_path / "a")


def test_more_frames_than_was_said(tmp_path: Path) -> None:
    writer = DrawnFramesWriter(tmp_path, frames=1, size_px=SIDE)
    with pytest.raises(ValueError, match="got 2, expected at most 1"):
        writer.add([drawn_frame(1, 0.5), drawn_frame(2, 0.5)], clip=0, crf=60.0)
