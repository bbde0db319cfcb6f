"""``adasr bench``: measurements.

``adasr bench speed`` times the parts of a model on the sample clip; ``adasr bench quality`` takes clips with landmarks
through the file codec and back.
"""

import argparse
from pathlib import Path

from adasr.commands import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Declare the arguments."""
    from adasr.model_options import (
        add_adapter_option,
        add_coding_options,
        add_engine_options,
        add_model_options,
        at_least_one,
    )

    parser = subparsers.add_parser("bench", help="measure speed", description="Measure the codec on this machine.")
    kinds = parser.add_subparsers(dest="kind", metavar="WHAT", required=True)
    speed = kinds.add_parser(
        "speed",
        help="time of the detector, the encoder and a frame",
        description="Time the parts of a model on frames of the sample clip: the detector and the frame (motion field "
        "and generator) run for every frame, the encoder once for every key frame.",
    )
    add_model_options(speed)
    speed.add_argument(
        "--runs", type=at_least_one, default=100, metavar="N", help="measured runs of each part (default: 100)"
    )
    speed.add_argument("--json", metavar="FILE", help="write the figures as JSON, to the standard output with -")
    quality = kinds.add_parser(
        "quality",
        help="PSNR of rebuilt clips",
        description="Encode and decode square clips and compare them with their source, whole frame and face. A clip "
        "needs its face mesh landmarks beside it (clip.mp4, clip.npz).",
    )
    quality.add_argument("clips", nargs="+", type=Path, metavar="CLIP", help="square video files, 512x512")
    quality.add_argument("--references", type=at_least_one, default=1, metavar="N", help="key frames at most (1)")
    add_coding_options(quality)
    add_engine_options(quality)
    add_adapter_option(quality, "the person in the clips")
    quality.add_argument("--json", metavar="FILE", help="write the figures as JSON, to the standard output with -")


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    return run_quality(args) if args.kind == "quality" else run_speed(args)


def run_quality(args: argparse.Namespace) -> int:
    """Take clips through the codec."""
    from adasr.json_report import write_json_report
    from adasr.model_options import measured_options
    from adasr.progress import progress_bars
    from adasr.quality_bench import measure_clip, print_quality, quality_report
    from adasr_core.adapter import open_adapter
    from adasr_core.bundle import open_bundle

    options = measured_options(args)
    bundle = open_bundle(args.model)
    adapter = open_adapter(args.adapter, bundle)
    results = []
    for clip in args.clips:
        with progress_bars() as progress:
            results.append(measure_clip(clip, bundle, options, args.engine, progress, adapter))
    if args.json:
        write_json_report(quality_report(bundle, options, results, adapter), args.json)
    if args.json != "-":
        print_quality(results)
    return 0


def run_speed(args: argparse.Namespace) -> int:
    """Time the parts of a model."""
    from adasr.json_report import write_json_report
    from adasr.sample_pictures import sample_pictures
    from adasr.speed_table import print_speed
    from adasr_core.bundle import open_bundle
    from benchmarks.speed import measure_speed

    report = measure_speed(
        open_bundle(args.model),
        sample_pictures(16),
        engine=args.engine,
        device=args.device,
        threads=args.threads,
        runs=args.runs,
    )
    if args.json:
        write_json_report(report.to_json(), args.json)
    if args.json != "-":
        print_speed(report)
    return 0
