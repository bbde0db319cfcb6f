"""A bounded queue between threads that forgets the oldest item rather than grow or block.

Old motion is worth nothing: a receiver that fell behind wants the newest frame. A queue may have several lanes, each
with its own bound; lower lanes are taken first, and items of one lane keep their order.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class DropOldestQueue(Generic[Item]):
    """First in, first out within a lane, at most ``capacities[lane]`` items in it; putting never blocks.

    Safe for any number of threads. ``close`` wakes every waiter; what is queued can still be taken.
    """

    def __init__(self, *capacities: int) -> None:
        """Make an empty queue with one lane for every capacity.

        Raises:
            ValueError: no lane, or a capacity that is not positive.
        """
        if not capacities or min(capacities) < 1:
            raise ValueError(f"queue capacities: got {capacities}, expected at least one, each at least 1")
        self._lanes: tuple[deque[Item], ...] = tuple(deque() for _ in capacities)
        self._capacities = capacities
        self._dropped = [0] * len(capacities)
        self._condition = threading.Condition()
        self._closed = False

    @property
    def dropped(self) -> int:
        """Items forgotten so far, over all lanes."""
        return sum(self._dropped)

    @property
    def closed(self) -> bool:
        """True once ``close`` was called."""
        return self._closed

    def __len__(self) -> int:
        """Items waiting."""
        return sum(len(lane) for lane in self._lanes)

    def put(self, item: Item, lane: int = 0) -> bool:
        """Append an item; returns False when an older one had to go (or the queue is closed)."""
        with self._condition:
            if self._closed:
                return False
            items = self._lanes[lane]
            full = len(items) >= self._capacities[lane]
            if full:
                items.popleft()
                self._dropped[lane] += 1
            items.append(item)
            self._condition.notify()
            return not full

    def take(self, timeout_s: float | None = None) -> Item | None:
        """Remove the next item; None when the time is over, or closed and empty."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self._condition:
            while True:
                for items in self._lanes:
                    if items:
                        return items.popleft()
                remaining = None if deadline is None else deadline - time.monotonic()
                if self._closed or (remaining is not None and remaining <= 0):
                    return None
                self._condition.wait(remaining)

    def close(self) -> None:
        """Refuse further items and wake every waiter."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
