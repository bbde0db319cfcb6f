"""Every fuzz target for a moment: the law holds on plainly mutated seeds, and under atheris where it is installed.

The long runs are `python -m fuzz all`; docs/fuzzing.md has their figures.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz.engines import Budget, has_atheris
from fuzz.runner import run_target
from fuzz.targets import TARGETS

RUNS = 3000
SWALLOWS = ("datagram", "sctp")
"""Targets that drop what they do not like, and say nothing."""


def test_every_module_of_a_target_is_listed() -> None:
    import fuzz.targets

    modules = {path.stem for path in Path(fuzz.targets.__path__[0]).glob("*.py")} - {"__init__"}
    assert modules == set(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_mutated_seeds_parse_or_are_refused(name: str, tmp_path: Path) -> None:
    report = run_target(name, "mutator", Budget(runs=RUNS, seconds=20), tmp_path)
    assert report.ok, report.tail
    assert report.figures is not None
    assert report.figures.executions == RUNS
    # Seeds that nothing damages, and a check that refuses all or nothing, would both be no test.
    assert report.figures.parsed > 0
    assert (report.figures.parsed == RUNS) == (name in SWALLOWS)


@pytest.mark.skipif(not has_atheris(), reason="atheris is not installed: only the plain mutator ran")
@pytest.mark.parametrize("name", ["reference_packet", "entropy", "control"])
def test_atheris_finds_branches(name: str, tmp_path: Path) -> None:
    report = run_target(name, "atheris", Budget(runs=2000, seconds=20), tmp_path)
    assert report.ok, report.tail
    assert report.figures is not None
    assert report.figures.executions == 2000
    assert report.coverage is not None
    assert report.coverage > 15
    assert list((tmp_path / name / "corpus").iterdir())
