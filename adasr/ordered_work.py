"""Work on several cores whose results come in the order of the items, whatever the number of threads.

What runs in these threads is inference and OpenCV, which let go of Python's lock.
"""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_THREADS = 8
"""Threads of one clip's work by default: the fit goes from frame to frame, so that more would only wait for it."""

_AHEAD = 2


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_threads() -> int:
    """One for each core, `MAX_THREADS` at most."""
    return min(usable_cores(), MAX_THREADS)


def in_order(function: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Generator[Result, None, None]:
    """Results of `function` in the order of `items`; the items are drawn by the caller's thread.

    So many `threads` work ahead of the caller, by two items each at most: that bounds what is held. One thread is the
    caller's own, and works on an item when its result is asked for. An error of an item is raised in its place, an
    error of `items` as soon as it is met; work under way is waited for, the rest is dropped.
    """
    if threads == 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > _AHEAD * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
