"""Motion parameters of clips at their full frame rate: what the coder's tables are trained on."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from adasr_core.geometry import JACOBIAN_LIMIT, KEYPOINT_LIMIT
from adasr_core.networks import FaceCodecNetworks
from training.frame_cache import fitted
from training.prepare.video_source import open_source
from training.run import pick_device

_BATCH = 32
Image = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class MotionSequence:
    """Motion of a clip, frame after frame.

    keypoints: float64 [T, K, 2], [-1, 1] over the crop. jacobians: float64 [T, K, 2, 2]. name: of the clip.
    """

    name: str
    keypoints: npt.NDArray[np.float64]
    jacobians: npt.NDArray[np.float64]


def clip_files(data: Path, split: str, count: int) -> list[Path]:
    """Up to `count` clips of a split of a data set with an ``index.csv``, spread over it.

    Raises:
        ValueError: the split has no clips.
        OSError: there is no index.
    """
    with (data / "index.csv").open() as file:
        clips = [data / row["file"] for row in csv.DictReader(file) if row["split"] == split]
    if not clips:
        raise ValueError(f"split: {data / 'index.csv'} has no {split}; expected train or val")
    chosen = np.unique(np.linspace(0, len(clips) - 1, min(count, len(clips))).round().astype(int))
    return [clips[number] for number in chosen]


def read_pictures(clip: Path, frames: int) -> list[Image]:
    """The first frames of a square clip: uint8 [S, S, 3] RGB. Raises ValueError when it is no such video."""
    pictures = [frame.picture() for frame in islice(open_source(clip).frames(), frames)]
    if not pictures or pictures[0].shape[0] != pictures[0].shape[1]:
        raise ValueError(f"{clip}: expected a square clip with pictures; prepare it with adasr train prepare")
    return pictures


@torch.no_grad()
def detect_motion(
    networks: FaceCodecNetworks,
    clips: list[Path],
    *,
    frames: int,
    device: str = "auto",
    say: Callable[[str], None] | None = None,
) -> list[MotionSequence]:
    """Run the detector over the first `frames` frames of clips; those that leave the codec's range are left out."""
    where = pick_device(device)
    networks = networks.to(where).eval()
    sequences = []
    for number, clip in enumerate(clips, start=1):
        keypoints, jacobians = [], []
        for batch in _batches(read_pictures(clip, frames), networks.config.detector_px):
            found = networks.detector(batch.to(where))
            keypoints.append(found.keypoints.double().cpu().numpy())
            jacobians.append(found.jacobians.double().cpu().numpy())
        sequence = MotionSequence(clip.stem, np.concatenate(keypoints), np.concatenate(jacobians))
        inside = (
            np.abs(sequence.keypoints).max() <= KEYPOINT_LIMIT and np.abs(sequence.jacobians).max() <= JACOBIAN_LIMIT
        )
        if inside and len(sequence.keypoints) > 1:
            sequences.append(sequence)
        if say is not None and (number % 20 == 0 or number == len(clips)):
            say(f"motion: {number} of {len(clips)} clips")
    return sequences


def _batches(pictures: list[Image], size_px: int) -> Iterator[torch.Tensor]:
    for at in range(0, len(pictures), _BATCH):
        small = np.stack([fitted(picture, size_px) for picture in pictures[at : at + _BATCH]])
        yield torch.from_numpy(small).permute(0, 3, 1, 2).float() / 255
