"""The line of an offline call: a fixed delay, a rate that references share with motion, lost datagrams, all counted.

    motion     --> at once, before everything else ------------------+--> + delay --> other end
    references --> queue, in order --> what rate motion leaves over --+
    anchors    --> in the datagram of their motion message -----------+

Motion is never held up; what it takes beyond the line's rate holds up the references behind it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sender.wire_cost import chunk_bytes, datagram_bytes

KEY_CHUNK_HEADER_BYTES = 14
"""Of a piece of a reference on the key channel (docs/transport.md)."""

WHOLE_HEADER_BYTES = 3
"""Of a transfer that is one piece, as most anchors are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OfflineLineConfig:
    """What the line does to datagrams."""

    delay_s: float = 0.03
    """One way, the same in both directions, seconds."""
    kbps: float | None = None
    """What it carries, headers included, kbit/s: references wait for it. None: they arrive after the delay alone."""
    loss: float = 0.0
    """Share of datagrams lost, 0 to below 1. Lost pieces of references are repeated, and paid for again."""
    seed: int = 0
    """Of what is lost."""
    chunk_body_bytes: int = 400
    """Bytes of a reference in one message of the key channel, as at the call's low rates."""
    anchor_body_bytes: int = 986
    """Bytes of an anchor in one such message, which leaves with motion; and of the first picture, which nothing else
    waits for."""

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        if not (math.isfinite(self.delay_s) and self.delay_s >= 0):
            raise ValueError(f"delay_s: got {self.delay_s}, expected 0 or more")
        if self.kbps is not None and not (math.isfinite(self.kbps) and self.kbps > 0):
            raise ValueError(f"kbps: got {self.kbps}, expected more than 0 or None")
        if not 0 <= self.loss < 1:
            raise ValueError(f"loss: got {self.loss}, expected 0 to below 1")
        for name in ("chunk_body_bytes", "anchor_body_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected at least 1")


@dataclass(frozen=True, slots=True)
class WireBytes:
    """Bytes on the wire, headers of all layers included.

    first_picture, references (all later ones), anchors, motion: forward. feedback: the way back, acknowledgements of
    SCTP and of references left out.
    """

    first_picture: int = 0
    references: int = 0
    anchors: int = 0
    motion: int = 0
    feedback: int = 0

    @property
    def forward(self) -> int:
        """All that went from the sender to the receiver."""
        return self.first_picture + self.steady

    @property
    def steady(self) -> int:
        """The same without the first picture."""
        return self.references + self.anchors + self.motion


@dataclass(slots=True)
class _Transfer:
    data: bytes
    left_bytes: float


def reference_wire_bytes(bodies: Sequence[int], *, alone: bool = False) -> int:
    """Bytes on the wire of a reference in pieces with so many bytes of it each.

    `alone`: every piece is a datagram of its own. Else it leaves in the company of a motion message, as the call's
    channels send it at low rates (docs/transport.md), and adds a DATA chunk to that datagram.
    """
    cost = datagram_bytes if alone else chunk_bytes
    return sum(cost(KEY_CHUNK_HEADER_BYTES + body) for body in bodies)


def piece_bytes(size: int, most: int) -> list[int]:
    """Bytes of each of the equal pieces, at most `most`, into which so many bytes are cut; the last one is shorter."""
    pieces = -(-size // most)
    longest = -(-size // pieces)
    return [longest] * (pieces - 1) + [size - longest * (pieces - 1)]


def anchor_wire_bytes(bodies: Sequence[int]) -> int:
    """Bytes that an anchor in pieces with so many bytes of it each adds to the datagrams of motion."""
    header = WHOLE_HEADER_BYTES if len(bodies) == 1 else KEY_CHUNK_HEADER_BYTES
    return sum(chunk_bytes(header + body) for body in bodies)


class OfflineLine:
    """One call's line. Times are seconds and do not run backward."""

    def __init__(self, config: OfflineLineConfig) -> None:
        self._config = config
        self._random = np.random.default_rng(config.seed)
        self._queue: deque[_Transfer] = deque()
        self._motion_bytes = 0.0
        self.wire = WireBytes()

    def send_motion(self, data: bytes) -> bool:
        """Count a motion message; False when it is lost."""
        count = datagram_bytes(len(data))
        self.wire = replace(self.wire, motion=self.wire.motion + count)
        self._motion_bytes += count
        return self._arrives()

    def send_feedback(self, data: bytes) -> bool:
        """Count a message of the way back; False when it is lost."""
        self.wire = replace(self.wire, feedback=self.wire.feedback + datagram_bytes(len(data)))
        return self._arrives()

    def send_reference(self, data: bytes, *, first: bool) -> bool:
        """Count a reference and queue it; the first one is there at once: True, and nothing is queued."""
        most = self._config.anchor_body_bytes if first else self._config.chunk_body_bytes
        count = reference_wire_bytes(self._sent_bodies(len(data), most), alone=first)
        if first:
            self.wire = replace(self.wire, first_picture=self.wire.first_picture + count)
            return True
        self.wire = replace(self.wire, references=self.wire.references + count)
        if self._config.kbps is None:
            return True
        self._queue.append(_Transfer(data, float(count)))
        return False

    def send_anchor(self, data: bytes, *, with_motion: bool) -> bool:
        """Count an anchor that leaves beside its motion message.

        with_motion: that datagram arrives. An anchor that fits it is there with it: True. Others are queued.
        """
        bodies = self._sent_bodies(len(data), self._config.anchor_body_bytes)
        count = anchor_wire_bytes(bodies)
        self.wire = replace(self.wire, anchors=self.wire.anchors + count)
        if self._config.kbps is None:
            return True
        if len(bodies) == 1 and with_motion and not self._queue:
            self._motion_bytes += count
            return True
        self._queue.append(_Transfer(data, float(count)))
        return False

    def advance(self, since: float, until: float) -> list[tuple[float, bytes]]:
        """Let the line run from `since` to `until`: the references that are through, and when, in order."""
        if self._config.kbps is None:
            return []
        rate = self._config.kbps * 1000 / 8
        now = since
        waited = min(self._motion_bytes / rate, until - now)
        self._motion_bytes -= waited * rate
        now += waited
        through = []
        while self._queue and now < until:
            transfer = self._queue[0]
            served = min(transfer.left_bytes, (until - now) * rate)
            transfer.left_bytes -= served
            now += served / rate
            if transfer.left_bytes > 1e-6:
                break
            through.append((now, transfer.data))
            self._queue.popleft()
        return through

    def _sent_bodies(self, size: int, most: int) -> list[int]:
        """Bodies of the datagrams that carry so many bytes in equal pieces, those that had to be repeated included."""
        bodies = piece_bytes(size, most)
        repeats = self._random.geometric(1 - self._config.loss, len(bodies)) if self._config.loss else [1] * len(bodies)
        return [body for body, times in zip(bodies, repeats, strict=True) for _ in range(int(times))]

    def _arrives(self) -> bool:
        return self._config.loss == 0 or bool(self._random.random() >= self._config.loss)
