"""Options of the stages on the command line. Nothing heavy is imported here."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_run_arguments(parser: argparse.ArgumentParser, *, batch: int, learning_rate: float) -> None:
    """Options of the stages of a model's networks; `batch` and `learning_rate` are this stage's defaults."""
    add = parser.add_argument
    add("--cache", type=Path, required=True, help="folder of frame caches (adasr train cache)")
    add("--model", choices=("edge", "base"), default="edge", help="size of fresh networks (default: edge)")
    add("--start-from", type=Path, help="checkpoint of a smaller model: start as it; the detector is frozen")
    add("--detector", type=Path, help="checkpoint whose detector is taken over and frozen: the bitstream stays its own")
    add("--painter", type=Path, help="checkpoint whose encoder and generator replace those of --resume")
    add_pace_arguments(parser, batch=batch, learning_rate=learning_rate)


def add_pace_arguments(parser: argparse.ArgumentParser, *, batch: int, learning_rate: float) -> None:
    """Options that all stages share: where from, where to, how long, on what."""
    add = parser.add_argument
    add("--out", type=Path, required=True, help="checkpoint to write (.safetensors); state and scalars go beside it")
    add("--resume", type=Path, help="checkpoint to start from; a .state.safetensors goes on exactly where it stopped")
    add("--minutes", type=float, help="wall-clock budget; the learning rate ends with it (default: 30 without --steps)")
    add("--steps", type=int, help="end after this many steps; with --minutes, after whichever comes first")
    add("--sitting-minutes", type=float, help="stop earlier than that, with a state to go on from")
    add("--batch", type=int, default=batch, help=f"samples a step, over all processes (default: {batch})")
    add("--learning-rate", type=float, default=learning_rate, help=f"peak (default: {learning_rate:g})")
    add("--seed", type=int, default=0)
    add("--threads", type=int, help="CPU threads; default: torch's own choice")
    add(
        "--workers",
        type=int,
        default=0,
        help="threads that prepare batches ahead (default: 0; on a GPU give 8 or more)",
    )
    add("--report-s", type=float, default=60.0, help="seconds between reports and checkpoints (default: 60)")
    add("--device", default="auto", choices=("auto", "cpu", "cuda"))
    add("--devices", type=int, default=1, help="processes on this machine (GPUs); under torchrun it says itself")
    add("--nodes", type=int, default=1, help="machines")
    add("--precision", choices=("bf16-mixed", "32-true"), default="bf16-mixed")
    add("--compile", action="store_true", help="torch.compile; pays after some thousand steps on a GPU")
    add("--no-tensorboard", action="store_true", help="write scalars to the .jsonl alone")


def add_patch_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of all stages that rebuild patches."""
    add = parser.add_argument
    add("--patch", type=int, help="side of a patch, pixels (default: the stage's own)")
    add(
        "--chain", type=float, default=0.1, help="share of key frames through the full degradation chain (default: 0.1)"
    )
    add("--stills", type=float, default=0.0, help="share of pairs made of a bent still; needs stills-512 (default: 0)")
    add("--sharpness", type=float, default=0.0, help="weight of local sharpness that differs (default: 0)")
    add("--structure", type=float, default=0.0, help="weight of the structural dissimilarity (default: 0)")
    add("--perceptual", type=float, default=0.0, help="weight of the perceptual loss; needs VGG-19 (default: 0)")
    add("--vgg", type=Path, help="VGG-19's weights (default: torch's cache)")
    add("--eyes", type=float, default=0.0, help="extra weight of errors on the eyes (default: 0)")
    add("--mouth", type=float, default=0.0, help="extra weight of errors on the mouth (default: 0)")
    add("--joint", action="store_true", help="train motion field and context encoder along")
