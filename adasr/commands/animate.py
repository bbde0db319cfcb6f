"""``adasr animate``: drive a portrait with the face of a video."""

import argparse
import sys
import time
from pathlib import Path

from adasr.commands import Subparsers
from adasr.json_report import write_json_report
from adasr.model_options import add_engine_options


def add_parser(subparsers: Subparsers) -> None:
    """Declare the arguments."""
    parser = subparsers.add_parser(
        "animate",
        help="drive a portrait with the face of a video",
        description="Write the driver's video with the portrait's face. The portrait keeps the shape of its face and "
        "takes over the driver's motion; the sound is the driver's.",
    )
    parser.add_argument("portrait", type=Path, metavar="PORTRAIT", help="a picture of any size with one face")
    parser.add_argument("driver", type=Path, metavar="DRIVER", help="a video of any size with one face")
    parser.add_argument("output", type=Path, metavar="OUT.mp4", help="the file to write")
    add_engine_options(parser)
    transfer = parser.add_mutually_exclusive_group()
    transfer.add_argument(
        "--relative",
        dest="relative",
        action="store_true",
        default=True,
        help="take over the driver's motion from its start frame on (default)",
    )
    transfer.add_argument(
        "--absolute", dest="relative", action="store_false", help="take over the driver's keypoints as they are"
    )
    parser.add_argument(
        "--best-frame",
        type=int,
        metavar="N",
        help="the driver's frame, counted from 0, that shows the portrait's pose (default: the nearest is found)",
    )
    parser.add_argument("--no-audio", action="store_true", help="leave the sound out")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON, to the standard output with -")


def run(args: argparse.Namespace) -> int:
    """Animate and print the figures."""
    from adasr.animation import AnimateOptions, animate_file
    from adasr.progress import progress_bars
    from adasr_core.bundle import open_bundle

    options = AnimateOptions(relative=args.relative, start_frame=args.best_frame, keep_audio=not args.no_audio)
    bundle = open_bundle(args.model)
    start = time.perf_counter()
    with progress_bars() as progress:
        result = animate_file(
            args.portrait, args.driver, args.output, bundle, options, engine=args.engine, progress=progress
        )
    seconds = time.perf_counter() - start
    if args.json:
        report: dict[str, object] = {
            "model": bundle.manifest.name,
            "frames": result.frames,
            "start_frame": result.start_frame,
            "scale": round(result.scale, 4),
            "frames_without_face": result.frames_without_face,
            "seconds": round(seconds, 3),
        }
        write_json_report(report, args.json)
    if args.json != "-":
        lines = [f"{result.frames} frames in {seconds:.1f} s, {1000 * seconds / result.frames:.1f} ms a frame"]
        if result.start_frame is not None:
            lines.append(
                f"motion from frame {result.start_frame} of the driver on, {result.scale:.2f} times as large as there"
            )
        if result.frames_without_face:
            lines.append(f"no face in {result.frames_without_face} frames of the driver; they repeat the frame before")
        sys.stdout.write("\n".join([*lines, f"written to {args.output}", ""]))
    return 0
