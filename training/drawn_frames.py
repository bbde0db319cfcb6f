"""What the receiver drew frames from between anchors, with the frames that it should have drawn.

A folder with ``earlier.npy``, ``later.npy`` and ``truth.npy`` (uint8 [N, S, S, 3], RGB) and ``index.npz``. `adasr train
drawn` records it from calls; `adasr train refiner` learns from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
_PICTURES = ("earlier", "later", "truth")


@dataclass(frozen=True, slots=True, eq=False)
class DrawnFrame:
    """One frame, uint8 [S, S, 3] RGB.

    earlier, later: the anchors' pixels, moved to the moment of the truth; both the same picture where that is an
    anchor's own. weight: share of the later one, 0 to 1.
    """

    earlier: Image
    later: Image
    truth: Image
    weight: float


@dataclass(frozen=True, slots=True)
class DrawnFrames:
    """Frames of one split.

    earlier, later, truth: uint8 [N, S, S, 3] RGB, memory-mapped; see `DrawnFrame`. weight: float32 [N]. clip: int32
    [N], equal for frames of one recording. crf: float32 [N], of the recording's anchors.
    """

    earlier: Image
    later: Image
    truth: Image
    weight: npt.NDArray[np.float32]
    clip: npt.NDArray[np.int32]
    crf: npt.NDArray[np.float32]

    @classmethod
    def open(cls, folder: Path) -> DrawnFrames:
        """Open what `DrawnFramesWriter` wrote.

        Raises:
            FileNotFoundError: it is not there, or its recording was cut off.
            ValueError: its files are of different recordings.
        """
        if not (folder / "index.npz").is_file():
            raise FileNotFoundError(f"{folder}: no drawn frames; record them with adasr train drawn")
        index = np.load(folder / "index.npz")
        pictures = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _PICTURES}
        count, size_px = len(index["weight"]), pictures["truth"].shape[1]
        expected = (count, size_px, size_px, 3)
        for name, stack in pictures.items():
            if stack.shape != expected:
                raise ValueError(f"{folder}/{name}.npy: got {stack.shape}, expected {expected}; record it again")
        return cls(**pictures, weight=index["weight"], clip=index["clip"], crf=index["crf"])


class DrawnFramesWriter:
    """Writes a folder of at most so many frames, one recording after the other."""

    def __init__(self, folder: Path, *, frames: int, size_px: int) -> None:
        """Make room for `frames` of `size_px`; an index of an earlier recording is taken away first."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "index.npz").unlink(missing_ok=True)
        self._folder = folder
        self._pictures = {
            name: np.lib.format.open_memmap(
                folder / f"{name}.npy", mode="w+", dtype=np.uint8, shape=(frames, size_px, size_px, 3)
            )
            for name in _PICTURES
        }
        self._room = frames
        self._weights: list[float] = []
        self._clips: list[int] = []
        self._crfs: list[float] = []

    def __len__(self) -> int:
        return len(self._weights)

    def add(self, frames: Sequence[DrawnFrame], *, clip: int, crf: float) -> None:
        """Append frames of one recording. Raises ValueError when there is no room for them."""
        if len(self) + len(frames) > self._room:
            raise ValueError(f"frames: got {len(self) + len(frames)}, expected at most {self._room} as was said")
        for frame in frames:
            at = len(self)
            for name in _PICTURES:
                self._pictures[name][at] = getattr(frame, name)
            self._weights.append(frame.weight)
            self._clips.append(clip)
            self._crfs.append(crf)

    def close(self) -> None:
        """Cut the room that is left and write the index: without it the folder is not opened."""
        for name, stack in self._pictures.items():
            stack.flush()
            if len(self) < self._room:
                _shorten(self._folder / f"{name}.npy", stack, len(self))
        np.savez(
            self._folder / "index.npz",
            weight=np.array(self._weights, np.float32),
            clip=np.array(self._clips, np.int32),
            crf=np.array(self._crfs, np.float32),
        )


def _shorten(path: Path, stack: Image, count: int) -> None:
    """Write the first `count` of a stack in its place."""
    shorter = path.with_suffix(".shorter.npy")
    kept = np.lib.format.open_memmap(shorter, mode="w+", dtype=np.uint8, shape=(count, *stack.shape[1:]))
    for at in range(count):
        kept[at] = stack[at]
    kept.flush()
    shorter.replace(path)
