"""Decode clips and stills once into memory-mapped frames, with their landmarks.

A cache is a folder with ``frames.npy`` (uint8 [N, S, S, 3], RGB) and ``index.npz`` (landmarks, clip number, frame
number). Training reads it at random without decoding video again.

Landmarks are MediaPipe face mesh points (478, irises included), x right and y down, in the codec's coordinate frame:
[-1, 1] over the square, -1 and 1 being the outer edges of the first and last pixel (``align_corners=False``).
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from adasr_core.landmarks import LANDMARKS, load_landmarks


@dataclass(frozen=True, slots=True)
class FrameCache:
    """Frames and landmarks of one split.

    frames: uint8 [N, S, S, 3] RGB, memory-mapped. landmarks: float32 [N, 478, 3]; x and y in [-1, 1], z on x's scale.
    clip: int32 [N], equal for frames of one clip. frame: int32 [N], number inside its clip. names: clip file by number.
    """

    frames: npt.NDArray[np.uint8]
    landmarks: npt.NDArray[np.float32]
    clip: npt.NDArray[np.int32]
    frame: npt.NDArray[np.int32]
    names: tuple[str, ...]

    @classmethod
    def open(cls, folder: Path) -> FrameCache:
        """Open a cache that `build` wrote. Raises FileNotFoundError when it is missing."""
        index = np.load(folder / "index.npz")
        frames: npt.NDArray[np.uint8] = np.load(folder / "frames.npy", mmap_mode="r")
        return cls(
            frames=frames,
            landmarks=index["landmarks"],
            clip=index["clip"],
            frame=index["frame"],
            names=tuple(str(name) for name in index["names"]),
        )


def read_frames(path: Path, wanted: set[int] | None = None) -> dict[int, npt.NDArray[np.uint8]]:
    """Decode RGB frames of a clip, all of them or the `wanted` numbers."""
    frames: dict[int, npt.NDArray[np.uint8]] = {}
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for number, frame in enumerate(container.decode(stream)):
            if wanted is None or number in wanted:
                frames[number] = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    return frames


def build(data: Path, out: Path, *, split: str, size_px: int, frames_per_clip: int, min_clip_px: int = 0) -> int:
    """Write the cache of one split ("train", "val" or "stills") of a data set with an ``index.csv``.

    Returns the number of frames. Frames are spread evenly over each clip. Clips below `min_clip_px` are left out.
    """
    with (data / "index.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if r["split"] == split and int(r["size_px"]) >= min_clip_px]
    counts = [min(int(r["frames"] or 1), frames_per_clip) for r in rows]
    out.mkdir(parents=True, exist_ok=True)
    frames: np.memmap[Any, np.dtype[np.uint8]] = np.lib.format.open_memmap(
        out / "frames.npy", mode="w+", dtype=np.uint8, shape=(sum(counts), size_px, size_px, 3)
    )
    landmarks = np.zeros((sum(counts), LANDMARKS, 3), np.float32)
    clip_of: list[int] = []
    frame_of: list[int] = []
    at = 0
    for number, (row, count) in enumerate(zip(rows, counts, strict=True)):
        points = load_landmarks(data / row["landmarks"], int(row["size_px"]))
        wanted = np.linspace(0, len(points) - 1, count).round().astype(int)
        if split == "stills":
            picture = cv2.imread(str(data / row["file"]), cv2.IMREAD_COLOR_RGB)
            if picture is None:
                raise ValueError(f"{data / row['file']}: not a picture that OpenCV reads; fetch the data set again")
            decoded: dict[int, Any] = {0: picture}
        else:
            decoded = read_frames(data / row["file"], {int(i) for i in wanted})
        for i in wanted:
            picture = decoded[int(i)]
            method = cv2.INTER_AREA if picture.shape[0] > size_px else cv2.INTER_LINEAR
            frames[at] = cv2.resize(picture, (size_px, size_px), interpolation=method)
            landmarks[at] = points[int(i)]
            clip_of.append(number)
            frame_of.append(int(i))
            at += 1
    frames.flush()
    np.savez(
        out / "index.npz",
        landmarks=landmarks,
        clip=np.array(clip_of, np.int32),
        frame=np.array(frame_of, np.int32),
        names=np.array([r["file"] for r in rows]),
    )
    return at


def main() -> None:
    """Command line: ``python -m training.frame_cache --data DIR --out DIR --split train``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--split", choices=("train", "val", "stills"), default="train")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--frames-per-clip", type=int, default=120)
    parser.add_argument("--min-clip-px", type=int, default=0)
    options = parser.parse_args()
    count = build(
        options.data,
        options.out,
        split=options.split,
        size_px=options.size,
        frames_per_clip=options.frames_per_clip,
        min_clip_px=options.min_clip_px,
    )
    print(f"{count} frames in {options.out}")


if __name__ == "__main__":
    main()
