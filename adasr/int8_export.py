"""``adasr export int8``: calibrate an int8 model, measure it beside float32 and bfloat16, keep it only if it pays.

clips of the training split --> inputs of the graphs --> int8 graphs --> speed, PSNR on clips of validation --> keep?
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adasr_core.bundle import ModelBundle
    from benchmarks.precision_report import KeepRule, PrecisionReport, Verdict
    from benchmarks.precision_variant import CpuEngine
    from export.calibration import Calibration

EXIT_NOT_KEPT = 1
ENGINES: tuple[CpuEngine, ...] = ("openvino", "onnxruntime")
PRECISIONS = ("f32", "bf16", "int8")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    from adasr.model_options import at_least_one

    parser.add_argument("--model", default="edge", help="name of a model, or the path of its folder (default: edge)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the int8 model")
    parser.add_argument(
        "--calibrate", type=Path, nargs="+", required=True, metavar="CLIP", help="clips of the training split"
    )
    parser.add_argument(
        "--validate",
        type=Path,
        nargs="+",
        required=True,
        metavar="CLIP",
        help="clips of other people to measure on, 512x512, with their landmarks beside them (clip.mp4, clip.npz)",
    )
    parser.add_argument(
        "--calibration-clips", type=at_least_one, default=40, metavar="N", help="clips at most, spread evenly (40)"
    )
    parser.add_argument("--frames", type=_two_or_more, default=60, metavar="N", help="frames of each clip at most (60)")
    parser.add_argument(
        "--threads", type=_counts, default=(2, 1), metavar="LIST", help="counts of threads to measure speed with (2,1)"
    )
    parser.add_argument("--rounds", type=at_least_one, default=8, metavar="N", help="rounds of the speed run (8)")
    parser.add_argument(
        "--precisions",
        type=_precisions,
        default=PRECISIONS,
        metavar="LIST",
        help="what int8 is compared with (f32,bf16,int8); f32,int8 judges for machines without bfloat16",
    )
    parser.add_argument(
        "--engine", choices=ENGINES, default=ENGINES[0], help="engine on which int8 must be the fastest (openvino)"
    )
    parser.add_argument(
        "--max-loss-db", type=float, default=0.3, metavar="DB", help="PSNR that int8 must lose less than (0.3)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON, to the standard output with -")


def run(args: argparse.Namespace) -> int:
    """Make, measure, judge; 0 when the int8 model was kept, 1 when it was not."""
    from adasr.json_report import write_json_report
    from adasr_core.bundle import open_bundle
    from adasr_core.engines import EngineError
    from benchmarks.precision_report import KeepRule

    try:
        from export.calibration import CalibrationConfig, record_inputs
        from export.quantise import QuantiseConfig, quantise_model
    except ModuleNotFoundError as error:
        raise EngineError(f"int8: {error.name} is missing; pip install 'adasr[int8]'") from error

    check_split(args.calibrate, args.validate)
    rule = KeepRule(engine=args.engine, max_loss_db=args.max_loss_db)
    model = open_bundle(args.model)
    if args.out.exists():
        raise ValueError(f"out: {args.out} exists; name a new folder, or remove it")
    calibration = record_inputs(model, args.calibrate, CalibrationConfig(clips=args.calibration_clips), threads=1)
    with tempfile.TemporaryDirectory() as made:
        candidate = quantise_model(model, calibration, Path(made) / "int8", QuantiseConfig())
        report = measure(model, candidate, calibration, args)
        verdict = report.verdict(rule)
    content = report.to_json() | {"kept": verdict.keep, "reasons": list(verdict.reasons)}
    if verdict.keep:
        quality = {"int8": report.to_manifest()}
        quantise_model(model, calibration, args.out, QuantiseConfig(), quality=quality)
    if args.json:
        write_json_report(content, args.json)
    if args.json != "-":
        print_report(report, rule, verdict, args.out)
    return 0 if verdict.keep else EXIT_NOT_KEPT


def check_split(calibrate: Sequence[Path], validate: Sequence[Path]) -> None:
    """Raise ValueError for a clip in both lists: what was calibrated on cannot be judged on."""
    both = sorted({path.resolve() for path in calibrate} & {path.resolve() for path in validate})
    if both:
        raise ValueError(f"clips: {both[0]} is among both --calibrate and --validate; give clips of other people")


def measure(
    model: ModelBundle, candidate: ModelBundle, calibration: Calibration, args: argparse.Namespace
) -> PrecisionReport:
    """Speed and quality of both models on both engines, all in this one run."""
    from adasr.progress import progress_bars
    from adasr.sample_pictures import sample_pictures
    from benchmarks.environment import describe_processor, load_average, package_version, source_commit
    from benchmarks.precision_quality import QualityRun, measure_rebuilds
    from benchmarks.precision_report import PrecisionReport
    from benchmarks.precision_speed import SpeedRun, measure_frames
    from benchmarks.precision_variant import variants

    load = load_average()
    compared = variants(model, candidate, ENGINES, args.precisions)
    speed = measure_frames(compared, sample_pictures(16), SpeedRun(threads=args.threads, rounds=args.rounds))
    with progress_bars() as progress:
        quality = measure_rebuilds(
            compared,
            args.validate,
            QualityRun(frames=args.frames),
            threads=min(args.threads),
            progress=lambda done: progress("clips", done, len(args.validate)),
        )
    files = {"f32": model.manifest.files, "int8": candidate.manifest.files}
    return PrecisionReport(
        model=model.manifest.name,
        version=model.manifest.version,
        codec_id=model.codec_id,
        speed=tuple(speed),
        quality=tuple(quality),
        bytes={name: {part: found[part].bytes for part in ("motion", "generator")} for name, found in files.items()},
        calibration_clips=calibration.clips,
        calibration_frames=len(calibration.motion),
        engine_versions={name: package_version(name) or "unknown" for name in ENGINES},
        processor=describe_processor(),
        load_average=load,
        commit=source_commit(),
    )


def print_report(report: PrecisionReport, rule: KeepRule, verdict: Verdict, out: Path) -> None:
    """Print the tables and the verdict."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, width=120)
    threads = list(dict.fromkeys(row.threads for row in report.speed))
    times = {(row.engine, row.precision, row.threads): row.quiet_ms for row in report.speed}
    table = Table(
        title=f"{report.model} {report.version}: a frame in ms, median of the quietest round, and PSNR in dB",
        title_justify="left",
    )
    for heading in ("engine", "precision"):
        table.add_column(heading)
    for heading in [f"threads: {count}" for count in threads] + ["whole", "face", "same as f32", "worst clip"]:
        table.add_column(heading, justify="right")
    for row in report.quality:
        base = report.base(row.engine)
        (whole, face), worst = row.loss_db(base), row.worst_loss_db(base)
        plain = row is base
        table.add_row(
            row.engine,
            row.precision,
            *(f"{times[row.engine, row.precision, count]:.1f}" for count in threads),
            f"{row.psnr_db:.2f}" + ("" if plain else f" ({-whole:+.3f})"),
            f"{row.face_psnr_db:.2f}" + ("" if plain else f" ({-face:+.3f})"),
            "" if row is report.quality[0] else f"{row.same_db:.1f}",
            "" if plain else f"{-worst[0]:+.3f} / {-worst[1]:+.3f}",
        )
    console.print(table)
    kilobytes = {
        name: ", ".join(f"{part} {size / 1000:.0f} kB" for part, size in sizes.items())
        for name, sizes in report.bytes.items()
    }
    console.print(f"files: f32 {kilobytes['f32']}; int8 {kilobytes['int8']}")
    load, cores = report.load_average, report.processor.cores
    if load is not None and load > cores:
        console.print(f"the machine was busy (load {load:.1f} on {cores} cores): times are too long")
    console.print(f"calibrated on {report.calibration_frames} frames of {report.calibration_clips} clips")
    if verdict.keep:
        console.print(
            f"kept: less than {rule.max_loss_db:g} dB lost and the fastest on {rule.engine}; written to {out}"
        )
        return
    for reason in verdict.reasons:
        console.print(f"not kept: {reason}")


def _counts(text: str) -> tuple[int, ...]:
    counts = tuple(int(part) for part in text.split(","))
    if min(counts) < 1:
        raise ValueError(f"got {text}, expected counts of at least 1")
    return counts


def _two_or_more(text: str) -> int:
    count = int(text)
    if count < 2:
        raise ValueError(f"got {count}, expected at least 2")
    return count


def _precisions(text: str) -> tuple[str, ...]:
    chosen = tuple(text.split(","))
    if set(chosen) - set(PRECISIONS) or not {"f32", "int8"} <= set(chosen):
        raise ValueError(f"got {text}, expected f32 and int8, and bf16 as well or not")
    return chosen
