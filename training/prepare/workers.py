"""Mapping `prepare_video` over a data set: processes of this machine, or Ray on a cluster."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from training.prepare.job import VideoJob
from training.prepare.record import VideoRecord, failed_record
from training.prepare.settings import PrepareSettings
from training.prepare.video import prepare_video

_DIED = "the process that prepared it died; out of memory, or a fault in a decoder. Convert the video and try again"


def map_locally(
    jobs: Sequence[VideoJob], settings: PrepareSettings, out: Path, *, workers: int
) -> Iterator[VideoRecord]:
    """Prepare videos in `workers` processes; yields each record as its video ends.

    A process that dies breaks the pool. What was in work then is tried once more, each video alone, so that the one
    which kills its process is found and the others are prepared.

    Raises:
        ValueError: `workers` is below 1.
        MediaPipeMissingError: MediaPipe is not installed.
    """
    if workers < 1:
        raise ValueError(f"workers: got {workers}, expected 1 or more")
    waiting = deque(jobs)
    while waiting:
        in_work_at_death: list[VideoJob] = []
        yield from _map_in_pool(waiting, settings, out, workers, in_work_at_death)
        for job in in_work_at_death:
            with _pool(1) as alone:
                try:
                    yield alone.submit(prepare_video, job, settings, out).result()
                except BrokenProcessPool:
                    yield failed_record(job, settings, _DIED)


def _map_in_pool(
    waiting: deque[VideoJob],
    settings: PrepareSettings,
    out: Path,
    workers: int,
    in_work_at_death: list[VideoJob],
) -> Iterator[VideoRecord]:
    """Take jobs from `waiting` until none is left or a process dies; then say what was in work."""
    running: dict[Future[VideoRecord], VideoJob] = {}
    with _pool(min(workers, len(waiting))) as pool:
        while running or (waiting and not in_work_at_death):
            # No more jobs than processes: when one dies, few are suspects.
            while waiting and not in_work_at_death and len(running) < workers:
                job = waiting.popleft()
                try:
                    running[pool.submit(prepare_video, job, settings, out)] = job
                except BrokenProcessPool:
                    in_work_at_death.append(job)
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                job = running.pop(future)
                try:
                    yield future.result()
                except BrokenProcessPool:
                    in_work_at_death.append(job)


def _pool(workers: int) -> ProcessPoolExecutor:
    # Spawned, not forked: MediaPipe's and OpenCV's threads do not survive a fork.
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker)


def _start_worker() -> None:
    """Make a worker end quietly on Ctrl-C, and with its parent however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent is not None, "runs in a worker only"

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def map_on_ray(
    jobs: Sequence[VideoJob], settings: PrepareSettings, out: Path, *, address: str, workers: int
) -> Iterator[VideoRecord]:
    """Prepare videos on a Ray cluster, one CPU each; yields each record as its video ends.

    Every machine needs this package, MediaPipe, and the videos and `out` under the same names (a shared file system).

    Args:
        jobs: the videos.
        settings: how to prepare.
        out: the data set's folder.
        address: of the cluster, ``auto`` for the one that this machine belongs to, ``local`` to start one here.
        workers: CPUs of a cluster that is started here.

    Raises:
        ValueError: Ray is not installed.
        ConnectionError: there is no cluster at that address.
        MediaPipeMissingError: MediaPipe is not installed on a machine of the cluster.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ValueError("--ray needs Ray: pip install 'adasr[cluster]'") from error
    here = address == "local"
    ray.init(
        address="local" if here else address,
        num_cpus=workers if here else None,
        include_dashboard=False if here else None,
        log_to_driver=False,
    )
    try:
        remote = ray.remote(num_cpus=1, max_retries=1)(prepare_video)
        # Enough to keep every machine busy, few enough that a list of a million videos needs no memory.
        at_once = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))  # type: ignore[no-untyped-call]
        waiting = deque(jobs)
        running: dict[ray.ObjectRef[VideoRecord], VideoJob] = {}
        while waiting or running:
            while waiting and len(running) < at_once:
                job = waiting.popleft()
                running[remote.remote(job, settings, out)] = job
            done, _ = ray.wait(list(running), num_returns=1)
            for reference in done:
                job = running.pop(reference)
                try:
                    yield ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    raise error.as_instanceof_cause() from error  # type: ignore[no-untyped-call]
                except ray.exceptions.RayError:
                    yield failed_record(job, settings, _DIED)
    finally:
        ray.shutdown()
