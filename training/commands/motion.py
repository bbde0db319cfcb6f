"""Train the motion field by the error of the warped key frame (stage 2).

With --start-from or --detector the detector is that checkpoint's and stays frozen: a larger decoder of the same
bitstream.
"""

from __future__ import annotations

import argparse

from training.commands.stage_arguments import add_run_arguments

SUMMARY = "stage 2: the motion field: what moves with the head, with the shoulders, not at all"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_run_arguments(parser, batch=12, learning_rate=1.2e-3)
    parser.add_argument("--freeze-detector", action="store_true", help="leave the detector as it is")
    parser.add_argument(
        "--stills", type=float, default=0.05, help="share of pairs made of a bent still (default: 0.05)"
    )
    parser.add_argument(
        "--held", type=float, default=10.0, help="weight of what the warp makes worse where nothing moved (default: 10)"
    )
    parser.add_argument("--eyes", type=float, default=0.0, help="extra weight of errors on the eyes (default: 0)")
    parser.add_argument("--mouth", type=float, default=0.0, help="extra weight of errors on the mouth (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Run the stage."""
    from training.losses import RegionWeights
    from training.motion_stage import MotionStage, MotionStageConfig
    from training.session import open_caches, run_stage

    config = MotionStageConfig(
        held=args.held,
        still_share=args.stills,
        regions=RegionWeights(face=4.0, eyes=args.eyes, mouth=args.mouth),
        train_detector=args.detector is None and args.start_from is None and not args.freeze_detector,
    )
    caches, val = open_caches(args.cache)
    return run_stage(args, lambda networks: MotionStage(networks, caches, val, config))
