"""Train the refiner on frames that the receiver drew from anchors (stage 5; record them with adasr train drawn).

It hangs on the motion field and on how anchors are coded; encoder and generator may change without it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from training.commands.stage_arguments import add_pace_arguments

SUMMARY = "stage 5: the refiner of frames between anchors"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_pace_arguments(parser, batch=32, learning_rate=2e-3)
    add = parser.add_argument
    add("--drawn", type=Path, required=True, help="folder with drawn-train and drawn-val (adasr train drawn)")
    add("--patch", type=int, default=128, help="side of a patch, pixels (default: 128)")
    add("--own", type=float, default=0.15, help="share of anchors' own frames (default: 0.15)")
    add("--structure", type=float, default=0.0, help="weight of the structural dissimilarity (default: 0)")
    add("--sharpness", type=float, default=0.006, help="weight of local sharpness that differs (default: 0.006)")
    add("--width", type=int, default=24, help="channels at 1/4 of the frame, of a fresh refiner (default: 24)")
    add("--deep-width", type=int, default=48, help="channels at 1/8 (default: 48)")
    add("--deep-blocks", type=int, default=2, help="residual blocks at 1/8 (default: 2)")


def run(args: argparse.Namespace) -> int:
    """Run the stage."""
    import torch

    from adasr_core.networks import Refiner, RefinerConfig
    from training.drawn_frames import DrawnFrames
    from training.refiner_stage import RefinerStage, RefinerStageConfig
    from training.session import train_networks

    config = RefinerStageConfig(
        patch_px=args.patch,
        own=args.own,
        structure=args.structure,
        sharpness=args.sharpness,
    )
    frames, val = (DrawnFrames.open(args.drawn / name) for name in ("drawn-train", "drawn-val"))

    def start() -> Refiner:
        torch.manual_seed(args.seed)
        if args.resume is not None:
            return Refiner.load(args.resume)[0]
        sizes = {"width": args.width, "deep_width": args.deep_width, "deep_blocks": args.deep_blocks}
        return Refiner(RefinerConfig(frame_px=frames.truth.shape[1], **sizes))

    return train_networks(args, Refiner, start, lambda refiner: RefinerStage(refiner, frames, val, config))
