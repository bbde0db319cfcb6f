"""The fuzzing tools themselves: a law that never fails and a mutator that changes nothing would find nothing."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fuzz.engines import FAILING_INPUT, Budget, run_mutator
from fuzz.mutator import Mutator
from fuzz.runner import TargetReport, add_to_ledger, read_ledger, run_target, table
from fuzz.sequences import joined, parted
from fuzz.target import Target, build_target
from fuzz.watch import Figures, LawBrokenError, Watch

held: list[bytearray] = []


def _target(check: Callable[[bytes], None]) -> Target:
    return Target(check=check, errors=(ValueError,), seeds=(b"seed",), max_bytes=100)


def _slow(data: bytes) -> None:
    end = time.process_time() + (0.15 if data == b"slow" else 0.0)
    while time.process_time() < end:
        pass


def _slow_once(data: bytes) -> None:
    if not held:
        held.append(bytearray())
        _slow(data)


def _large(data: bytes) -> None:
    if data == b"large":
        held.append(bytearray(b"x") * (100 * 1024 * 1024))


def _run_often(watch: Watch, data: bytes, times: int) -> None:
    for _ in range(times):
        watch.run(data)


def _wrong(data: bytes) -> None:
    if data == b"wrong":
        raise KeyError("not what the parser's documentation names")
    if data == b"refused":
        raise ValueError("refused")


def _only_seeds(data: bytes) -> None:
    if data != b"seed":
        raise KeyError(data)


def _refuse(data: bytes) -> None:
    raise ValueError("refused")


def test_what_parses_and_what_is_refused_is_counted() -> None:
    watch = Watch(_target(_wrong))
    for data in (b"fine", b"refused", b"fine"):
        watch.run(data)
    assert (watch.figures.executions, watch.figures.parsed) == (3, 2)
    with pytest.raises(KeyError):
        watch.run(b"wrong")


def test_a_hang_breaks_the_law() -> None:
    watch = Watch(_target(_slow))
    watch.run(b"quick")
    with pytest.raises(LawBrokenError, match=r"736c6f77 \(4 bytes\): took 1\d\d ms, at most 100"):
        watch.run(b"slow")
    assert watch.figures.slowest_input == b"slow".hex()


def test_one_slow_run_of_an_input_is_no_hang() -> None:
    held.clear()
    watch = Watch(_target(_slow_once))
    watch.run(b"slow")
    assert held
    assert watch.figures.slowest_ms < 100
    held.clear()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows tells no high-water mark of memory")
def test_too_much_memory_breaks_the_law() -> None:
    # The high-water mark of a process that once was larger hides this much: try on top of what it has been.
    floor = bytearray(b"x") * (64 * 1024 * 1024)
    # To touch this much memory for the first time can take a busy machine longer than an input may.
    watch = Watch(_target(_large), max_seconds=30.0)
    watch.run(b"small")
    try:
        with pytest.raises(LawBrokenError, match="bytes of memory"):
            _run_often(watch, b"large", 40)
    finally:
        held.clear()
        floor.clear()


def test_a_refused_seed_breaks_the_law() -> None:
    with pytest.raises(LawBrokenError, match="seed 73656564"):
        Watch(Target(check=_refuse, errors=(ValueError,), seeds=(b"seed",), max_bytes=9))


def test_targets_need_seeds_that_fit() -> None:
    with pytest.raises(ValueError, match="got 0"):
        Target(check=_wrong, errors=(ValueError,), seeds=(), max_bytes=9)
    with pytest.raises(ValueError, match="longest 10 bytes, of at most 9"):
        Target(check=_wrong, errors=(ValueError,), seeds=(bytes(10),), max_bytes=9)
    with pytest.raises(ValueError, match="'nothing', expected one of"):
        build_target("nothing")


def test_the_mutator_repeats_itself_for_a_seed_and_damages_in_every_way() -> None:
    seeds = (bytes(range(64)), b"\xff" * 8)
    streams = [Mutator(seeds, 80, seed) for seed in (5, 5, 6)]
    first, again, other = ([stream.next() for _ in range(3000)] for stream in streams)
    assert first == again != other
    assert max(map(len, first)) <= 80
    assert len(set(first)) > 2000
    cut = [data for data in first if data and seeds[0].startswith(data) and len(data) < 64]
    longer = [data for data in first if len(data) > 64]
    spliced = [data for data in first if data.endswith(b"\xff" * 3) and data.startswith(bytes(range(3)))]
    assert min(len(cut), len(longer), len(spliced)) > 10


def test_messages_join_and_part() -> None:
    messages = [b"", b"a", bytes(300)]
    assert list(parted(joined(messages))) == messages
    assert list(parted(b"\x00\x05ab")) == [b"ab"]
    assert list(parted(b"\x00")) == []


def test_budgets_are_above_zero() -> None:
    for runs, seconds in ((0, 1.0), (1, 0.0), (1, float("nan"))):
        with pytest.raises(ValueError, match="budget"):
            Budget(runs=runs, seconds=seconds)


def test_a_run_reports_its_figures_and_a_dead_one_fails(tmp_path: Path) -> None:
    report = run_target("entropy", "mutator", Budget(runs=50, seconds=30), tmp_path)
    assert report.ok
    assert report.figures is not None
    assert report.figures.executions == 50
    dead = run_target("nothing", "mutator", Budget(runs=50, seconds=30), tmp_path)
    assert not dead.ok
    assert dead.figures is None
    assert "'nothing', expected one of" in dead.tail
    assert "1 failed" in table([report, dead])


def test_totals_over_runs(tmp_path: Path) -> None:
    def report(executions: int, slowest_ms: float, ok: bool = True) -> TargetReport:
        figures = Figures(executions=executions, parsed=1, slowest_ms=slowest_ms, peak_extra_bytes=None)
        return TargetReport(
            name="akc", engine="mutator", seconds=2.0, ok=ok, figures=figures, coverage=None, log=tmp_path, tail=""
        )

    ledger = tmp_path / "ledger.jsonl"
    add_to_ledger([report(10, 3.0), report(1000, 2.0)], ledger)
    (total,) = read_ledger(ledger, tmp_path)
    assert total.figures is not None
    assert (total.figures.executions, total.figures.slowest_ms, total.ok, total.seconds) == (1010, 3.0, True, 4.0)
    add_to_ledger([report(1, 1.0, ok=False)], ledger)
    (total,) = read_ledger(ledger, tmp_path)
    assert not total.ok
    assert all(json.loads(line)["target"] == "akc" for line in ledger.read_text().splitlines())


def test_the_input_that_broke_the_law_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fuzz.engines.build_target", lambda name: _target(_only_seeds))
    with pytest.raises(KeyError):
        run_mutator("made up", Budget(runs=100, seconds=10), tmp_path)
    with pytest.raises(KeyError):
        _only_seeds((tmp_path / FAILING_INPUT).read_bytes())
