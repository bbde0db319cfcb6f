"""Clips of a data set become motion: which clips, which frames, what the detector says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.portraits import tiny_networks, write_data_set
from training.frame_cache import fitted
from training.motion_sequences import clip_files, detect_motion, read_pictures


@pytest.fixture(scope="module")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_data_set(folder, train=5, frames=5)
    return folder


def test_clips_are_spread_over_the_split(data_set: Path) -> None:
    names = [path.name for path in clip_files(data_set, "train", 9)]
    assert names == ["2.mp4", "3.mp4", "4.mp4", "5.mp4", "6.mp4"]
    assert [path.name for path in clip_files(data_set, "train", 3)] == ["2.mp4", "4.mp4", "6.mp4"]
    assert [path.name for path in clip_files(data_set, "val", 1)] == ["0.mp4"]
    assert all(path.is_file() for path in clip_files(data_set, "train", 9))
    with pytest.raises(ValueError, match="has no test"):
        clip_files(data_set, "test", 3)
    with pytest.raises(FileNotFoundError):
        clip_files(data_set / "val", "train", 3)


def test_motion_is_the_detector_s(data_set: Path) -> None:
    """Frame after frame, at the full rate, in double precision."""
    networks = tiny_networks().eval()
    (clip,) = clip_files(data_set, "val", 1)
    said: list[str] = []
    (sequence,) = detect_motion(networks, [clip], frames=4, device="cpu", say=said.append)
    assert said == ["motion: 1 of 1 clips"]
    assert sequence.name == "0"
    K = networks.config.keypoints
    assert sequence.keypoints.shape == (4, K, 2)
    assert sequence.jacobians.shape == (4, K, 2, 2)
    assert sequence.keypoints.dtype == np.float64
    picture = fitted(read_pictures(clip, 4)[2], networks.config.detector_px)
    with torch.no_grad():
        found = networks.detector(torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255)
    np.testing.assert_allclose(sequence.keypoints[2], found.keypoints[0].numpy(), atol=1e-4)
    np.testing.assert_allclose(sequence.jacobians[2], found.jacobians[0].numpy(), atol=1e-4)


def test_single_frames_are_left_out(data_set: Path) -> None:
    assert detect_motion(tiny_networks(), clip_files(data_set, "train", 2), frames=1, device="cpu") == []


def test_wide_clips_are_refused(tmp_path: Path) -> None:
    from tests.cli.clip_builders import numbered_pictures, write_clip

    write_clip(tmp_path / "wide.mp4", numbered_pictures(2, 96, 64))
    with pytest.raises(ValueError, match=r"wide\.mp4: expected a square clip"):
        read_pictures(tmp_path / "wide.mp4", 4)
