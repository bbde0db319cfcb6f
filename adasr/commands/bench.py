"""``adasr bench``: measurements.

``adasr bench speed`` times the parts of a model on the sample clip; ``adasr bench quality`` takes clips with landmarks
through the file codec and back; ``adasr bench compare`` puts the codec beside ordinary video at equal wire rate.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from adasr.commands import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Declare the arguments."""
    from adasr.model_options import (
        add_adapter_option,
        add_coding_options,
        add_device_options,
        add_engine_option,
        add_engine_options,
        add_workers_option,
        at_least_one,
    )
    from adasr.speed_bench import TORCH_ENGINES

    parser = subparsers.add_parser("bench", help="measure speed", description="Measure the codec on this machine.")
    kinds = parser.add_subparsers(dest="kind", metavar="WHAT", required=True)
    speed = kinds.add_parser(
        "speed",
        help="time of the detector, the encoder and a frame",
        description="Time the parts of a model on frames of the sample clip: the detector and the frame (motion field "
        "and generator) run for every frame, the encoder once for every key frame.",
    )
    speed.add_argument(
        "--model",
        default="edge",
        help="name of a model, the path of its folder (default: edge), or preset:NAME for an untrained preset (base)",
    )
    add_engine_option(speed, *TORCH_ENGINES)
    add_device_options(speed)
    speed.add_argument(
        "--batch",
        type=_counts,
        default=(),
        metavar="LIST",
        help="also frames of so many streams in one launch: 1,8,32",
    )
    speed.add_argument(
        "--published",
        action="store_true",
        help="also a frame of the published generator's cost model (2,406 GMAC) in torch on the same device",
    )
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
    add_workers_option(quality)
    quality.add_argument("--json", metavar="FILE", help="write the figures as JSON, to the standard output with -")
    _add_bitrate(kinds)
    _add_compare(kinds)


def _add_bitrate(kinds: Subparsers) -> None:
    from adasr.model_options import add_engine_options

    bitrate = kinds.add_parser(
        "bitrate",
        help="bytes of the motion, and what quantising it costs",
        description="Code the motion that the detector sees in clips, against their first frame: bytes a frame by "
        "part, by schedule of messages and along the quality index, beside a plain previous-frame coder, and what the "
        "quantisation costs rebuilt pictures.",
    )
    bitrate.add_argument("clips", nargs="+", type=Path, metavar="CLIP", help="video files")
    bitrate.add_argument("--motion-quality", type=int, metavar="Q", help="quantiser index, 0 (finest) to 15 (4)")
    bitrate.add_argument(
        "--rebuild-every", type=int, default=5, metavar="N", help="rebuild every N-th frame (5); 0: count bytes alone"
    )
    bitrate.add_argument("--no-curve", action="store_true", help="only the one quality index")
    add_engine_options(bitrate)
    bitrate.add_argument("--json", metavar="FILE", help="write the figures as JSON, to the standard output with -")


def run_bitrate(args: argparse.Namespace) -> int:
    """Count the bytes of clips' motion."""
    from adasr.bitrate_bench import BitrateOptions, bitrate_report, measure_clip, print_bitrate
    from adasr.json_report import write_json_report
    from adasr.progress import progress_bars
    from adasr_core.bitstream import DEFAULT_QUALITY
    from adasr_core.bundle import open_bundle

    quality = DEFAULT_QUALITY if args.motion_quality is None else args.motion_quality
    options = BitrateOptions(quality=quality, rebuild_every=args.rebuild_every)
    if args.no_curve:
        options = replace(options, curve=())
    bundle = open_bundle(args.model)
    clips = []
    for clip in args.clips:
        with progress_bars() as progress:
            clips.append(measure_clip(clip, bundle, options, args.engine, progress))
    if args.json:
        write_json_report(bitrate_report(bundle, options, clips), args.json)
    if args.json != "-":
        print_bitrate(options, clips)
    return 0


