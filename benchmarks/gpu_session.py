"""All that a machine with an NVIDIA GPU should measure, in one command: ``python -m benchmarks.gpu_session --out DIR``.

    make     base as a model folder with random weights (seconds, on the processor)
    torch    base in torch: the reference, the ceiling of matrix products, the published generator
    onnx     base on ONNX Runtime CUDA
    build    TensorRT engines of base for every batch size, checked against ONNX Runtime
    tensorrt base on those engines
    edge-*   edge on ONNX Runtime CUDA and on TensorRT
    doctor   which engine --engine auto takes
    tests    the tests marked gpu

Every step is a process of its own with a time limit, writes DIR/STEP.log and, where it measures, DIR/STEP.json. A step
that fails is named and the others still run. DIR/summary.json says what ran, for how long and how it ended, and holds
every step's figures. The model folder and the engines are made in a temporary folder.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.environment import describe_processor, package_version, source_commit
from benchmarks.gpu_state import gpu_state

BUDGET_S = 480.0
BATCHES = (1, 8, 32)
RUNS = 200
_TESTS = ("tests/engines", "tests/export")
_LEAST_STEP_S = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionConfig:
    """What is measured."""

    out: Path
    """Folder of the results."""
    engines: tuple[str, ...] = ("torch-cuda", "onnxruntime-cuda", "tensorrt")
    """Engines; any that `adasr bench speed` knows."""
    batches: tuple[int, ...] = BATCHES
    """Streams in one launch."""
    runs: int = RUNS
    """Measured runs of each part."""
    published: bool = True
    """Whether torch also runs the published generator."""
    checks: bool = True
    """Whether the doctor and the tests marked gpu run too."""
    budget_s: float = BUDGET_S
    """Seconds for everything; what does not fit is left out and named."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One process.

    Attributes:
        name: of its files.
        arguments: after the interpreter's name.
        limit_s: seconds it may take.
        answers: exit codes that are an answer and no failure.
    """

    name: str
    arguments: tuple[str, ...]
    limit_s: float
    answers: tuple[int, ...] = (0,)


@dataclass(frozen=True, kw_only=True, slots=True)
class StepResult:
    """How a step ended.

    Attributes:
        name: of the step.
        seconds: it took.
        exit_code: of the process; None when it did not end in its time, or never began.
        problem: in words; None when it went well.
    """

    name: str
    seconds: float
    exit_code: int | None
    problem: str | None = None


@dataclass(slots=True)
class Session:
    """The steps, one after the other."""

    config: SessionConfig
    results: list[StepResult] = field(default_factory=list)

    def run(self) -> bool:
        """Run everything; True when every step went well."""
        self.config.out.mkdir(parents=True, exist_ok=True)
        ends = time.monotonic() + self.config.budget_s
        make = Step(name="make", arguments=_bench(self.config, "preset:base", "openvino", "make", runs=2), limit_s=240)
        with tempfile.TemporaryDirectory() as made:
            work = Path(made)
            self._run(make, ends, work)
            folders = sorted((work / "adasr").glob("preset-base-*"))
            steps = plan(self.config, folders[-1]) if folders else ()
            for step in steps:
                self._run(step, ends, work)
        self._write_summary()
        return bool(steps) and all(result.problem is None for result in self.results)

    def _run(self, step: Step, ends: float, work: Path) -> None:
        began = time.monotonic()
        limit_s = min(step.limit_s, ends - began)
        if limit_s < _LEAST_STEP_S:
            result = StepResult(name=step.name, seconds=0.0, exit_code=None, problem="left out: no time was left")
        else:
            result = self._finish(step, began, limit_s, work)
        self.results.append(result)
        print(f"{result.name:10s} {result.seconds:6.1f} s  {result.problem or 'ok'}", flush=True)

    def _finish(self, step: Step, began: float, limit_s: float, work: Path) -> StepResult:
        # Where presets are kept, and where engines are built and looked for.
        environment = os.environ | {"XDG_CACHE_HOME": str(work), "ADASR_ENGINE_FOLDER": str(work / "engines")}
        with (self.config.out / f"{step.name}.log").open("w", encoding="utf-8") as log:
            try:
                code = subprocess.run(
                    [sys.executable, *step.arguments],
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    timeout=limit_s,
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired:
                code = None
        problem = None
        if code is None:
            problem = f"did not end within {limit_s:.0f} s; see {step.name}.log"
        elif code not in step.answers:
            problem = f"exit code {code}: {last_line(self.config.out / f'{step.name}.log')}"
        return StepResult(name=step.name, seconds=time.monotonic() - began, exit_code=code, problem=problem)

    def _write_summary(self) -> None:
        gpu = gpu_state()
        packages = ("torch", "onnxruntime-gpu", "onnxruntime", "tensorrt", "pycuda", "openvino", "onnx")
        summary = {
            "commit": source_commit(),
            "gpu": None if gpu is None else asdict(gpu),
            "processor": asdict(describe_processor()),
            "packages": {name: package_version(name) for name in packages},
            "steps": [asdict(result) for result in self.results],
            "reports": {name: json.loads(file.read_text(encoding="utf-8")) for name, file in self._reports()},
        }
        (self.config.out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")

    def _reports(self) -> list[tuple[str, Path]]:
        """Figures of the steps that wrote some."""
        files = [(result.name, self.config.out / f"{result.name}.json") for result in self.results]
        return [(name, file) for name, file in files if file.is_file()]


def plan(config: SessionConfig, base: Path) -> tuple[Step, ...]:
    """The steps after the first, the most valuable before the others; `base` is the folder of its model."""
    steps: list[Step] = []
    for engine in config.engines:
        if engine == "tensorrt":
            steps += [_build(config, str(base), "build"), _measure(config, str(base), engine, engine)]
        else:
            steps.append(_measure(config, str(base), engine, engine))
    for engine in config.engines:
        if engine == "tensorrt":
            steps += [_build(config, "edge", "build-edge"), _measure(config, "edge", engine, "edge-tensorrt")]
        elif not engine.startswith("torch"):
            steps.append(_measure(config, "edge", engine, f"edge-{engine}"))
    if config.checks:
        doctor = ("-m", "adasr", "doctor", "--engine", "auto", "--json", str(config.out / "doctor.json"))
        # 1: too slow for a call, which is worth knowing and no fault.
        steps.append(Step(name="doctor", arguments=doctor, limit_s=60, answers=(0, 1)))
        steps.append(Step(name="tests", arguments=("-m", "pytest", "-q", "-m", "gpu", *_TESTS), limit_s=180))
    return tuple(steps)


def last_line(log: Path) -> str:
    """What a process said last; "no output" when it said nothing."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "no output")


