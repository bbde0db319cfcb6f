"""``adasr encode``: a video file into an ``.akc`` file."""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from adasr.json_report import write_json_report
from adasr.model_options import add_adapter_option, add_coding_options, add_engine_options, at_least_one


def add_parser(subparsers: "argparse._SubParsersAction[Any]") -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "encode",
        help="encode a video file into an .akc file",
        description="Encode a video with one face into key frames and, for every frame, keypoints and Jacobians. "
        "The sound goes along untouched.",
    )
    parser.add_argument("input", type=Path, metavar="IN", help="a video file of any size, frame rate and codec")
    parser.add_argument("output", type=Path, metavar="OUT.akc", help="the file to write")
    add_engine_options(parser)
    add_adapter_option(parser, "the person, if whoever decodes the file has it too")
    keys = parser.add_mutually_exclusive_group()
    keys.add_argument("--single-key-frame", action="store_true", help="send the first frame only, then motion alone")
    keys.add_argument(
        "--references", type=int, default=4, metavar="N", help="key frames at most, 1 to 16, chosen for the clip (4)"
    )
    add_coding_options(parser)
    crop = parser.add_mutually_exclusive_group()
    crop.add_argument("--full", action="store_true", help="take a square clip whole")
    crop.add_argument("--face", action="store_true", help="crop the face, even if the clip is framed already")
    parser.add_argument("--no-audio", action="store_true", help="leave the sound out")
    parser.add_argument(
        "--threads",
        type=at_least_one,
        metavar="N",
        help="rebuilds at once, a core for each; any N gives the same file (default: one for each core, at most 8)",
    )
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON, to the standard output with -")


def run(args: argparse.Namespace) -> int:
    """Encode and print the figures."""
    from adasr.file_codec import EncodeOptions, encode_file
    from adasr.progress import progress_bars
    from adasr_core.adapter import open_adapter
    from adasr_core.bundle import open_bundle
    from sender.tracker import CropMode

    crop = CropMode.FULL if args.full else CropMode.FACE if args.face else None
    options = EncodeOptions(
        references=1 if args.single_key_frame else args.references,
        picture_quality=args.quality,
        motion_quality=args.motion_quality,
        effort=args.effort,
        crop=crop,
        keep_audio=not args.no_audio,
    )
    bundle = open_bundle(args.model)
    adapter = open_adapter(args.adapter, bundle)
    start = time.perf_counter()
    with progress_bars() as progress:
        result = encode_file(
            args.input,
            args.output,
            bundle,
            options,
            engine=args.engine,
            adapter=adapter,
            threads=args.threads,
            progress=progress,
        )
    seconds = time.perf_counter() - start
    summary = result.summary
    if args.json:
        report = summary.to_json() | {
            "crop": result.mode.value,
            "frames_without_face": result.frames_without_face,
            "reference_frames": list(result.chosen),
            "estimated_psnr_db": round(result.estimated_psnr_db, 3),
            "seconds": round(seconds, 3),
        }
        write_json_report(report, args.json)
    if args.json != "-":
        whole = result.mode is CropMode.FULL
        forced = "" if crop else (": the clip is square and its face framed" if whole else ": it follows the face")
        lines = summary.lines()
        lines.append(f"{'picture':<14} {'the whole frame' if whole else 'a crop'}{forced}")
        lines.append(f"{'key frames':<14} {', '.join(map(str, result.chosen))}")
        if result.frames_without_face:
            lines.append(f"{'no face in':<14} {result.frames_without_face} frames; they repeat the frame before")
        lines.append(f"{'PSNR':<14} {result.estimated_psnr_db:.2f} dB, whole picture, by the encoder's own rebuild")
        lines.append(f"{'time':<14} {seconds:.1f} s, {1000 * seconds / summary.frames:.1f} ms a frame")
        sys.stdout.write("\n".join([*lines, f"written to {args.output}", ""]))
    return 0
