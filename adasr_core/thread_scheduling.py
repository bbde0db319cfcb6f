"""Keeps a library from holding up this process: by real-time threads, or by an answer that never comes.

SVT-AV1, opened by root on Linux, gives its threads and the one that opens it the class SCHED_FIFO at priority 99: from
then on nothing else on the machine runs while they do. And now and then its threads wait for each other for ever: 5 of
25,000 pictures of 512 px on two busy cores, 21 of 35,000 tiny ones back to back (version 4.1, low delay).
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

Result = TypeVar("Result")

_REAL_TIME_CLASSES = (1, 2)
"""SCHED_FIFO and SCHED_RR."""


@contextmanager
def ordinary_scheduling() -> Iterator[None]:
    """When the block ends, every thread of this process that is in a real-time class goes to the caller's own class.

    A caller that is in a real-time class itself changes nothing, and neither does another system than Linux.
    """
    if sys.platform != "linux":
        yield
        return
    scheduler, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        if scheduler not in _REAL_TIME_CLASSES:
            for thread in map(int, os.listdir("/proc/self/task")):
                # A thread may end between the listing and the question.
                with suppress(ProcessLookupError):
                    if os.sched_getscheduler(thread) in _REAL_TIME_CLASSES:
                        os.sched_setscheduler(thread, scheduler, parameters)


def finish_within(work: Callable[[], Result], seconds: float) -> tuple[Result, float]:
    """What `work` returns or raises, from a thread of its own, and how long it took, seconds.

    Raises:
        TimeoutError: it did not come back in time. Its thread goes on, and does not keep the process alive.
    """
    results: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    began = time.perf_counter()
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return results[0], time.perf_counter() - began
