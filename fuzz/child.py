"""One target under one engine in a process of its own: ``python -m fuzz.child TARGET ENGINE ...``, for the runner."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from fuzz.engines import Budget, run_atheris, run_mutator


def main() -> None:
    """Run; the exit code is 0 when the law held."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("engine", choices=("atheris", "mutator"))
    parser.add_argument("runs", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("seed", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("figures", type=Path)
    arguments = parser.parse_args()
    budget = Budget(runs=arguments.runs, seconds=arguments.seconds, seed=arguments.seed)
    if arguments.engine == "atheris":
        run_atheris(arguments.target, budget, arguments.folder, arguments.figures)
    else:
        figures = run_mutator(arguments.target, budget, arguments.folder).figures
        arguments.figures.write_text(json.dumps(figures.as_dict()))


if __name__ == "__main__":
    main()