def _add_compare(kinds: Subparsers) -> None:
    from adasr.model_options import add_engine_options, at_least_one

    compare = kinds.add_parser(
        "compare",
        help="beside SVT-AV1, x265, VP9 and x264 at equal wire rate",
        description="Send clips through an offline call and through ordinary low-delay encoders, all at the same rate "
        "on the wire (headers of every layer included), and compare what stands on the display at every source frame. "
        "A clip needs its face mesh landmarks beside it (clip.mp4, clip.npz).",
    )
    compare.add_argument("clips", nargs="+", type=Path, metavar="CLIP", help="square video files, 512x512")
    compare.add_argument(
        "--kbps", type=_rates, default="12,15,20,25,40", metavar="LIST", help="wire rates in kbit/s (12,15,20,25,40)"
    )
    compare.add_argument(
        "--codecs",
        type=_names,
        default="adasr,svt-av1,x265,vp9,x264",
        metavar="LIST",
        help="what is compared (adasr,svt-av1,x265,vp9,x264)",
    )
    compare.add_argument(
        "--first-picture",
        choices=("counted", "apart"),
        default="counted",
        help="whether the first picture is in the rate (default), or the rate is that of all after it",
    )
    compare.add_argument("--frames", type=at_least_one, metavar="N", help="only the first N frames of each clip")
    compare.add_argument(
        "--anchors",
        type=_counts,
        default="4,6,8",
        metavar="LIST",
        help="ours: frames from one anchor to the next that are tried, 1 to 8 each (4,6,8)",
    )
    compare.add_argument("--threads", type=at_least_one, metavar="N", help="ours: processor threads (default: all)")
    compare.add_argument(
        "--reuse",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="take the ordinary encoders' figures from an earlier --json FILE where clip and settings are the same",
    )
    add_engine_options(compare)
    compare.add_argument("--json", metavar="FILE", help="write the figures as JSON, to the standard output with -")


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _rates(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def _counts(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    runs = {"speed": run_speed, "quality": run_quality, "bitrate": run_bitrate, "compare": run_compare}
    return runs[args.kind](args)


def run_compare(args: argparse.Namespace) -> int:
    """Put the codec beside ordinary encoders."""
    from adasr.compare_bench import CompareOptions, CompareReport, compare_clips, print_comparison
    from adasr.compare_ours import OursConfig
    from adasr.json_report import write_json_report
    from adasr.progress import progress_bars
    from adasr_core.bundle import open_bundle

    options = CompareOptions(
        kbps=args.kbps,
        codecs=args.codecs,
        first_picture_counts=args.first_picture == "counted",
        frames=args.frames,
        ours=OursConfig(engine=args.engine, threads=args.threads, anchor_frames=args.anchors),
    )
    known = [CompareReport.read(path) for path in args.reuse]
    with progress_bars() as progress:
        report = compare_clips(args.clips, open_bundle(args.model), options, known=known, progress=progress)
    if args.json:
        write_json_report(report.to_json(), args.json)
    if args.json != "-":
        print_comparison(report)
    return 0


def run_quality(args: argparse.Namespace) -> int:
    """Take clips through the codec."""
    from functools import partial

    from adasr.clip_setup import ClipSetup
    from adasr.clip_workers import WorkPlan, work_on_clips
    from adasr.json_report import write_json_report
    from adasr.model_options import measured_options
    from adasr.quality_bench import clip_measurer, print_quality, quality_report
    from adasr_core.adapter import open_adapter
    from adasr_core.bundle import open_bundle

    options = measured_options(args)
    bundle = open_bundle(args.model)
    adapter = open_adapter(args.adapter, bundle)
    setup = ClipSetup(model=args.model, engine=args.engine, adapter=args.adapter, options=options)
    results = work_on_clips(
        partial(clip_measurer, setup), args.clips, WorkPlan.of(len(args.clips), args.workers, engine=args.engine)
    )
    if args.json:
        write_json_report(quality_report(bundle, options, results, adapter), args.json)
    if args.json != "-":
        print_quality(results)
    return 0


def run_speed(args: argparse.Namespace) -> int:
    """Time the parts of a model."""
    from adasr.json_report import write_json_report
    from adasr.preset_folder import open_model
    from adasr.speed_bench import SpeedOptions, bench_speed
    from adasr.speed_table import print_speed

    options = SpeedOptions(
        engine=args.engine,
        device=args.device,
        threads=args.threads,
        runs=args.runs,
        batches=args.batch,
        published=args.published,
    )
    report = bench_speed(open_model(args.model), options)
    if args.json:
        write_json_report(report.to_json(), args.json)
    if args.json != "-":
        print_speed(report)
    return 0
