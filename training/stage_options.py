"""Stage configurations from options of the command line."""

from __future__ import annotations

import argparse

from training.generator_stage import GeneratorStageConfig
from training.losses import RegionWeights
from training.rebuild_source import PatchConfig


def generator_config(args: argparse.Namespace, *, patch_px: int) -> GeneratorStageConfig:
    """What the options of `training.commands.stage_arguments.add_patch_arguments` say."""
    return GeneratorStageConfig(
        patches=PatchConfig(patch_px=patch_px, chain=args.chain, still_share=args.stills),
        structure=args.structure,
        sharpness=args.sharpness,
        perceptual=args.perceptual,
        vgg_weights=args.vgg,
        regions=RegionWeights(face=3.0, eyes=args.eyes, mouth=args.mouth),
        joint=args.joint,
    )
