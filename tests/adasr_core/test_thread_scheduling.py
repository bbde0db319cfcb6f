"""No thread stays in a real-time class."""

from __future__ import annotations

import os
import sys

import pytest

from adasr_core.thread_scheduling import ordinary_scheduling

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="scheduling classes are Linux's")


def classes() -> set[int]:
    """Scheduling classes of this process's threads."""
    return {os.sched_getscheduler(int(thread)) for thread in os.listdir("/proc/self/task")}


def test_a_thread_that_went_real_time_comes_back() -> None:
    before = classes()
    with ordinary_scheduling():
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        except PermissionError:
            pytest.skip("this account may not enter a real-time class, so no library of ours does either")
        assert os.sched_getscheduler(0) == os.SCHED_FIFO
    assert classes() == before


def test_it_comes_back_after_an_error_too() -> None:
    before = classes()

    def fail() -> None:
        with ordinary_scheduling():
            raise OSError("no encoder")

    with pytest.raises(OSError, match="no encoder"):
        fail()
    assert classes() == before
