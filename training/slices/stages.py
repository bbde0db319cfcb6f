"""The stage of a slice from its options and its data set."""

from __future__ import annotations

import argparse
from typing import Any

from adasr_core.networks import FaceCodecNetworks
from training.adversarial_stage import AdversarialStage, AdversarialStageConfig
from training.detector_stage import DetectorStage
from training.generator_stage import GeneratorStage
from training.motion_stage import MotionStage, MotionStageConfig
from training.slices.dataset import Dataset
from training.stage_options import generator_config
from training.trainer.stage import Stage


def make_stage(
    args: argparse.Namespace, networks: FaceCodecNetworks, dataset: Dataset
) -> Stage[Any, FaceCodecNetworks]:
    """Build the stage that ``--stage`` names around the networks."""
    caches = [dataset.train, *([dataset.stills] if dataset.stills is not None else [])]
    if args.stage == "detector":
        return DetectorStage(networks, caches, dataset.val)
    if args.stage == "motion":
        config = MotionStageConfig(held=args.held, train_detector=not args.freeze_detector)
        return MotionStage(networks, caches, dataset.val, config)
    generator = generator_config(args, patch_px=args.patch or (512 if args.stage == "adversarial" else 256))
    if args.stage == "generator":
        return GeneratorStage(networks, dataset.train, dataset.val, generator, dataset.stills)
    adversarial = AdversarialStageConfig(generator=generator)
    return AdversarialStage(networks, dataset.train, dataset.val, adversarial, dataset.stills)
