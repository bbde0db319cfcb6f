"""Distil the keypoint detector from face mesh landmarks (stage 1)."""

from __future__ import annotations

import argparse

from training.commands.stage_arguments import add_run_arguments

SUMMARY = "stage 1: the keypoint detector, distilled from landmarks"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_run_arguments(parser, batch=32, learning_rate=3e-3)
    parser.add_argument("--equivariance", type=float, default=0.0, help="weight of the equivariance loss (default: 0)")
    parser.add_argument("--expression", type=float, default=0.0, help="weight of the expression loss (default: 0)")
    parser.add_argument("--deformation", type=float, default=0.0, help="weight of the deformation prior (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Run the stage."""
    from training.detector_stage import DetectorStage, DetectorStageConfig
    from training.session import open_caches, run_stage

    config = DetectorStageConfig(
        equivariance=args.equivariance, expression=args.expression, deformation=args.deformation
    )
    caches, val = open_caches(args.cache)
    return run_stage(args, lambda networks: DetectorStage(networks, caches, val, config))
