"""Write a data set into packs of at most 28 MiB, to be carried to a bare machine (see adasr train slice).

The first pack holds the validation clips and the stills; training clips follow, one of each person before a second of
anybody, so that a few packs are a fair sample.
"""

from __future__ import annotations

import argparse
from pathlib import Path

SUMMARY = "write a data set into files small enough to carry"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--data", type=Path, required=True, help="folder with index.csv")
    parser.add_argument("--out", type=Path, required=True, help="folder for the packs")
    parser.add_argument("--max-packs", type=int, help="stop after so many packs")
    parser.add_argument("--clips", type=int, help="take so many training clips")
    parser.add_argument("--mib", type=float, default=28.0, help="most MiB of a pack (default: 28)")
    parser.add_argument("--seed", type=int, default=0, help="order of the training clips")


def run(args: argparse.Namespace) -> int:
    """Write the packs."""
    from training.slices.packs import PackConfig, pack

    config = PackConfig(pack_bytes=int(args.mib * 2**20), max_packs=args.max_packs, clips=args.clips, seed=args.seed)
    for path in pack(args.data, args.out, config):
        print(f"{path}: {path.stat().st_size / 2**20:.1f} MiB")
    return 0
