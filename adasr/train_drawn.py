"""Record what a receiver draws frames from between anchors, with the true frames, for adasr train refiner.

Every clip of the frame's size is sent through simulated calls (the real sender and receiver) at random qualities and
distances of the anchors. DATA holds index.csv, clips and landmarks (adasr train prepare); a frame takes 2.4 MB.
"""

from __future__ import annotations

import argparse
import csv
from itertools import islice
from pathlib import Path

SUMMARY = "record frames between anchors, for the refiner"

_SPLITS = ("train", "val")
_TIERS = ("A", "B")  # C is of low resolution or degraded: no truth to learn detail from


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder with index.csv")
    add("--out", type=Path, required=True, help="folder for drawn-train and drawn-val, e.g. .cache/drawn")
    add("--model", default="edge", help="whose motion field draws (default: edge)")
    add("--split", choices=_SPLITS, action="append", help="only this one (may be repeated)")
    add("--recordings", type=int, default=2, help="calls from a clip (default: 2)")
    add("--length", type=int, default=110, help="frames of the clip in a call (default: 110)")
    add("--keep", type=int, default=20, help="frames kept of a call (default: 20; of val a fifth)")
    add("--crf", type=_bounds, default=(50.0, 70.0), metavar="LEAST,MOST", help="of the anchors (default: 50,70)")
    add("--every", type=_numbers, default=(4, 6, 8), metavar="N,N,...", help="frames between anchors (default: 4,6,8)")
    add("--seed", type=int, default=0)
    add("--threads", type=int, help="CPU threads; default: all cores")


def _bounds(text: str) -> tuple[float, float]:
    from benchmarks.anchor_rate import WORST_CRF

    try:
        least, most = (float(value) for value in text.split(","))
    except ValueError:
        least = most = 0.0
    if not 1 <= least <= most <= WORST_CRF:
        raise argparse.ArgumentTypeError(
            f"crf: got {text}, expected two numbers of 1 to {WORST_CRF:g}, the smaller one first"
        )
    return least, most


def _numbers(text: str) -> tuple[int, ...]:
    from adasr_core.bitstream import MAX_MESSAGE_FRAMES

    try:
        numbers = tuple(int(value) for value in text.split(","))
    except ValueError:
        numbers = (0,)
    if not all(1 <= number <= MAX_MESSAGE_FRAMES for number in numbers):
        raise argparse.ArgumentTypeError(f"every: got {text}, expected numbers from 1 to {MAX_MESSAGE_FRAMES}")
    return numbers


def run(args: argparse.Namespace) -> int:
    """Write the folders."""
    import numpy as np

    from adasr.drawn_recording import WatchedModel, record_drawn_frames
    from adasr.video_file import open_video
    from adasr_core.bitstream import TICKS_PER_SECOND, MotionCodec
    from adasr_core.bundle import open_bundle
    from adasr_core.engines import PARTS
    from training.drawn_frames import DrawnFramesWriter

    if min(args.recordings, args.length, args.keep) < 1:
        raise ValueError("recordings, length and keep: expected 1 or more each")
    bundle = open_bundle(args.model)
    model = WatchedModel.load(bundle, threads=args.threads, parts=PARTS)
    codec = MotionCodec(bundle.tables(), model.keypoints)
    for split in args.split or _SPLITS:
        with (args.data / "index.csv").open() as file:
            rows = [
                row
                for row in csv.DictReader(file)
                if row["split"] == split and int(row["size_px"]) == model.frame_px and row["tier"] in _TIERS
            ]
        if not rows:
            raise ValueError(
                f"split: {args.data / 'index.csv'} has no {split} clip of {model.frame_px} px and tier A or B"
            )
        rng = np.random.default_rng(args.seed)
        keep = args.keep if split == "train" else max(1, args.keep // 5)
        writer = DrawnFramesWriter(
            args.out / f"drawn-{split}", frames=len(rows) * args.recordings * keep, size_px=model.frame_px
        )
        for number, row in enumerate(rows):
            for recording in range(args.recordings):
                start = int(rng.integers(max(1, int(row["frames"]) - args.length + 1)))
                frames = list(islice(open_video(args.data / row["file"]).frames(), start, start + args.length))
                crf, every = float(rng.uniform(*args.crf)), int(rng.choice(args.every))
                found = record_drawn_frames(
                    [frame.image for frame in frames],
                    [frame.ticks / TICKS_PER_SECOND for frame in frames],
                    model,
                    codec,
                    every=every,
                    crf=crf,
                )
                kept = sorted(rng.permutation(len(found))[:keep])
                writer.add([found[i] for i in kept], clip=number * args.recordings + recording, crf=crf)
            print(f"{split}: {number + 1} of {len(rows)} clips, {len(writer)} frames", flush=True)
        writer.close()
    return 0
