"""Train the generator with and without the adaptive encoder and cross-quality training, and compare.

Every variant has the same steps, seeds, samples and frozen motion field. A run that was interrupted, or stopped by
--minutes, goes on where it stood when the same command is given again. Writes table.md and ablation.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path

SUMMARY = "compare with and without the adaptive encoder and cross-quality training"

SHOWN_FRAMES = (0, 30)
"""Frames of the clip that the picture shows: the key frame, and the one that is rebuilt from it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--cache", type=Path, required=True, metavar="DIR", help="folder with train-512 and val-512")
    parser.add_argument(
        "--resume", type=Path, required=True, metavar="FILE", help="checkpoint whose detector and motion field are used"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for checkpoints and tables")
    parser.add_argument(
        "--variants",
        nargs="+",
        metavar="NAME",
        help="full, without_adaptive_encoder, without_cross_quality, with_batch_norm (default: the first three)",
    )
    parser.add_argument("--steps", type=int, default=3000, metavar="N", help="steps of each variant (3000)")
    parser.add_argument(
        "--sharpness", type=float, default=0.0, metavar="W", help="weight of local sharpness that differs, in those (0)"
    )
    parser.add_argument(
        "--adversarial-steps", type=int, default=0, metavar="N", help="steps against discriminators after those (0)"
    )
    parser.add_argument("--minutes", type=float, metavar="M", help="stop each variant after M minutes of this sitting")
    parser.add_argument("--batch", type=int, default=4, metavar="B", help="patches a step (4)")
    parser.add_argument("--learning-rate", type=float, default=2e-3, metavar="R", help="peak learning rate (2e-3)")
    parser.add_argument("--seed", type=int, default=0, help="seed of fresh weights and samples (0)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: torch's own choice)")
    parser.add_argument("--report-s", type=float, default=600.0, metavar="S", help="seconds between reports (600)")
    parser.add_argument("--val-stride", type=int, default=3, metavar="N", help="score every Nth validation frame (3)")
    parser.add_argument(
        "--clip", type=Path, metavar="FILE", help="a clip of the networks' frame size whose features are to be shown"
    )
    parser.add_argument("--picture", type=Path, metavar="PNG", help="where the picture of the features goes")


def run(args: argparse.Namespace) -> int:
    """Train, score, print."""
    import torch

    from adasr_core.networks import FaceCodecNetworks
    from training.ablation import DEFAULT_VARIANTS, VARIANTS, AblationConfig, print_results, run_ablation
    from training.ablation_picture import feature_sheet, write_sheet
    from training.frame_cache import FrameCache, read_frames
    from training.run import RunConfig

    if (args.clip is None) != (args.picture is None):
        raise ValueError("--clip and --picture: got one, expected both or none: the picture is made from the clip")
    if args.threads:
        torch.set_num_threads(args.threads)
    config = AblationConfig(
        out=args.out,
        variants=tuple(args.variants or DEFAULT_VARIANTS),
        run=RunConfig(
            # The steps end a variant, so that all have learnt equally much; minutes only end a sitting.
            minutes=1e6,
            steps=args.steps,
            sitting_minutes=args.minutes,
            batch=args.batch,
            learning_rate=args.learning_rate,
            seed=args.seed,
            device=args.device,
            report_s=args.report_s,
        ),
        sharpness=args.sharpness,
        adversarial_steps=args.adversarial_steps,
        val_stride=args.val_stride,
    )
    shown = read_frames(args.clip, set(SHOWN_FRAMES)) if args.clip else None
    start, _ = FaceCodecNetworks.load(args.resume)
    results = run_ablation(
        start, FrameCache.open(args.cache / "train-512"), FrameCache.open(args.cache / "val-512"), config
    )
    print_results(results)
    if shown is not None:
        rows = {VARIANTS[result.name].title: result.networks for result in results}
        write_sheet(feature_sheet(rows, *(shown[number] for number in SHOWN_FRAMES)), args.picture)
    unfinished = [result.name for result in results if result.steps < config.total_steps]
    if unfinished:
        print(f"not finished: {', '.join(unfinished)}; give the same command again to go on")
    return 0
