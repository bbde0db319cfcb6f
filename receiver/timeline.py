"""The sender's capture times and sequence numbers, unwrapped, and what the network does to them.

A message carries the capture time of its newest frame modulo 65.536 s and its sequence number modulo 256. The own clock
says which cycle is meant; the message's older frames follow from the newest one. From the arrivals follow the frame
interval, the span of a message, the share of lost frames and the jitter; the playout delay is made from them.

    transit = arrival time - capture time of the newest frame     (includes the unknown offset of the two clocks)
    jitter  = 97th percentile of the transit above its minimum, over the last 128 messages
    span    = newest capture time of a message - its oldest       (frames that were sent before do not count)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from adasr_core.bitstream.packets import unwrap_u8, unwrap_u16

_WINDOW = 128
_INTERVAL_FRAMES = 24
_SPAN_MESSAGES = 16
_IMPLAUSIBLE_MS = 2000
_LONGEST_SPAN_MS = 4000
_RESTART_AFTER = 5
_JITTER_PERCENTILE = 97.0
_BREAK_MS = 2000
_COUNTED_SPAN_MS = 600
_DEFAULT_INTERVAL_MS = 33.0


@dataclass(frozen=True, slots=True)
class Stamp:
    """When a frame was captured: capture_ms unwrapped, on the sender's clock; sequence unwrapped."""

    capture_ms: int
    sequence: int


class Timeline:
    """Follows one sender.

    interval_ms: time between frames lately, 33 before it is known. span_ms: longest span of a message lately. loss:
    share of frames missing among the latest, 0 to 1. base_transit_ms: least transit lately. jitter_ms: what nearly all
    messages need beyond it. restarts: how often the sender began anew.
    """

    def __init__(self) -> None:
        self._latest: Stamp | None = None
        self._latest_arrival = 0.0
        self._transits_ms: deque[float] = deque(maxlen=_WINDOW)
        self._spans_ms: deque[int] = deque(maxlen=_SPAN_MESSAGES)
        self._stamps: deque[Stamp] = deque(maxlen=_WINDOW)
        self._strange = 0
        self.interval_ms = _DEFAULT_INTERVAL_MS
        self.span_ms = 0.0
        self.loss = 0.0
        self.base_transit_ms = 0.0
        self.jitter_ms = 0.0
        self.restarts = 0

    def read(self, frames: Sequence[tuple[int, int]], now: float) -> tuple[Stamp, ...] | None:
        """Unwrap the sequence number (0..255) and capture time (0..65535) of each frame of a message, oldest first.

        now: when it arrived, seconds. None for times that cannot be right. Several of these in a row mean that the
        sender began anew: then the timeline does so too, and `restarts` rises.
        """
        sequence, time_ms = frames[-1]
        ages_ms = [(time_ms - older_ms) & 0xFFFF for _, older_ms in frames]
        if any(a <= b for a, b in pairwise(ages_ms)) or ages_ms[0] > _LONGEST_SPAN_MS:
            return None
        newest = self._read_newest(sequence, time_ms, now)
        if newest is None:
            return None
        return tuple(
            Stamp(newest.capture_ms - age_ms, newest.sequence - (sequence - older & 0xFF))
            for age_ms, (older, _) in zip(ages_ms, frames, strict=True)
        )

    def arrived(self, stamps: Sequence[Stamp], now: float) -> None:
        """Count a message, not a duplicate, that `read` unwrapped: its frames that were never sent before."""
        oldest, newest = stamps[0], stamps[-1]
        self._transits_ms.append(now * 1000 - newest.capture_ms)
        # Four frames at 5 a second span 600 ms; a message that claims more shall not hold back all that follow.
        self._spans_ms.append(min(newest.capture_ms - oldest.capture_ms, _COUNTED_SPAN_MS))
        self._stamps.extend(stamps)
        if self._latest is None or newest.capture_ms > self._latest.capture_ms:
            self._latest = newest
            self._latest_arrival = now
        transits = np.array(self._transits_ms)
        self.base_transit_ms = float(transits.min())
        self.jitter_ms = float(np.percentile(transits, _JITTER_PERCENTILE)) - self.base_transit_ms
        self.span_ms = float(max(self._spans_ms))
        ordered = sorted(self._stamps, key=lambda one: one.sequence)
        first, last = ordered[0], ordered[-1]
        self.loss = 1.0 - len({one.sequence for one in ordered}) / (last.sequence - first.sequence + 1)
        self.interval_ms = _interval_ms(ordered[-_INTERVAL_FRAMES:], self.interval_ms)

    def _read_newest(self, sequence: int, time_ms: int, now: float) -> Stamp | None:
        if self._latest is None:
            return Stamp(capture_ms=time_ms, sequence=sequence)
        expected_ms = self._latest.capture_ms + round((now - self._latest_arrival) * 1000)
        capture_ms = unwrap_u16(time_ms, expected_ms)
        if abs(capture_ms - expected_ms) > _IMPLAUSIBLE_MS:
            self._strange += 1
            return None if self._strange < _RESTART_AFTER else self._restart(sequence, time_ms, self._latest)
        self._strange = 0
        gap_ms = capture_ms - self._latest.capture_ms
        if gap_ms > _BREAK_MS:
            # How many cycles the sequence went through, or whether the sender paused, nobody knows: assume the fewest.
            self._stamps.clear()
            after = self._latest.sequence + 1
            return Stamp(capture_ms=capture_ms, sequence=after + (sequence - after) % 0x100)
        near = self._latest.sequence + round(gap_ms / self.interval_ms)
        return Stamp(capture_ms=capture_ms, sequence=unwrap_u8(sequence, near))

    def _restart(self, sequence: int, time_ms: int, latest: Stamp) -> Stamp:
        """Begin anew with this message; capture times and sequence numbers go on rising."""
        self.restarts += 1
        self._strange = 0
        self._latest = None
        self._transits_ms.clear()
        self._spans_ms.clear()
        self._stamps.clear()
        self.interval_ms = _DEFAULT_INTERVAL_MS
        floor_ms = latest.capture_ms + 1
        after = latest.sequence + 0x100  # a cycle on, so that no frame of before can pass for one of these
        return Stamp(capture_ms=floor_ms + (time_ms - floor_ms) % 0x10000, sequence=after + (sequence - after) % 0x100)


def _interval_ms(ordered: Sequence[Stamp], before_ms: float) -> float:
    """Mean time between frames; a pause of the sender, more than three times the median, does not count."""
    times = np.diff(np.array([stamp.capture_ms for stamp in ordered], np.float64))
    frames = np.diff(np.array([stamp.sequence for stamp in ordered], np.float64))
    sound = (times > 0) & (frames > 0)  # a confused sender's need not be
    if not sound.any():
        return before_ms
    steps = times[sound] / frames[sound]
    usual = steps <= 3 * np.median(steps)
    return max(float(np.average(steps[usual], weights=frames[sound][usual])), 1.0)
