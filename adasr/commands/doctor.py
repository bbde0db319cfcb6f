"""``adasr doctor``: what this machine has, how fast the model runs here, and whether a call is possible.

Exit code 0: a call is possible. 1: the machine is too slow. 2: the model or the engine asked for cannot be used;
nothing else is tried in its place.
"""

import argparse
import dataclasses

from adasr.commands import Subparsers
from adasr.diagnosis import CALL_FPS, LEAST_CALL_FPS, Machine, Verdict, inspect_machine, judge, require_engine
from adasr_core.bundle import ModelBundle
from adasr_core.engines import EngineError
from benchmarks.speed import SpeedReport

EXIT_TOO_SLOW = 1


def add_parser(subparsers: Subparsers) -> None:
    """Declare the arguments."""
    from adasr.model_options import add_model_options, at_least_one

    parser = subparsers.add_parser(
        "doctor",
        help="show whether this machine can hold a call, and how fast",
        description="Show processors, engines and the model, measure it here, and say whether a call is possible.",
    )
    add_model_options(parser)
    parser.add_argument("--runs", type=at_least_one, default=60, metavar="N", help="measured runs (default: 60)")
    parser.add_argument("--json", metavar="FILE", help="write the findings as JSON, to the standard output with -")


def run(args: argparse.Namespace) -> int:
    """Inspect, measure, print."""
    from adasr.engine_choice import try_engines
    from adasr.json_report import write_json_report
    from adasr.sample_pictures import sample_pictures
    from adasr.speed_table import print_speed
    from adasr_core.bundle import open_bundle
    from benchmarks.speed import measure_speed

    speaks = args.json != "-"
    machine = inspect_machine()
    if speaks:
        print("\n".join(_machine_lines(machine, args.engine)), flush=True)
    require_engine(machine, args.engine)
    bundle = open_bundle(args.model)
    if speaks:
        print("\n".join(_model_lines(bundle)), flush=True)
    trial = try_engines(bundle, (args.engine,), args.threads, args.device)[0]
    if not trial.usable:
        raise EngineError(f"engine {trial.describe()}")
    speed = measure_speed(
        bundle,
        sample_pictures(16),
        engine=args.engine,
        device=args.device,
        threads=args.threads,
        runs=args.runs,
    )
    verdict = judge(speed)
    if args.json:
        write_json_report(_to_json(machine, bundle, speed, verdict) | {"self_check": trial.to_json()}, args.json)
    if speaks:
        print(f"self-check {trial.describe()}", flush=True)
        print_speed(speed)
        print("\n".join(_verdict_lines(verdict)))
    return 0 if verdict.call else EXIT_TOO_SLOW


def _machine_lines(machine: Machine, chosen: str) -> list[str]:
    processor = machine.processor
    lines = [
        f"system     {machine.system}, Python {machine.python}, adasr {machine.adasr}",
        f"processor  {processor.name}, {processor.architecture}, {processor.cores} cores to use",
        f"           {' '.join(processor.isa_flags) or 'features unknown on this system'}",
    ]
    for engine in machine.engines:
        state = engine.version or "not installed"
        mark = " (used here)" if engine.name == chosen else ""
        lines.append(f"engine     {engine.name} {state}{mark}")
        lines.extend(f"           {device}" for device in engine.devices)
        if engine.problem:
            lines.append(f"           does not start: {engine.problem}")
    versions = ", ".join(f"{name} {version or 'not installed'}" for name, version in machine.transport.items())
    return [*lines, f"transport  {versions}"]


def _model_lines(bundle: ModelBundle) -> list[str]:
    manifest = bundle.manifest
    size_mb = sum(file.bytes for file in manifest.files.values()) / 1e6
    return [
        f"model      {manifest.name} {manifest.version}, codec id {bundle.codec_id}, {manifest.keypoints} keypoints",
        f"           {bundle.folder}: {len(manifest.files)} files verified, {size_mb:.1f} MB",
    ]


def _verdict_lines(verdict: Verdict) -> list[str]:
    times = f"detector and frame take {verdict.turn_ms_p50:.1f} ms (p50), {verdict.turn_ms_p95:.1f} ms (p95)"
    full = "yes" if verdict.full_rate else "no"
    lines = [f"verdict    a call at {CALL_FPS:.0f} frames/s: {full}; {times}"]
    if not verdict.full_rate:
        slower = "possible" if verdict.call else f"not possible: below {LEAST_CALL_FPS:.0f} frames/s"
        lines.append(f"           a call at {1e3 / verdict.turn_ms_p50:.0f} frames/s: {slower}")
    return lines


def _to_json(machine: Machine, bundle: ModelBundle, speed: SpeedReport, verdict: Verdict) -> dict[str, object]:
    manifest = bundle.manifest
    return {
        "machine": dataclasses.asdict(machine),
        "model": {
            "name": manifest.name,
            "version": manifest.version,
            "codec_id": bundle.codec_id,
            "folder": str(bundle.folder),
            "bytes": sum(file.bytes for file in manifest.files.values()),
        },
        "speed": speed.to_json(),
        "verdict": dataclasses.asdict(verdict),
    }
