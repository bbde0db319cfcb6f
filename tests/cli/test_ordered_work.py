"""Work on several threads comes back in order, bounded, and its errors in their place."""

import threading
from collections.abc import Iterator

import pytest

from adasr.ordered_work import default_threads, in_order, usable_cores


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_items(threads: int) -> None:
    assert list(in_order(lambda item: item * item, range(40), threads)) == [n * n for n in range(40)]
    assert list(in_order(lambda item: item, [], threads)) == []


def test_threads_work_at_the_same_time() -> None:
    meeting = threading.Barrier(3, timeout=10)
    # Nobody passes the barrier alone.
    assert list(in_order(lambda _: meeting.wait() >= 0, range(6), 3)) == [True] * 6


@pytest.mark.parametrize("threads", [1, 3])
def test_items_are_drawn_a_few_ahead_and_by_the_caller(threads: int) -> None:
    drawn: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            assert threading.current_thread() is threading.main_thread()
            drawn.append(number)
            yield number

    results = in_order(lambda item: item, items(), threads)
    assert next(results) == 0
    assert len(drawn) <= 1 + 2 * threads
    results.close()


def test_an_error_comes_in_its_place() -> None:
    def inverse(item: int) -> float:
        return 1 / item

    results = in_order(inverse, [1, 2, 0, 4], 2)
    assert [next(results), next(results)] == [1.0, 0.5]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_default_is_bounded() -> None:
    assert 1 <= default_threads() <= min(8, usable_cores())
