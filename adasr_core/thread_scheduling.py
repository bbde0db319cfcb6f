"""Keeps a library from putting this process's threads into the real-time class.

SVT-AV1, opened by root on Linux, gives its threads and the one that opens it the class SCHED_FIFO at priority 99: from
then on nothing else on the machine runs while they do.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

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
