"""Rebuild clips from their first frame, or a few, through the real codec and measure how good they are.

Each clip goes through the file codec; the rebuilt frames are compared with the source as the generator leaves them.
Needs square clips with face mesh landmarks beside them (clip.mp4, clip.npz), as adasr train prepare makes them.
Metrics whose networks are missing are null, with a line on what is missing and where it was looked for.
"""

import argparse
import time
from functools import partial
from pathlib import Path

SUMMARY = "measure rebuilt clips: PSNR, SSIM, SSIMULACRA2, AKD and more"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    from adasr.model_options import (
        add_adapter_option,
        add_coding_options,
        add_engine_options,
        add_workers_option,
        at_least_one,
    )

    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP", help="square video files of the model's size")
    add_engine_options(parser)
    parser.add_argument("--references", type=at_least_one, default=1, metavar="N", help="key frames at most (1)")
    add_coding_options(parser)
    add_adapter_option(parser, "the person in the clips")
    parser.add_argument(
        "--stride",
        type=at_least_one,
        default=10,
        metavar="N",
        help="take SSIM, MS-SSIM, LPIPS, FID, AED every N frames (10)",
    )
    parser.add_argument(
        "--stride-ssimulacra2", type=at_least_one, default=10, metavar="N", help="take SSIMULACRA2 every N frames (10)"
    )
    parser.add_argument(
        "--lpips-weights", type=Path, metavar="FILE", help="AlexNet's weights, alexnet-owt-7be5be79.pth"
    )
    parser.add_argument(
        "--fid-weights", type=Path, metavar="FILE", help="Inception's, weights-inception-2015-12-05-6726825d.pth"
    )
    parser.add_argument("--aed-network", type=Path, metavar="FILE", help="face recognition network in ONNX form")
    parser.add_argument(
        "--vs", choices=("paper", "nothing"), default="paper", help="figures to set beside one's own (paper)"
    )
    parser.add_argument(
        "--worst", type=Path, metavar="DIR", help="write each clip's worst frame here: source, rebuild, difference"
    )
    add_workers_option(parser)
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON, to the standard output with -")


def run(args: argparse.Namespace) -> int:
    """Evaluate and print."""
    from adasr.clip_workers import WorkPlan, work_on_clips
    from adasr.evaluation import EvaluationSetup, clip_evaluator
    from adasr.evaluation_measures import MetricNetworks, Strides
    from adasr.evaluation_report import evaluation_report, print_evaluation, write_worst
    from adasr.json_report import write_json_report
    from adasr.model_options import measured_options
    from adasr_core.adapter import open_adapter
    from adasr_core.bundle import open_bundle

    options = measured_options(args)
    strides = Strides(similarity=args.stride, ssimulacra2=args.stride_ssimulacra2)
    bundle = open_bundle(args.model)
    open_adapter(args.adapter, bundle)
    networks = MetricNetworks.find(
        lpips_weights=args.lpips_weights, fid_weights=args.fid_weights, aed_network=args.aed_network
    )
    setup = EvaluationSetup(
        model=args.model,
        engine=args.engine,
        adapter=args.adapter,
        options=options,
        strides=strides,
        lpips_weights=args.lpips_weights,
        aed_network=args.aed_network,
        keep_worst=args.worst is not None,
        keep_sampled=networks.frechet is not None,
    )
    start = time.perf_counter()
    results = work_on_clips(
        partial(clip_evaluator, setup), args.clips, WorkPlan.of(len(args.clips), args.workers, engine=args.engine)
    )
    if networks.frechet is not None:
        for result in results:
            for pair in result.sampled:
                networks.frechet.add(*pair)
    if args.worst:
        write_worst(results, args.worst)
    if args.json:
        seconds = {"seconds": round(time.perf_counter() - start, 1)}
        write_json_report(evaluation_report(bundle, options, strides, networks, results) | seconds, args.json)
    if args.json != "-":
        print_evaluation(results, networks, with_paper=args.vs == "paper")
    return 0
