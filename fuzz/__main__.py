"""The command line: ``python -m fuzz TARGET|all [--runs N] [--seconds S]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fuzz.engines import Budget, Engine, has_atheris
from fuzz.runner import add_to_ledger, read_ledger, run_target, table
from fuzz.targets import TARGETS


def main() -> int:
    """Run the targets and print their figures; 1 when one broke the law."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    choices = (*TARGETS, "all", "totals")
    parser.add_argument("target", choices=choices, metavar="TARGET|all|totals", help=", ".join(TARGETS))
    parser.add_argument("--runs", type=int, default=100_000, help="executions a target")
    parser.add_argument("--seconds", type=float, default=60, help="time a target")
    parser.add_argument("--seed", type=int, default=1, help="of the random numbers")
    parser.add_argument(
        "--engine", choices=("atheris", "mutator"), help="default: atheris where it is installed, else the mutator"
    )
    parser.add_argument("--folder", type=Path, default=Path("runs/fuzz"), help="for logs, corpora and failing inputs")
    arguments = parser.parse_args()
    folder: Path = arguments.folder.resolve()
    ledger = folder / "ledger.jsonl"
    if arguments.target == "totals":
        if not ledger.exists():
            parser.error(f"{ledger} is not there: run a target first")
        print(table(read_ledger(ledger, folder)))
        return 0
    engine: Engine = arguments.engine or ("atheris" if has_atheris() else "mutator")
    if engine == "mutator" and not arguments.engine:
        print("atheris is not installed (pip install atheris==3.0.0): mutating at random, blind to coverage")
    budget = Budget(runs=arguments.runs, seconds=arguments.seconds, seed=arguments.seed)
    reports = []
    for name in TARGETS if arguments.target == "all" else (arguments.target,):
        report = run_target(name, engine, budget, folder)
        add_to_ledger([report], ledger)
        reports.append(report)
        if not report.ok:
            print(f"{name} FAILED, see {report.log}:\n{report.tail}\n", file=sys.stderr)
        else:
            print(f"{name}: {report.rate:,.0f} executions/s", file=sys.stderr)
    print(table(reports))
    return int(any(not report.ok for report in reports))


if __name__ == "__main__":
    sys.exit(main())
