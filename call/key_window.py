"""How many bytes of the key channel may be on their way (pure).

    round trips short   window + what was acknowledged          slow start: twice as much every round trip
    a queue stands      delivery rate x the shortest time        what the line holds without a queue

The delivery rate is what was acknowledged between a chunk's sending and its answer, over that time
(draft-cheng-iccrg-delivery-rate-estimation). Loss alone changes nothing: on radio links it says nothing about the rate.
"""

from __future__ import annotations

from dataclasses import dataclass

from call.key_receiver import ACK_DELAY_S
from call.round_trip import RoundTrip

_FIRST_BYTES = 10_000.0
"""Ten chunks, as RFC 6928 begins."""
_LEAST_BYTES = 1_000.0
_MOST_BYTES = 300_000.0
_QUEUE_SHARE = 1.5
_LINE_KEPT = 0.8


@dataclass(frozen=True, slots=True)
class DeliveryMark:
    """What was delivered when a chunk left.

    delivered: bytes. since: when the latest of them was, seconds. alone: nothing was unanswered.
    """

    delivered: int
    since: float
    alone: bool


class KeyWindow:
    """Follows what the line delivers; the clock is the caller's."""

    def __init__(self) -> None:
        """Start with ten chunks."""
        self._bytes = _FIRST_BYTES
        self._delivered = 0
        self._since = 0.0
        self._rate: float | None = None
        self._line: float | None = None

    @property
    def limit_bytes(self) -> float:
        """So many bytes may be unanswered at a time, 1,000 to 300,000."""
        return self._bytes

    @property
    def delivered_bytes_per_s(self) -> float | None:
        """The latest delivery rate, bytes of chunks a second; None before the first answer."""
        return self._rate

    @property
    def line_bytes_per_s(self) -> float | None:
        """What the line delivered of chunks that left close together: at least so much is its rate; None: not known."""
        return self._line

    def on_sent(self, in_flight: int, now: float) -> DeliveryMark:
        """A chunk leaves behind so many bytes that are unanswered; keep the mark for its answer."""
        if in_flight == 0:
            self._since = now
        return DeliveryMark(self._delivered, self._since, in_flight == 0)

    def on_acknowledged(self, size: int, now: float) -> None:
        """So many bytes are answered for the first time."""
        self._delivered += size
        self._since = now

    def on_round_trip(self, mark: DeliveryMark, acknowledged: int, trip: RoundTrip, now: float) -> None:
        """Move by the answer to the chunk that left with ``mark``; its round trip is the latest of ``trip``."""
        if now > mark.since:
            self._rate = (self._delivered - mark.delivered) / (now - mark.since)
            if not mark.alone:
                self._line = max(self._rate, _LINE_KEPT * (self._line or 0.0))
        unqueued_s = _QUEUE_SHARE * trip.least_s + 2 * ACK_DELAY_S
        if trip.latest_s <= unqueued_s:
            self._bytes = min(self._bytes + acknowledged, _MOST_BYTES)
        elif self._rate is not None:
            self._bytes = min(self._bytes, max(self._rate * unqueued_s, _LEAST_BYTES))
