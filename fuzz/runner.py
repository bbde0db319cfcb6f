"""Runs targets one after the other, each in a process of its own, and collects their figures."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from fuzz.engines import Budget, Engine
from fuzz.watch import Figures

_COVERAGE = re.compile(r"cov: (\d+)")
_LOG_TAIL = 25
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""A target takes one core; threads of numpy's that wait for each other would be measured as slow inputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetReport:
    """What one run of one target came to.

    name, engine: which. seconds: time of the whole process, its start included. ok: the law held. figures: None when
    the process died before it could write them. coverage: edges of the instrumented code, None without atheris.
    log: the process's output. tail: its last lines.
    """

    name: str
    engine: Engine
    seconds: float
    ok: bool
    figures: Figures | None
    coverage: int | None
    log: Path
    tail: str

    @property
    def rate(self) -> float:
        """Executions a second."""
        return self.figures.executions / self.seconds if self.figures else 0.0


def run_target(name: str, engine: Engine, budget: Budget, folder: Path) -> TargetReport:
    """Run one target.

    folder: where logs, corpora and failing inputs go (made when it is not there).
    """
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    figures_file, log = place / "figures.json", place / "log.txt"
    figures_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "fuzz.child", name, engine, str(budget.runs), str(budget.seconds)]
    command += [str(budget.seed), str(place), str(figures_file)]
    start = time.monotonic()
    with log.open("wb") as stream:
        done = subprocess.run(
            command,
            cwd=Path(__file__).resolve().parents[1],
            env=os.environ | _ONE_THREAD,
            stdout=stream,
            stderr=subprocess.STDOUT,
            check=False,
        )
    seconds = time.monotonic() - start
    output = log.read_text(errors="replace")
    coverage = [int(found) for found in _COVERAGE.findall(output)]
    figures = Figures(**json.loads(figures_file.read_text())) if figures_file.exists() else None
    return TargetReport(
        name=name,
        engine=engine,
        seconds=seconds,
        ok=done.returncode == 0 and figures is not None,
        figures=figures,
        coverage=max(coverage) if coverage else None,
        log=log,
        tail="\n".join(output.splitlines()[-_LOG_TAIL:]),
    )


def add_to_ledger(reports: list[TargetReport], ledger: Path) -> None:
    """Append the reports to a file of one JSON object a line, from which totals over many runs are made."""
    with ledger.open("a") as stream:
        for report in reports:
            entry = {
                "target": report.name,
                "engine": report.engine,
                "seconds": round(report.seconds, 1),
                "ok": report.ok,
                "coverage": report.coverage,
                "figures": report.figures.as_dict() if report.figures else None,
            }
            stream.write(json.dumps(entry) + "\n")


def read_ledger(ledger: Path, folder: Path) -> list[TargetReport]:
    """Totals by target and engine over all runs in a ledger: sums of executions and time, the largest of the rest."""
    totals: dict[tuple[str, Engine], TargetReport] = {}
    for line in ledger.read_text().splitlines():
        entry = json.loads(line)
        figures = Figures(**entry["figures"]) if entry["figures"] else None
        report = TargetReport(
            name=entry["target"],
            engine=entry["engine"],
            seconds=entry["seconds"],
            ok=entry["ok"],
            figures=figures,
            coverage=entry["coverage"],
            log=folder / entry["target"] / "log.txt",
            tail="",
        )
        key = (report.name, report.engine)
        totals[key] = _joined(totals[key], report) if key in totals else report
    return list(totals.values())


def table(reports: list[TargetReport]) -> str:
    """The figures as a Markdown table with a line of totals."""
    lines = [
        "| target | engine | executions | per s | parsed | edges | slowest ms | extra MiB | largest step MiB | |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for report in reports:
        figures = report.figures
        if figures is None:
            lines.append(f"| {report.name} | {report.engine} | - | - | - | - | - | - | - | FAILED |")
            continue
        share = 100 * figures.parsed / max(1, figures.executions)
        cells = (
            report.name,
            report.engine,
            f"{figures.executions:,}",
            f"{report.rate:,.0f}",
            f"{share:.1f} %",
            "-" if report.coverage is None else str(report.coverage),
            f"{figures.slowest_ms:.1f}",
            _mebibytes(figures.peak_extra_bytes),
            _mebibytes(figures.largest_step_bytes),
            "ok" if report.ok else "FAILED",
        )
        lines.append(f"| {' | '.join(cells)} |")
    executions = sum(report.figures.executions for report in reports if report.figures)
    failed = sum(not report.ok for report in reports)
    targets = len({report.name for report in reports})
    lines.append(f"\n{executions:,} executions over {targets} targets, {failed} failed")
    return "\n".join(lines)


def _joined(one: TargetReport, other: TargetReport) -> TargetReport:
    if one.figures is None or other.figures is None:
        return replace(one, figures=one.figures or other.figures, ok=False)
    slower = max(one.figures, other.figures, key=lambda figures: figures.slowest_ms)
    figures = Figures(
        executions=one.figures.executions + other.figures.executions,
        parsed=one.figures.parsed + other.figures.parsed,
        slowest_ms=slower.slowest_ms,
        slowest_input=slower.slowest_input,
        peak_extra_bytes=_largest(one.figures.peak_extra_bytes, other.figures.peak_extra_bytes),
        largest_step_bytes=_largest(one.figures.largest_step_bytes, other.figures.largest_step_bytes),
    )
    return replace(
        one,
        seconds=one.seconds + other.seconds,
        ok=one.ok and other.ok,
        figures=figures,
        coverage=_largest(one.coverage, other.coverage),
    )


def _largest(one: int | None, other: int | None) -> int | None:
    known = [value for value in (one, other) if value is not None]
    return max(known) if known else None


def _mebibytes(size: int | None) -> str:
    return "not measured" if size is None else f"{size / 1024**2:.1f}"
