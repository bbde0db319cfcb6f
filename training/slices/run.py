"""One slice of training: ``python -m training.slices.run --packs DIR --resume STATE --minutes 9 --out DIR``.

Runs from the repository's folder with torch, numpy and OpenCV alone.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

STARTED = time.monotonic()
LEAST_TRAINING_S = 5.0


def stage_size(args: argparse.Namespace) -> int:
    """Side of the frames that the stage trains on."""
    size = args.size or (512 if args.stage in ("generator", "adversarial") else 256)
    return int(size)


def run_slice(args: argparse.Namespace, *, started: float) -> int:
    """Run a slice; `started`: when this call began, by `time.monotonic`. Returns the exit code.

    Raises:
        ValueError: packs or state are damaged or do not fit, or the time does not suffice.
        OSError: a file cannot be read or written.
    """
    import torch

    from adasr_core.networks import PRESETS, FaceCodecNetworks, ModelConfig
    from training.run import RunConfig
    from training.slices.dataset import DatasetConfig, open_dataset
    from training.slices.parts import PartsKeeper, read_parts
    from training.slices.stages import make_stage
    from training.trainer.launcher import PlainLauncher
    from training.trainer.loop import Trainer

    def say(line: str) -> None:
        print(f"[{time.monotonic() - started:6.1f} s] {line}", flush=True)

    launcher = PlainLauncher(args.device, args.precision)
    say(f"torch {torch.__version__} on {launcher.device}")
    state = None if args.resume is None else read_parts(args.resume)
    dataset = open_dataset(
        args.packs or args.work,
        args.work,
        DatasetConfig(size_px=stage_size(args), frames_per_clip=args.frames_per_clip),
        say=say,
    )
    say(f"{len(dataset.train.frames)} frames of {len(dataset.train.names)} clips, {stage_size(args)} px")
    torch.manual_seed(args.seed)
    config = PRESETS[args.model] if state is None else ModelConfig.from_dict(state.progress.architecture)
    stage = make_stage(args, FaceCodecNetworks(config), dataset)
    left_s = 60 * args.minutes - (time.monotonic() - started) - args.reserve_s
    if left_s < LEAST_TRAINING_S:
        raise ValueError(
            f"minutes: got {args.minutes:g}, of which getting ready took {time.monotonic() - started:.0f} s and "
            f"{args.reserve_s:.0f} s are kept for the end; give more minutes (what was unpacked is kept in {args.work})"
        )
    workers = args.workers
    if workers is None:
        workers = max(1, (os.cpu_count() or 4) * 3 // 4) if launcher.device.type == "cuda" else 0
    run = RunConfig(
        minutes=45.0 if args.total_minutes is None and args.total_steps is None else args.total_minutes,
        steps=args.total_steps,
        sitting_minutes=left_s / 60,
        sitting_steps=args.slice_steps,
        batch=args.batch,
        learning_rate=args.learning_rate,
        seed=args.seed,
        device=args.device,
        precision=args.precision,
        compile=args.compile,
        workers=workers,
        report_s=args.report_s,
        out=args.out / "slice.safetensors",
    )
    keeper = PartsKeeper(args.out, weights_only=args.keep == "weights")
    trainer = Trainer(stage, launcher, run, resume=state, keeper=keeper, on_first_step=lambda: say("first step done"))
    trainer.run()
    over = trainer.budget.progress(trainer.step, trainer.budget.spent_s)
    say(f"step {trainer.step}, {min(over, 1):.0%} of the training; state in {args.out}")
    return 0


def main(arguments: Sequence[str] | None = None, *, started: float = STARTED) -> int:
    """Command line. Mistakes end with one line and exit code 2."""
    from training.slices.arguments import add_slice_arguments

    parser = argparse.ArgumentParser(description=__doc__)
    add_slice_arguments(parser)
    try:
        return run_slice(parser.parse_args(arguments), started=started)
    except (ValueError, OSError, RuntimeError, FloatingPointError) as error:
        print(f"slice: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
