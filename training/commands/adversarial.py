"""Fine-tune encoder and generator against multi-resolution patch discriminators (stage 4).

The learning rate is the discriminators'; the generator learns at a quarter of it.
"""

from __future__ import annotations

import argparse

from training.commands.stage_arguments import add_patch_arguments, add_run_arguments

SUMMARY = "stage 4: adversarial fine-tuning at 512x512"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_run_arguments(parser, batch=4, learning_rate=4e-4)
    add_patch_arguments(parser)
    parser.add_argument("--hinge", type=float, default=0.01, help="weight of the generator's hinge (default: 0.01)")
    parser.add_argument("--matching", type=float, default=0.2, help="weight of feature matching (default: 0.2)")


def run(args: argparse.Namespace) -> int:
    """Run the stage."""
    from training.adversarial_stage import AdversarialStage, AdversarialStageConfig
    from training.session import open_full_caches, run_stage
    from training.stage_options import generator_config

    config = AdversarialStageConfig(
        generator=generator_config(args, patch_px=args.patch or 512), hinge=args.hinge, matching=args.matching
    )
    cache, val, stills = open_full_caches(args.cache)
    return run_stage(args, lambda networks: AdversarialStage(networks, cache, val, config, stills))
