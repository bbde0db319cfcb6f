"""Fit the coder's tables (transform, steps, frequencies) to the motion of training clips at their full frame rate.

DATA holds index.csv and clips (adasr train prepare). Two passes: how much each parameter matters to the picture, on a
pair of frames of some clips; then the motion of more clips, coded and counted. The detector defines the bitstream
together with these tables: new tables are a new codec id.
"""

from __future__ import annotations

import argparse
from pathlib import Path

SUMMARY = "fit the coder's tables to a trained model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("checkpoint", type=Path, help="checkpoint whose detector defines the bitstream (.safetensors)")
    add("--data", type=Path, required=True, help="folder with index.csv and clips")
    add("--out", type=Path, required=True, help="tables to write (.safetensors)")
    add("--clips", type=int, default=60, help="clips whose motion is counted (60)")
    add("--frames", type=int, default=150, help="frames of each, from its start (150)")
    add("--sensitivity-clips", type=int, default=40, help="clips on which the picture's sensitivity is measured (40)")
    add("--device", default="auto", help="auto, cpu or cuda")


def run(args: argparse.Namespace) -> int:
    """Fit and write the tables."""
    from adasr_core.networks import FaceCodecNetworks
    from training.motion_sequences import clip_files, detect_motion
    from training.picture_sensitivity import picture_metric
    from training.tables import train_tables

    def say(line: str) -> None:
        print(line, flush=True)

    for name in ("clips", "frames", "sensitivity_clips"):
        if getattr(args, name) < 2:
            raise ValueError(f"--{name.replace('_', '-')}: got {getattr(args, name)}, expected 2 or more")
    networks, _ = FaceCodecNetworks.load(args.checkpoint)
    measured = clip_files(args.data, "train", args.sensitivity_clips)
    metric = picture_metric(networks, measured, device=args.device, say=say)
    counted = clip_files(args.data, "train", args.clips)
    sequences = detect_motion(networks, counted, frames=args.frames, device=args.device, say=say)
    tables = train_tables(sequences, metric)
    tables.save(args.out)
    print(f"{args.out}: {tables.components} coefficients for {tables.keypoints} keypoints, {len(sequences)} clips")
    return 0
