"""Command line of the training stages: ``python -m training.train STAGE --cache DIR --out FILE [--resume FILE]``."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from adasr_core.networks import PRESETS, FaceCodecNetworks
from training.augment import AugmentConfig
from training.detector_stage import open_caches, train_detector
from training.frame_cache import FrameCache
from training.generator_stage import train_generator
from training.motion_stage import train_motion
from training.run import RunConfig


def start(model: str, resume: Path | None, painter: Path | None) -> FaceCodecNetworks:
    """Fresh networks of a preset, or those of a checkpoint, with the encoder and generator of `painter` if it is given.

    The context encoder stays: it belongs to the motion field.
    """
    torch.manual_seed(0)
    networks = FaceCodecNetworks(PRESETS[model]) if resume is None else FaceCodecNetworks.load(resume)[0]
    if painter is not None:
        other = FaceCodecNetworks.load(painter)[0]
        networks.generator.load_state_dict(other.generator.state_dict())
        context = {f"context.{k}": v for k, v in networks.encoder.context.state_dict().items()}
        networks.encoder.load_state_dict(other.encoder.state_dict() | context)
    return networks


def main() -> None:
    """Run one stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=("detector", "motion", "generator"))
    parser.add_argument("--model", choices=tuple(PRESETS), default="edge")
    parser.add_argument(
        "--cache",
        type=Path,
        required=True,
        help="folder with train-256, stills-256, val-256, and for the generator train-512, val-512",
    )
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write (.safetensors)")
    parser.add_argument("--resume", type=Path, help="checkpoint to start from")
    parser.add_argument("--painter", type=Path, help="checkpoint whose encoder and generator replace those of --resume")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--steps", type=int, help="stop after this many steps, should the minutes last longer")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="CPU threads; default: torch's own choice")
    parser.add_argument("--report-s", type=float, default=60.0, help="seconds between reports and checkpoints")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    config = RunConfig(
        report_s=options.report_s,
        minutes=options.minutes,
        steps=options.steps,
        batch=options.batch,
        learning_rate=options.learning_rate,
        seed=options.seed,
        device=options.device,
        out=options.out,
    )
    networks = start(options.model, options.resume, options.painter)
    if options.stage == "generator":
        train_generator(
            networks, FrameCache.open(options.cache / "train-512"), FrameCache.open(options.cache / "val-512"), config
        )
        return
    caches, val = open_caches(options.cache)
    if options.stage == "detector":
        train_detector(networks, caches, val, config, AugmentConfig())
    else:
        train_motion(networks, caches, val, config)


if __name__ == "__main__":
    main()
