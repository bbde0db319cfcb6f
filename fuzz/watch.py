"""The law that every target is held to, and the figures of a run."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass

from fuzz.target import Target

MAX_SECONDS = 0.1
MAX_EXTRA_BYTES = 64 * 1024 * 1024
_DOUBTED_MS = 3.0
_REPEATS = 4


class LawBrokenError(AssertionError):
    """An input crashed a parser, took it too long, or cost it too much memory."""


@dataclass(slots=True)
class Figures:
    """What a run of one target came to.

    executions: inputs tried. parsed: those that the parser took. slowest_ms: processor time of the slowest of
        them, the best of five runs of it. slowest_input: its first 64 bytes in hex.
    peak_extra_bytes: growth of the process's memory (high-water mark of the resident set) from the first execution to
        the end of the run, everything included; None where the system does not say. largest_step_bytes: the largest
        part of that in one execution.
    """

    executions: int = 0
    parsed: int = 0
    slowest_ms: float = 0.0
    slowest_input: str = ""
    peak_extra_bytes: int | None = 0
    largest_step_bytes: int | None = 0

    def as_dict(self) -> dict[str, object]:
        """For a JSON report."""
        return asdict(self)


class Watch:
    """Runs inputs through a target and holds it to the law."""

    def __init__(self, target: Target, max_seconds: float = MAX_SECONDS) -> None:
        """Run every seed twice, so that caches and lazy imports do not count.

        max_seconds: processor time that one input may take.

        Raises:
            LawBrokenError: a seed is refused: its encoder and its parser disagree.
        """
        self._target = target
        self._max_ms = 1000 * max_seconds
        self.figures = Figures()
        for seed in target.seeds * 2:
            try:
                target.check(seed)
            except target.errors as error:
                raise LawBrokenError(f"seed {_shown(seed)} is refused: {error}") from error
        self._start: int | None = None
        self._peak: int | None = None

    def run(self, data: bytes) -> None:
        """Try one input.

        Raises:
            LawBrokenError: it took above `max_seconds` or 64 MiB.
            Exception: whatever the parser raised that is not in its documentation.
        """
        figures = self.figures
        if not figures.executions:
            # Here, not in the constructor: what the engine takes for itself in between is not the parser's.
            self._start = self._peak = peak_resident_bytes()
            if self._start is None:
                figures.peak_extra_bytes = figures.largest_step_bytes = None
        figures.executions += 1
        start = time.process_time_ns()
        parsed = self._parses(data)
        milliseconds = (time.process_time_ns() - start) / 1e6
        figures.parsed += parsed
        if milliseconds > figures.slowest_ms:
            if milliseconds > _DOUBTED_MS:
                milliseconds = self._least_ms(data, milliseconds)
            if milliseconds > figures.slowest_ms:
                figures.slowest_ms, figures.slowest_input = milliseconds, data[:64].hex()
            if milliseconds > self._max_ms:
                raise LawBrokenError(f"input {_shown(data)}: took {milliseconds:.0f} ms, at most {self._max_ms}")
        self._check_memory(data)

    def _parses(self, data: bytes) -> bool:
        try:
            self._target.check(data)
        except self._target.errors:
            return False
        return True

    def _least_ms(self, data: bytes, milliseconds: float) -> float:
        """The least of some more runs: collecting garbage or a cold cache may have cost the first one."""
        for _ in range(_REPEATS):
            start = time.process_time_ns()
            self._parses(data)
            milliseconds = min(milliseconds, (time.process_time_ns() - start) / 1e6)
        return milliseconds

    def _check_memory(self, data: bytes) -> None:
        peak = peak_resident_bytes()
        if peak is None or self._peak is None or self._start is None or peak == self._peak:
            return
        step, self._peak = peak - self._peak, peak
        figures = self.figures
        figures.largest_step_bytes = max(figures.largest_step_bytes or 0, step)
        figures.peak_extra_bytes = peak - self._start
        if step > MAX_EXTRA_BYTES:
            raise LawBrokenError(f"input {_shown(data)}: took {step} bytes of memory, at most {MAX_EXTRA_BYTES}")


def peak_resident_bytes() -> int | None:
    """The process's resident set at its largest so far; None where the system does not say."""
    if sys.platform == "win32":
        return None  # no high-water mark that the standard library reads
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _shown(data: bytes) -> str:
    return f"{data[:48].hex()}{'...' if len(data) > 48 else ''} ({len(data)} bytes)"
