"""``adasr info``: what an ``.akc`` file holds."""

import argparse
import sys
from pathlib import Path
from typing import Any

from adasr.json_report import write_json_report


def add_parser(subparsers: "argparse._SubParsersAction[Any]") -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "info",
        help="show what an .akc file holds",
        description="Check an .akc file and show its frames, references and bytes. No model is needed.",
    )
    parser.add_argument("input", type=Path, metavar="IN.akc", help="the file to read")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON, to the standard output with -")


def run(args: argparse.Namespace) -> int:
    """Print the figures."""
    from adasr.akc_summary import AkcSummary, open_akc

    summary = AkcSummary.of(open_akc(args.input))
    if args.json:
        write_json_report(summary.to_json(), args.json)
    if args.json != "-":
        sys.stdout.write("\n".join([*summary.lines(), ""]))
    return 0
