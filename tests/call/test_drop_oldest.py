import threading
import time

import pytest

from call.drop_oldest import DropOldestQueue


def test_the_oldest_goes_first_when_it_is_full() -> None:
    queue: DropOldestQueue[int] = DropOldestQueue(3)
    assert [queue.put(n) for n in range(5)] == [True, True, True, False, False]
    assert queue.dropped == 2
    assert [queue.take(0) for _ in range(4)] == [2, 3, 4, None]


def test_lanes_are_bounded_apart_and_taken_in_order() -> None:
    queue: DropOldestQueue[str] = DropOldestQueue(8, 1)
    for item, lane in (("motion 1", 1), ("event 1", 0), ("motion 2", 1), ("event 2", 0)):
        queue.put(item, lane)
    assert len(queue) == 3
    assert [queue.take(0) for _ in range(4)] == ["event 1", "event 2", "motion 2", None]


def test_taking_waits_for_putting() -> None:
    queue: DropOldestQueue[int] = DropOldestQueue(1)
    threading.Timer(0.05, queue.put, (7,)).start()
    start = time.monotonic()
    assert queue.take(2.0) == 7
    assert time.monotonic() - start < 1.0


def test_closing_wakes_a_waiter_and_keeps_what_is_there() -> None:
    queue: DropOldestQueue[int] = DropOldestQueue(2)
    taken: list[int | None] = []
    waiter = threading.Thread(target=lambda: taken.append(queue.take()))
    waiter.start()
    queue.close()
    waiter.join(2.0)
    assert taken == [None]
    other: DropOldestQueue[int] = DropOldestQueue(2)
    other.put(1)
    other.close()
    assert not other.put(2)
    assert other.take() == 1
    assert other.take() is None


def test_many_threads_lose_nothing_but_what_is_counted() -> None:
    queue: DropOldestQueue[int] = DropOldestQueue(64)
    taken: list[int] = []

    def consume() -> None:
        while (item := queue.take()) is not None:
            taken.append(item)

    consumers = [threading.Thread(target=consume) for _ in range(3)]
    producers = [threading.Thread(target=lambda k=k: [queue.put(k * 1000 + n) for n in range(1000)]) for k in range(3)]
    for thread in consumers + producers:
        thread.start()
    for thread in producers:
        thread.join()
    queue.close()
    for thread in consumers:
        thread.join()
    assert len(taken) + queue.dropped == 3000
    assert len(set(taken)) == len(taken)


@pytest.mark.parametrize("capacities", [(), (0,), (4, -1)])
def test_a_queue_without_room_is_refused(capacities: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least"):
        DropOldestQueue(*capacities)
