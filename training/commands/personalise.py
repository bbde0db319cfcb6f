"""Adapt a model's decoder to one person from a short clip, within minutes on a CPU.

Writes NAME.adapter, at most 1 MiB, which whoever decodes that person adds to the model (`--adapter NAME.adapter`), and
report.json. The last fifth of the clip is held out; without a gain there, no adapter is written and the exit code is 1.
"""

from __future__ import annotations

import argparse
from pathlib import Path

SUMMARY = "adapt a decoder to one person from a minute of video"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "clip", type=Path, metavar="CLIP", help="a square video of one face, as `adasr train prepare` cuts it"
    )
    parser.add_argument("--model", default="edge", help="name of a model, or the path of its folder (default: edge)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the adapter and the report")
    parser.add_argument("--name", help="name of the adapter's file (default: that of the clip)")
    parser.add_argument("--person", default="", help="a label to store inside it, seen by whoever gets the file")
    parser.add_argument("--minutes", type=float, default=5.0, help="time for all of it, reading included (5)")
    parser.add_argument("--steps", type=int, metavar="N", help="stop training after N steps, whatever the time")
    parser.add_argument("--rank", type=int, metavar="R", help="low-rank differences of rank R (default: what fits)")
    parser.add_argument("--threads", type=int, metavar="N", help="processor threads (default: all cores)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the training (0)")


def run(args: argparse.Namespace) -> int:
    """Personalise and print the gain; 1 when there was none."""
    from training.personalise.run import PersonaliseConfig, personalise

    return personalise(
        PersonaliseConfig(
            clip=args.clip,
            out=args.out,
            model=args.model,
            name=args.name or args.clip.stem,
            person=args.person,
            minutes=args.minutes,
            steps=args.steps,
            rank=args.rank,
            threads=args.threads,
            seed=args.seed,
        )
    ).exit_code
