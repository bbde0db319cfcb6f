"""Clips worked on side by side: a process for each, or one after the other in this one.

One thread in each of two processes does 1.6 times the work of two threads on one inference, and nothing waits for the
fit, which goes from frame to frame.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import cv2

from adasr.ordered_work import MAX_THREADS, usable_cores
from adasr.progress import ClipReport, ProgressReport, clip_bars, no_progress, progress_bars
from adasr_core.engines.face_model import GPU_ENGINES
from adasr_core.engines.runner import EngineName

Result = TypeVar("Result")
ClipTask = Callable[[Path, ProgressReport], Result]
"""What is done with one clip."""

MAX_WORKERS = 8
"""Processes by default: each takes about a gigabyte."""

_LIBRARY_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class WorkPlan:
    """workers: clips at once. threads: of each of them."""

    workers: int
    threads: int

    @classmethod
    def of(
        cls, clips: int, workers: int | None, *, engine: EngineName = "openvino", cores: int | None = None
    ) -> WorkPlan:
        """Share the cores out.

        Args:
            clips: how many there are, 1 or more.
            workers: clips at once at most; None is one for each core, `MAX_WORKERS` at most, and one alone on a GPU.
            engine: what runs the networks.
            cores: None for those that this process may run on.
        """
        cores = usable_cores() if cores is None else cores
        if workers is None:
            workers = 1 if engine in GPU_ENGINES else min(cores, MAX_WORKERS)
        count = min(clips, workers)
        return cls(count, max(1, min(cores // count, MAX_THREADS)))


def work_on_clips(prepare: Callable[[int], ClipTask[Result]], clips: Sequence[Path], plan: WorkPlan) -> list[Result]:
    """The results of a task on every clip, in the order of the clips, with progress bars.

    Args:
        prepare: makes the task, given the threads that it may use; called once in every process, so a function of a
            module or a `functools.partial` of one, with arguments that can be pickled.
        clips: the files.
        plan: how many at once. One works in this process.

    Raises:
        OSError: a worker process was killed.
        Exception: what the task raised on a clip; the other clips are left at once.
    """
    if plan.workers == 1:
        task = prepare(plan.threads)
        results = []
        for clip in clips:
            with progress_bars() as progress:
                results.append(task(clip, progress))
        return results
    context = multiprocessing.get_context("spawn")
    before = set(multiprocessing.active_children())
    with _library_threads(plan.threads), _reports(context.SimpleQueue()) as reports:
        pool = ProcessPoolExecutor(plan.workers, context, initializer=_begin, initargs=(prepare, plan.threads, reports))
        try:
            waiting = [pool.submit(_work, clip) for clip in clips]
            finished = [future.result() for future in waiting]
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            # A clip takes minutes; nobody waits for it to end.
            for process in set(multiprocessing.active_children()) - before:
                process.terminate()
                process.join()
            if isinstance(error, BrokenProcessPool):
                raise OSError(
                    f"one of {plan.workers} worker processes was killed, mostly for want of memory: give --workers a "
                    "smaller number"
                ) from error
            raise
        pool.shutdown()
    return finished


@contextmanager
def _library_threads(threads: int) -> Iterator[None]:
    """Let processes that are started in the block use so many threads in numpy and torch, which read it at import."""
    before = {name: os.environ.get(name) for name in _LIBRARY_THREADS}
    os.environ |= dict.fromkeys(_LIBRARY_THREADS, str(threads))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


_Report = tuple[str, str, int, int | None]


@contextmanager
def _reports(queue: SimpleQueue[_Report | None]) -> Iterator[SimpleQueue[_Report | None] | None]:
    """A queue whose reports are shown as bars; None where nobody watches."""
    with clip_bars() as shown:
        if shown is None:
            yield None
            return
        thread = Thread(target=_show, args=(queue, shown), daemon=True)
        thread.start()
        try:
            yield queue
        finally:
            queue.put(None)
            thread.join()


def _show(queue: SimpleQueue[_Report | None], shown: ClipReport) -> None:
    while (report := queue.get()) is not None:
        shown(*report)


class _Worker:
    """What a worker process knows; the task is made with its first clip, so that its errors are that clip's."""

    def __init__(
        self, prepare: Callable[[int], ClipTask[Any]], threads: int, reports: SimpleQueue[_Report | None] | None
    ) -> None:
        self._prepare, self._threads, self._reports = prepare, threads, reports
        self._task: ClipTask[Any] | None = None

    def work(self, clip: Path) -> Any:
        if self._task is None:
            self._task = self._prepare(self._threads)
        reports = self._reports
        if reports is None:
            return self._task(clip, no_progress)

        def report(stage: str, done: int, total: int | None) -> None:
            reports.put((clip.stem, stage, done, total))

        return self._task(clip, report)


_worker: _Worker | None = None


def _begin(prepare: Callable[[int], ClipTask[Any]], threads: int, reports: SimpleQueue[_Report | None] | None) -> None:
    """First thing in a worker process."""
    global _worker
    # Ctrl-C reaches every process of the terminal; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(threads)
    _worker = _Worker(prepare, threads, reports)


def _work(clip: Path) -> Any:
    assert _worker is not None
    return _worker.work(clip)
