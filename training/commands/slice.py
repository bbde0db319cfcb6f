"""Train for some minutes from packs, and leave a state in parts that the next slice goes on from, exactly.

On a bare machine with torch, numpy and OpenCV alone: python -m training.slices.run, with the same options. At home
--import makes a state of a checkpoint, and --export a checkpoint of a state.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from training.slices.arguments import add_slice_arguments

SUMMARY = "train for some minutes from packs, and leave a state to go on from"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_slice_arguments(parser)
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--export", type=Path, metavar="STATE", help="write STATE's averaged weights to --out FILE")
    kinds.add_argument(
        "--import", type=Path, metavar="CHECKPOINT", dest="checkpoint", help="write a state to --out DIR"
    )
    parser.add_argument("--detector", type=Path, help="with --import: checkpoint whose detector is taken over")
    parser.add_argument("--start-from", type=Path, help="without --import: checkpoint that --model starts as")


def run(args: argparse.Namespace) -> int:
    """Run a slice, or turn a state into a checkpoint or back."""
    if args.export is not None:
        return export_state(args.export, args.out)
    if args.checkpoint is not None or args.detector is not None or args.start_from is not None:
        return import_checkpoint(args)
    from training.slices.run import run_slice

    return run_slice(args, started=time.monotonic())


def export_state(state: Path, out: Path) -> int:
    """Write the averaged weights of a state in parts as a checkpoint."""
    from training.slices.parts import read_parts

    read = read_parts(state)
    out.parent.mkdir(parents=True, exist_ok=True)
    read.networks().save(out, {"stage": read.progress.stage, "steps": str(read.progress.step)})
    print(f"{out}: {read.progress.stage} at step {read.progress.step}")
    return 0


def import_checkpoint(args: argparse.Namespace) -> int:
    """Write a state at step 0 from a checkpoint, or from fresh networks with parts of others."""
    from training.slices.parts import write_parts
    from training.start import StartConfig, start_networks
    from training.trainer.state import TrainingState

    start = StartConfig(
        model=args.model,
        resume=args.checkpoint,
        start_from=args.start_from,
        detector=args.detector,
        seed=args.seed,
    )
    state = TrainingState.of_networks(start_networks(start), stage=args.stage, batch=args.batch, seed=args.seed)
    for path in write_parts(state, args.out):
        print(f"{path}: {path.stat().st_size / 2**20:.1f} MiB")
    return 0
