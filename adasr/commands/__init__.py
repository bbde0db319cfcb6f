"""The subcommands of ``adasr``, one module each, imported only when its name is typed.

Every module exposes two functions::

    def add_parser(subparsers: Subparsers) -> None   # declares the arguments, imports nothing heavy
    def run(args: argparse.Namespace) -> int         # does the work, returns the exit code

What ``run`` raises as ``ValueError`` or ``OSError`` is printed by ``adasr.cli`` as one line with exit code 2.
"""

import argparse
from typing import TypeAlias

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""What ``ArgumentParser.add_subparsers`` returns; argparse gives it no public name."""

__all__ = ["Subparsers"]
