"""``adasr decode``: an ``.akc`` file into an mp4 file."""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from adasr.json_report import write_json_report
from adasr.model_options import add_adapter_option, add_engine_options


def add_parser(subparsers: "argparse._SubParsersAction[Any]") -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "decode",
        help="decode an .akc file into a video file",
        description="Rebuild every frame of an .akc file and write an mp4 with H.264 pictures and the original sound.",
    )
    parser.add_argument("input", type=Path, metavar="IN.akc", help="the file to read")
    parser.add_argument("output", type=Path, metavar="OUT.mp4", help="the file to write")
    add_engine_options(parser)
    add_adapter_option(parser, "the person in the file")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON, to the standard output with -")


def run(args: argparse.Namespace) -> int:
    """Decode and print the figures."""
    from adasr.file_codec import decode_file
    from adasr.progress import progress_bars
    from adasr_core.adapter import open_adapter
    from adasr_core.bundle import open_bundle

    bundle = open_bundle(args.model)
    adapter = open_adapter(args.adapter, bundle)
    start = time.perf_counter()
    with progress_bars() as progress:
        summary = decode_file(args.input, args.output, bundle, engine=args.engine, adapter=adapter, progress=progress)
    seconds = time.perf_counter() - start
    if args.json:
        report = summary.to_json() | {"seconds": round(seconds, 3), "frames_per_s": round(summary.frames / seconds, 2)}
        write_json_report(report, args.json)
    if args.json != "-":
        sys.stdout.write(
            f"{summary.frames} frames in {seconds:.1f} s, {1000 * seconds / summary.frames:.1f} ms a frame\n"
            f"written to {args.output}\n"
        )
    return 0
