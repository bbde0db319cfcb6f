"""Train encoder and generator on a frozen motion field, on patches at full resolution (stage 3).

--joint trains the motion field along. The detector never changes here, so neither does the bitstream.
"""

from __future__ import annotations

import argparse

from training.commands.stage_arguments import add_patch_arguments, add_run_arguments

SUMMARY = "stage 3: encoder and generator, across qualities"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_run_arguments(parser, batch=4, learning_rate=2e-3)
    add_patch_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run the stage."""
    from training.generator_stage import GeneratorStage
    from training.session import open_full_caches, run_stage
    from training.stage_options import generator_config

    config = generator_config(args, patch_px=args.patch or 256)
    cache, val, stills = open_full_caches(args.cache)
    return run_stage(args, lambda networks: GeneratorStage(networks, cache, val, config, stills))
