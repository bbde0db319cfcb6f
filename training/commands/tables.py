"""Fit the entropy coder's tables (transform, steps, frequencies) to the motion of the training clips."""

from __future__ import annotations

import argparse
from pathlib import Path

SUMMARY = "fit the entropy coder's tables to a trained detector"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("checkpoint", type=Path, help="checkpoint whose detector defines the bitstream (.safetensors)")
    parser.add_argument("--cache", type=Path, required=True, help="folder with train-256 (adasr train cache)")
    parser.add_argument("--out", type=Path, required=True, help="tables to write (.safetensors)")


def run(args: argparse.Namespace) -> int:
    """Fit and write the tables."""
    from adasr_core.networks import FaceCodecNetworks
    from training.frame_cache import FrameCache
    from training.tables import detect_all, train_tables

    networks, _ = FaceCodecNetworks.load(args.checkpoint)
    cache = FrameCache.open(args.cache / "train-256")
    tables = train_tables(*detect_all(networks, cache), cache.clip)
    tables.save(args.out)
    print(f"{args.out}: {tables.components} coefficients for {tables.keypoints} keypoints")
    return 0
