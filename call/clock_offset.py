"""Round-trip time and clock offset from ping and pong (pure; the four-timestamp method of NTP, RFC 5905 section 8)."""

from __future__ import annotations

from collections import deque

_KEPT = 16
_LONGEST_RTT_US = 60_000_000


class ClockOffset:
    """Keeps the best of the last exchanges: the one with the shortest round trip bends the offset least."""

    def __init__(self) -> None:
        """Start without a sample."""
        self._samples: deque[tuple[int, int]] = deque(maxlen=_KEPT)

    def add(self, sent_us: int, answered_us: int, received_us: int) -> bool:
        """Take one exchange: our clock at ping, the peer's at pong, ours at arrival; all in microseconds.

        Returns:
            False when the times make no sense (a pong for a ping never sent, or older than a minute).
        """
        rtt = received_us - sent_us
        if not 0 <= rtt <= _LONGEST_RTT_US:
            return False
        self._samples.append((rtt, answered_us - (sent_us + received_us) // 2))
        return True

    @property
    def rtt_ms(self) -> float | None:
        """Shortest recent round trip in milliseconds."""
        return min(self._samples)[0] / 1000 if self._samples else None

    @property
    def offset_us(self) -> int | None:
        """What to add to our clock to get the peer's, in microseconds."""
        return min(self._samples)[1] if self._samples else None
