"""Decode clips and stills once into memory-mapped frames, with their landmarks.

A cache is a folder with ``frames.npy`` (uint8 [N, S, S, 3], RGB) and ``index.npz`` (landmarks, clip number, frame
number); ``twins.npy`` holds super-resolved twins where a clip ``X.mp4`` has an ``X.sr.mp4`` beside it. Training reads
it at random without decoding video again.

Landmarks are MediaPipe face mesh points (478, irises included), x right and y down, in the codec's coordinate frame:
[-1, 1] over the square, -1 and 1 being the outer edges of the first and last pixel (``align_corners=False``).

Needs numpy and OpenCV alone: training in slices decodes where nothing else is installed.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from adasr_core.landmarks import LANDMARKS, load_landmarks

SPLITS = ("train", "val", "stills")
Image = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Twins:
    """Super-resolved frames: frames uint8 [M, S, S, 3], and for each frame of the cache its row or -1: int32 [N]."""

    frames: Image
    row: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class FrameCache:
    """Frames and landmarks of one split.

    frames: uint8 [N, S, S, 3] RGB, memory-mapped. landmarks: float32 [N, 478, 3]; x and y in [-1, 1], z on x's scale.
    clip: int32 [N], equal for frames of one clip. frame: int32 [N], number inside its clip. names: clip file by number.
    twins: super-resolved twins of some frames.
    """

    frames: npt.NDArray[np.uint8]
    landmarks: npt.NDArray[np.float32]
    clip: npt.NDArray[np.int32]
    frame: npt.NDArray[np.int32]
    names: tuple[str, ...]
    twins: Twins | None = None

    @classmethod
    def open(cls, folder: Path) -> FrameCache:
        """Open a cache that `build` wrote. Raises FileNotFoundError when it is missing."""
        if not (folder / "index.npz").is_file():
            raise FileNotFoundError(f"{folder}: no frame cache; write it with adasr train cache")
        index = np.load(folder / "index.npz")
        frames: npt.NDArray[np.uint8] = np.load(folder / "frames.npy", mmap_mode="r")
        twins = None
        if (folder / "twins.npy").is_file():
            twins = Twins(np.load(folder / "twins.npy", mmap_mode="r"), index["twin"])
        return cls(
            frames=frames,
            landmarks=index["landmarks"],
            clip=index["clip"],
            frame=index["frame"],
            names=tuple(str(name) for name in index["names"]),
            twins=twins,
        )


def read_frames(path: Path, wanted: set[int] | None = None) -> dict[int, Image]:
    """Decode RGB frames of a clip, all of them or the `wanted` numbers. Raises ValueError when OpenCV cannot."""
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise ValueError(f"{path}: not a video that OpenCV opens; fetch the data set again")
    frames: dict[int, Image] = {}
    last = max(wanted) if wanted else None
    number = 0
    while (last is None or number <= last) and capture.grab():
        if wanted is None or number in wanted:
            _, frame = capture.retrieve()
            frames[number] = np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)
        number += 1
    capture.release()
    missing = sorted((wanted or set()) - set(frames))
    if missing:
        raise ValueError(f"{path}: ends after {number} frames, expected frame {missing[0]}; fetch the data set again")
    return frames


def fitted(picture: Image, size_px: int) -> Image:
    """A square picture at `size_px`, averaged when it shrinks."""
    if picture.shape[0] == size_px:
        return picture
    method = cv2.INTER_AREA if picture.shape[0] > size_px else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (size_px, size_px), interpolation=method), np.uint8)


def build(
    data: Path,
    out: Path,
    *,
    split: str,
    size_px: int,
    frames_per_clip: int,
    min_clip_px: int = 0,
    workers: int = 1,
    say: Callable[[str], None] | None = None,
) -> int:
    """Write the cache of one split ("train", "val" or "stills") of a data set with an ``index.csv``.

    Returns the number of frames. Frames are spread evenly over each clip. Clips below `min_clip_px` are left out.
    `workers` clips are decoded at a time; `say` is told of progress.

    Raises:
        ValueError: the split has no such clips, or one of them cannot be read.
    """
    with (data / "index.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if r["split"] == split and int(r["size_px"]) >= min_clip_px]
    if not rows:
        raise ValueError(f"split: {data / 'index.csv'} has no {split} of {min_clip_px} px; expected one of {SPLITS}")
    counts = [min(int(r["frames"] or 1), frames_per_clip) for r in rows]
    starts = np.cumsum([0, *counts])
    twin_files = [(data / r["file"]).with_suffix(".sr.mp4") for r in rows]
    twin_counts = [n if f.is_file() else 0 for n, f in zip(counts, twin_files, strict=True)]
    twin_starts = np.cumsum([0, *twin_counts])
    out.mkdir(parents=True, exist_ok=True)

    def array(name: str, count: int) -> Image:
        shape = (count, size_px, size_px, 3)
        made: Image = np.lib.format.open_memmap(out / name, mode="w+", dtype=np.uint8, shape=shape)
        return made

    frames = array("frames.npy", int(starts[-1]))
    twins = array("twins.npy", int(twin_starts[-1])) if twin_starts[-1] else None
    landmarks = np.zeros((len(frames), LANDMARKS, 3), np.float32)
    clip_of, frame_of = np.zeros(len(frames), np.int32), np.zeros(len(frames), np.int32)
    twin_of = np.full(len(frames), -1, np.int32)

    def fill(number: int) -> None:
        row, rows_of = rows[number], slice(starts[number], starts[number + 1])
        points = load_landmarks(data / row["landmarks"], int(row["size_px"]))
        wanted = np.linspace(0, len(points) - 1, counts[number]).round().astype(int)
        pictures = _decode(data / row["file"], wanted)
        landmarks[rows_of], clip_of[rows_of], frame_of[rows_of] = points[wanted], number, wanted
        for at, picture in enumerate(pictures):
            frames[starts[number] + at] = fitted(picture, size_px)
        if twins is not None and twin_counts[number]:
            first = int(twin_starts[number])
            twin_of[rows_of] = np.arange(first, first + counts[number])
            for at, picture in enumerate(_decode(twin_files[number], wanted)):
                twins[first + at] = fitted(picture, size_px)

    with ThreadPoolExecutor(workers) as pool:
        for done, _ in enumerate(pool.map(fill, range(len(rows))), start=1):
            if say is not None and (done % 50 == 0 or done == len(rows)):
                say(f"{split}: {done} of {len(rows)} clips decoded")
    np.savez(
        out / "index.npz",
        landmarks=landmarks,
        clip=clip_of,
        frame=frame_of,
        twin=twin_of,
        names=np.array([r["file"] for r in rows]),
    )
    return len(frames)


def _decode(path: Path, wanted: npt.NDArray[np.int64]) -> list[Image]:
    """Frames of a clip in the order wanted, or a still."""
    if path.suffix == ".mp4":
        decoded = read_frames(path, {int(i) for i in wanted})
        return [decoded[int(i)] for i in wanted]
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if picture is None:
        raise ValueError(f"{path}: not a picture that OpenCV reads; fetch the data set again")
    return [np.asarray(picture, np.uint8)]
