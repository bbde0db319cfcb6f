"""Memory that a piece of code takes at its peak, C libraries included."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

MEBIBYTE = 1024 * 1024

needs_peak = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process reset its peak of memory")


def extra_bytes(run: Callable[[], object]) -> int:
    """Peak of the resident set during `run` above what it was before, in bytes."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = _peak_bytes()
    run()
    return _peak_bytes() - before


def _peak_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("/proc/self/status has no VmHWM")
