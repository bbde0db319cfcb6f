"""How evenly frames were shown: which of those sent, the longest freeze, recovery after an outage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from adasr_core.bitstream import unwrap_u16


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which the line carried nothing; seconds on the clock of the frames shown."""

    start_s: float
    end_s: float


def own_share(sent_ms: Sequence[int], shown_ms: Sequence[int], made_up: Sequence[bool], missed: Outage | None) -> float:
    """Share of the frames sent that were shown by their own motion, not by what stands between others; 0 to 1.

    Args:
        sent_ms: capture times of the frames sent, rising.
        shown_ms: capture times of the frames shown, modulo 65,536 ms, in the order of showing.
        made_up: whether each of these was made up.
        missed: frames captured in this time do not count: nothing could bring them.
    """
    near = sent_ms[0] if sent_ms else 0
    own = set()
    for time_ms, invented in zip(shown_ms, made_up, strict=True):
        near = unwrap_u16(time_ms, near)
        if not invented:
            own.add(near)
    counted = [ms for ms in sent_ms if missed is None or not missed.start_s * 1000 <= ms <= missed.end_s * 1000]
    return sum(ms in own for ms in counted) / len(counted) if counted else 0.0


def longest_freeze_ms(shown_s: Sequence[float], outage: Outage | None) -> float | None:
    """Longest time from one picture to the next, without the one that an outage explains; None below two pictures.

    Args:
        shown_s: times of showing, rising, seconds.
        outage: when the line was dead.
    """
    gaps = [
        after - before
        for before, after in pairwise(shown_s)
        if outage is None or after < outage.start_s or before > outage.end_s
    ]
    return max(gaps) * 1000 if gaps else None


def recovery_ms(shown_s: Sequence[float], outage: Outage | None) -> float | None:
    """From the end of the outage to the first picture after it; None without an outage, or without a picture."""
    if outage is None:
        return None
    after = [when for when in shown_s if when >= outage.end_s]
    return (after[0] - outage.end_s) * 1000 if after else None
