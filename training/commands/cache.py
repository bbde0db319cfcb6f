"""Decode a data set once into memory-mapped frames: train, val and stills at 256 px, train and val at 512 px.

About two minutes on two cores for 20,000 frames. DATA holds index.csv, clips and landmarks (adasr train prepare).
"""

from __future__ import annotations

import argparse
from pathlib import Path

SUMMARY = "decode clips and stills once, for the stages to read"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder with index.csv")
    add("--out", type=Path, required=True, help="folder for the caches, e.g. .cache")
    add("--split", choices=("train", "val", "stills"), action="append", help="only this one (may be repeated)")
    add("--size", type=int, choices=(256, 512), action="append", help="only this size (may be repeated)")
    add("--frames-per-clip", type=int, help="most frames of a clip (default: 120 at 256 px, 36 at 512 px)")
    add("--workers", type=int, default=1, help="clips decoded at a time (default: 1)")


def run(args: argparse.Namespace) -> int:
    """Write the caches."""
    from training.frame_cache import build

    for size in args.size or (256, 512):
        for split in args.split or ("val", "stills", "train"):
            # Validation on full frames is slow: fewer of them. Training wants clips that have the resolution.
            frames = {"train": 36, "val": 24, "stills": 1}[split] if size == 512 else 120
            count = build(
                args.data,
                args.out / f"{split}-{size}",
                split=split,
                size_px=size,
                frames_per_clip=args.frames_per_clip or frames,
                min_clip_px=size if split == "train" and size == 512 else 0,
                workers=args.workers,
                say=lambda line: print(line, flush=True),
            )
            print(f"{args.out / f'{split}-{size}'}: {count} frames")
    return 0
