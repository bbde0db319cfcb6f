"""``adasr train``: prepare clips, train the networks, measure and ship them; one module for each word."""

import argparse
import importlib
import sys
from types import ModuleType

from adasr.commands import Subparsers

TRAIN_COMMANDS = {
    "prepare": "training.commands.prepare",
    "cache": "training.commands.cache",
    "detector": "training.commands.detector",
    "motion": "training.commands.motion",
    "generator": "training.commands.generator",
    "adversarial": "training.commands.adversarial",
    "tables": "training.commands.tables",
    "drawn": "adasr.train_drawn",
    "refiner": "training.commands.refiner",
    "evaluate": "adasr.train_evaluate",
    "ablate": "training.commands.ablate",
    "personalise": "training.commands.personalise",
    "pack": "training.commands.pack",
    "slice": "training.commands.slice",
}
"""What may follow ``adasr train``, in the order of use, and the module that does it."""


def _load(name: str) -> ModuleType:
    """The module of one word: SUMMARY, add_arguments(parser), run(args)."""
    return importlib.import_module(TRAIN_COMMANDS[name])


def add_parser(subparsers: Subparsers) -> None:
    """Declare the arguments."""
    parser = subparsers.add_parser(
        "train",
        help="prepare clips, train the networks, measure and ship them",
        description="The training package. It needs the train extra (torch); prepare needs the landmarks extra.",
    )
    kinds = parser.add_subparsers(dest="kind", metavar="WHAT", required=True)
    # The module of the word that was typed is imported; the others are named by their summaries alone.
    typed = next((word for word in sys.argv[1:] if word in TRAIN_COMMANDS), None)
    for name in TRAIN_COMMANDS:
        if typed is None or name == typed:
            module = _load(name)
            module.add_arguments(kinds.add_parser(name, help=module.SUMMARY, description=module.__doc__))
        else:
            kinds.add_parser(name)


def run(args: argparse.Namespace) -> int:
    """Run what was asked for."""
    exit_code: int = _load(args.kind).run(args)
    return exit_code
