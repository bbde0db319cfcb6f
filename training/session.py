"""A stage from the command line: its run, caches, launcher, exact resume."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from adasr_core.networks import CheckpointedNetworks, FaceCodecNetworks
from training.frame_cache import FrameCache
from training.run import RunConfig
from training.start import StartConfig, start_networks
from training.trainer.stage import Stage
from training.trainer.state import TrainingState, is_state

Batch = TypeVar("Batch")
Networks = TypeVar("Networks", bound=CheckpointedNetworks)


def run_config(args: argparse.Namespace) -> RunConfig:
    """The run that the options describe. Raises ValueError for a value out of its range."""
    return RunConfig(
        minutes=30.0 if args.minutes is None and args.steps is None else args.minutes,
        steps=args.steps,
        sitting_minutes=args.sitting_minutes,
        batch=args.batch,
        learning_rate=args.learning_rate,
        seed=args.seed,
        device=args.device,
        precision=args.precision,
        compile=args.compile,
        workers=args.workers,
        report_s=args.report_s,
        tensorboard=not args.no_tensorboard,
        out=args.out,
    )


def open_caches(folder: Path) -> tuple[list[FrameCache], FrameCache]:
    """Training caches (clips, stills) and validation cache at 256 px, side by side in `folder`."""
    return [FrameCache.open(folder / n) for n in ("train-256", "stills-256")], FrameCache.open(folder / "val-256")


def open_full_caches(folder: Path) -> tuple[FrameCache, FrameCache, FrameCache | None]:
    """Clips, validation clips and, where they are, stills at 512 px."""
    stills = folder / "stills-512"
    return (
        FrameCache.open(folder / "train-512"),
        FrameCache.open(folder / "val-512"),
        FrameCache.open(stills) if stills.is_dir() else None,
    )


def run_stage(args: argparse.Namespace, make: Callable[[FaceCodecNetworks], Stage[Batch, FaceCodecNetworks]]) -> int:
    """Train the stage that `make` builds around a model's networks; see `train_networks`."""

    def start() -> FaceCodecNetworks:
        return start_networks(
            StartConfig(
                model=args.model,
                resume=args.resume,
                start_from=args.start_from,
                detector=args.detector,
                painter=args.painter,
            )
        )

    return train_networks(args, FaceCodecNetworks, start, make)


def train_networks(
    args: argparse.Namespace,
    kind: type[Networks],
    start: Callable[[], Networks],
    make: Callable[[Networks], Stage[Batch, Networks]],
) -> int:
    """Start or resume, and train the stage that `make` builds around the networks. Returns the exit code.

    Args:
        args: the options of a run.
        kind: what the networks are, to rebuild them from a state.
        start: the networks of a run that goes on from no state.
        make: their stage.

    Raises:
        ValueError: an option is wrong, or files do not fit together.
        OSError: a file cannot be read or written.
        RuntimeError: a loss or gradient is not a number.
    """
    import torch

    from training.trainer.fabric_launcher import FabricLauncher
    from training.trainer.loop import Trainer

    config = run_config(args)
    if args.threads:
        torch.set_num_threads(args.threads)
    state: TrainingState | None = None
    if args.resume is not None and is_state(args.resume):
        state = TrainingState.load(args.resume)
        networks = kind.from_plain(state.progress.architecture)
    else:
        networks = start()
    launcher = FabricLauncher(config.device, config.precision, devices=args.devices, nodes=args.nodes)
    try:
        Trainer(make(networks), launcher, config, resume=state).run()
    except FloatingPointError as error:
        raise RuntimeError(str(error)) from error
    launcher.print(f"{config.out}: averaged weights; {config.out.with_suffix('.best.safetensors')}: the best ones")
    return 0
