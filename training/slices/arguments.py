"""Options of ``python -m training.slices.run`` and ``adasr train slice``. Nothing heavy is imported here."""

from __future__ import annotations

import argparse
from pathlib import Path

from training.commands.stage_arguments import add_patch_arguments

STAGES = ("detector", "motion", "generator", "adversarial")


def add_slice_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of a slice."""
    add = parser.add_argument
    add("--packs", type=Path, help="folder of packs (adasr train pack); those that --work holds need not come again")
    add("--work", type=Path, default=Path(".slice"), help="folder that keeps unpacked data between calls (.slice)")
    add("--out", type=Path, required=True, help="folder for the state in parts, scalars and pictures")
    add("--resume", type=Path, help="state in parts to go on from (default: fresh weights)")
    add("--stage", choices=STAGES, default="motion", help="default: motion")
    add("--model", choices=("edge", "base"), default="edge", help="size of fresh networks (default: edge)")
    add("--minutes", type=float, default=9.0, help="this call's time, from its start to its end (default: 9)")
    add("--reserve-s", type=float, default=30.0, help="seconds of it kept for the last validation and state (30)")
    add("--total-minutes", type=float, help="training time over all slices, where the learning rate ends (45)")
    add("--total-steps", type=int, help="the same in steps; with both, whichever ends first")
    add("--slice-steps", type=int, help="stop this slice after so many steps")
    add("--batch", type=int, default=96, help="samples a step (default: 96)")
    add("--learning-rate", type=float, default=1e-3, help="peak (default: 1e-3)")
    add("--seed", type=int, default=0)
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add("--precision", choices=("bf16-mixed", "32-true"), default="bf16-mixed")
    add("--compile", action="store_true", help="torch.compile")
    add(
        "--workers",
        type=int,
        help="threads that prepare batches (default: three quarters of the cores on a GPU, else 0)",
    )
    add("--report-s", type=float, default=90.0, help="seconds between validations and states (default: 90)")
    add("--frames-per-clip", type=int, default=120, help="most frames of a training clip (default: 120)")
    add("--size", type=int, help="side of the frames (default: 512 for generator and adversarial, else 256)")
    add(
        "--keep",
        choices=("exact", "weights"),
        default="exact",
        help="what the state holds (weights: an eighth, inexact)",
    )
    add("--freeze-detector", action="store_true", help="motion: leave the detector as it is, so the bitstream stays")
    add("--held", type=float, default=10.0, help="motion: weight of what the warp makes worse where nothing moved")
    add_patch_arguments(parser)