def _bench(config: SessionConfig, model: str, engine: str, name: str, runs: int) -> tuple[str, ...]:
    json_file = str(config.out / f"{name}.json")
    return (
        "-m",
        "adasr",
        "bench",
        "speed",
        "--model",
        model,
        "--engine",
        engine,
        "--runs",
        str(runs),
        "--json",
        json_file,
    )


def _measure(config: SessionConfig, model: str, engine: str, name: str) -> Step:
    arguments = (*_bench(config, model, engine, name, config.runs), "--batch", ",".join(map(str, config.batches)))
    if config.published and engine.startswith("torch"):
        arguments = (*arguments, "--published")
    return Step(name=name, arguments=arguments, limit_s=240 if engine.startswith("torch") else 120)


def _build(config: SessionConfig, model: str, name: str) -> Step:
    batches = tuple(str(batch) for batch in sorted({1, *config.batches}))
    arguments = ("-m", "adasr", "export", "engine", "--model", model, "--batch", *batches, "--check")
    return Step(name=name, arguments=arguments, limit_s=200)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; exit code 1 when a step failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the results")
    parser.add_argument("--engines", default=",".join(SessionConfig(out=Path()).engines), metavar="LIST")
    parser.add_argument("--batch", default="1,8,32", metavar="LIST", help="streams in one launch (1,8,32)")
    parser.add_argument("--runs", type=int, default=RUNS, metavar="N", help="measured runs of each part (200)")
    parser.add_argument("--budget", type=float, default=BUDGET_S, metavar="S", help="seconds for everything (480)")
    parser.add_argument("--no-published", action="store_true", help="leave the published generator out")
    parser.add_argument("--no-checks", action="store_true", help="leave the doctor and the tests marked gpu out")
    args = parser.parse_args(argv)
    config = SessionConfig(
        out=args.out,
        engines=tuple(args.engines.split(",")),
        batches=tuple(int(batch) for batch in args.batch.split(",")),
        runs=args.runs,
        published=not args.no_published,
        checks=not args.no_checks,
        budget_s=args.budget,
    )
    return 0 if Session(config).run() else 1


if __name__ == "__main__":
    sys.exit(main())
