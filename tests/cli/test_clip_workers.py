"""Clips in several processes: results in the order of the clips, errors as if there were one."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from adasr.clip_workers import WorkPlan, work_on_clips
from adasr.progress import ProgressReport

Task = Callable[[Path, ProgressReport], tuple[str, int, int, str | None]]


def describe(threads: int) -> Task:
    """A task that says who worked on what; a clip named "bad" is one, and "fatal" kills its process."""

    def task(clip: Path, progress: ProgressReport) -> tuple[str, int, int, str | None]:
        progress("reading", 1, 1)
        if clip.stem == "bad":
            raise ValueError(f"{clip.name}: got nothing, expected a face")
        if clip.stem == "fatal":
            os._exit(9)
        return clip.stem, threads, os.getpid(), os.environ.get("OMP_NUM_THREADS")

    return task


def test_cores_are_shared_out() -> None:
    assert WorkPlan.of(8, None, cores=2) == WorkPlan(2, 1)
    assert WorkPlan.of(1, None, cores=4) == WorkPlan(1, 4)
    assert WorkPlan.of(3, None, cores=8) == WorkPlan(3, 2)
    assert WorkPlan.of(5, 1, cores=2) == WorkPlan(1, 2)
    assert WorkPlan.of(5, 4, cores=2) == WorkPlan(4, 1)
    assert WorkPlan.of(5, None, engine="tensorrt", cores=2) == WorkPlan(1, 2)
    # Memory bounds the processes, the fit the threads.
    assert WorkPlan.of(100, None, cores=64) == WorkPlan(8, 8)


def test_one_worker_is_this_process(tmp_path: Path) -> None:
    clips = [tmp_path / name for name in ("b.mp4", "a.mp4")]
    results = work_on_clips(describe, clips, WorkPlan(1, 3))
    assert [(name, threads, pid) for name, threads, pid, _ in results] == [("b", 3, os.getpid()), ("a", 3, os.getpid())]


def test_workers_keep_the_order_and_leave_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    clips = [tmp_path / f"{name}.mp4" for name in "dcba"]
    results = work_on_clips(describe, clips, WorkPlan(2, 1))
    assert [name for name, *_ in results] == list("dcba")
    assert os.getpid() not in {pid for _, _, pid, _ in results}
    assert {(threads, libraries) for _, threads, _, libraries in results} == {(1, "1")}
    assert os.environ["OMP_NUM_THREADS"] == "7"


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [("bad", ValueError, "bad.mp4: got nothing"), ("fatal", OSError, "give --workers a smaller number")],
)
def test_errors_of_workers(name: str, error: type[Exception], text: str, tmp_path: Path) -> None:
    clips = [tmp_path / "good.mp4", tmp_path / f"{name}.mp4", tmp_path / "later.mp4"]
    with pytest.raises(error, match=text):
        work_on_clips(describe, clips, WorkPlan(2, 1))
