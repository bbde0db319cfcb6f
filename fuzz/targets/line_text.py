"""The text of an emulated line, as somebody types it."""

from __future__ import annotations

import dataclasses
import math

from call.emulated_line import parse_line
from fuzz.target import Target


def build() -> Target:
    """Any text is refused with ValueError or gives numbers that a line can run with."""
    seeds = (b"loss=0.05,burst=8,delay_ms=80", b"jitter_ms=50,reorder=0.1,rate_kbps=100,seed=3,handshake=1")
    return Target(check=_check, errors=(ValueError,), seeds=seeds, max_bytes=200)


def _check(data: bytes) -> None:
    line = parse_line(data.decode("utf-8", "replace"))
    assert all(math.isfinite(value) for value in dataclasses.astuple(line))
