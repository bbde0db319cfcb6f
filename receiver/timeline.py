"""The sender's capture times and sequence numbers, unwrapped, and what the network does to them.

A packet carries its capture time modulo 65.536 s and its sequence number modulo 256. The receiver's own clock says
which cycle is meant. From the arrivals follow the frame interval, the share of lost packets and the jitter; the
playout delay is made from them.

    transit = arrival time - capture time      (includes the unknown offset of the two clocks)
    jitter  = 95th percentile of the transit above its minimum, over the last 128 packets
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from adasr_core.bitstream.packets import unwrap_u8, unwrap_u16

_WINDOW = 128
_IMPLAUSIBLE_MS = 2000
_RESTART_AFTER = 5
_JITTER_PERCENTILE = 95.0
_BREAK_MS = 2000
_DEFAULT_INTERVAL_MS = 33.0


@dataclass(frozen=True, slots=True)
class Stamp:
    """When a frame was captured: capture_ms unwrapped, on the sender's clock; sequence unwrapped."""

    capture_ms: int
    sequence: int


class Timeline:
    """Follows one sender.

    interval_ms: mean time between frames, 33 before it is known. loss: share of packets missing among the latest, 0
    to 1. base_transit_ms: least transit lately. jitter_ms: what nearly all packets need beyond it. restarts: how
    often the sender began anew.
    """

    def __init__(self) -> None:
        self._latest: Stamp | None = None
        self._latest_arrival = 0.0
        self._transits_ms: deque[float] = deque(maxlen=_WINDOW)
        self._stamps: deque[Stamp] = deque(maxlen=_WINDOW)
        self._strange = 0
        self.interval_ms = _DEFAULT_INTERVAL_MS
        self.loss = 0.0
        self.base_transit_ms = 0.0
        self.jitter_ms = 0.0
        self.restarts = 0

    def read(self, sequence: int, time_ms: int, now: float) -> Stamp | None:
        """Unwrap a packet's sequence number (0..255) and capture time (0..65535), arrived at `now` (seconds).

        None for a time that cannot be right. Several of these in a row mean that the sender began anew: then the
        timeline does so too, and `restarts` rises.
        """
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
            self._stamps.clear()
            return Stamp(capture_ms=capture_ms, sequence=self._latest.sequence + 0x100 + sequence)
        near = self._latest.sequence + round(gap_ms / self.interval_ms)
        return Stamp(capture_ms=capture_ms, sequence=unwrap_u8(sequence, near))

    def arrived(self, stamp: Stamp, now: float) -> None:
        """Count a packet (not a duplicate) that `read` unwrapped."""
        self._transits_ms.append(now * 1000 - stamp.capture_ms)
        self._stamps.append(stamp)
        if self._latest is None or stamp.capture_ms > self._latest.capture_ms:
            self._latest = stamp
            self._latest_arrival = now
        transits = np.array(self._transits_ms)
        self.base_transit_ms = float(transits.min())
        self.jitter_ms = float(np.percentile(transits, _JITTER_PERCENTILE)) - self.base_transit_ms
        first = min(self._stamps, key=lambda one: one.sequence)
        last = max(self._stamps, key=lambda one: one.sequence)
        steps = last.sequence - first.sequence
        if steps > 0:
            self.interval_ms = max((last.capture_ms - first.capture_ms) / steps, 1.0)
        self.loss = 1.0 - len({one.sequence for one in self._stamps}) / (steps + 1)

    def _restart(self, sequence: int, time_ms: int, latest: Stamp) -> Stamp:
        """Begin anew with this packet; capture times go on rising."""
        self.restarts += 1
        self._strange = 0
        self._latest = None
        self._transits_ms.clear()
        self._stamps.clear()
        self.interval_ms = _DEFAULT_INTERVAL_MS
        floor_ms = latest.capture_ms + 1
        return Stamp(capture_ms=floor_ms + (time_ms - floor_ms) % 0x10000, sequence=sequence)
