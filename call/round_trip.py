"""Round trips of the key channel, and the waits that follow from them (RFC 9002, sections 5 and 6; pure)."""

from __future__ import annotations

from call.key_receiver import ACK_DELAY_S

_UNKNOWN_S = 0.2
_TIMEOUT_VARIATIONS = 4.0
_LEAST_VARIATION_S = 0.02
_LOSS_SHARE = 9 / 8


class RoundTrip:
    """Smoothed round trip and its variation; samples hold the acknowledgement's own delay of up to 30 ms.

    A sample is the time from a chunk to the acknowledgement that first names it, and counts only where that is certain
    (Karn's rule): the caller leaves out answers that may be for one of several sendings.
    """

    def __init__(self) -> None:
        """Start without a sample."""
        self._before = _UNKNOWN_S
        self._smoothed: float | None = None
        self._variation = 0.0
        self._latest = 0.0
        self._least: float | None = None

    @property
    def known(self) -> bool:
        """True once a chunk was answered."""
        return self._smoothed is not None

    @property
    def smoothed_s(self) -> float:
        """The smoothed round trip; before the first sample, that of the pings before the call."""
        return self._before if self._smoothed is None else self._smoothed

    @property
    def least_s(self) -> float:
        """The shortest round trip so far."""
        return self._before if self._least is None else self._least

    @property
    def latest_s(self) -> float:
        """The latest round trip; 0 before the first."""
        return self._latest

    @property
    def timeout_s(self) -> float:
        """So long without any answer makes it worth asking: smoothed + 4 variations (RFC 6298, section 2)."""
        variation = self.smoothed_s / 2 if self._smoothed is None else self._variation
        return self.smoothed_s + max(_TIMEOUT_VARIATIONS * variation, _LEAST_VARIATION_S) + ACK_DELAY_S

    @property
    def loss_delay_s(self) -> float:
        """A chunk is lost when one that left after it is answered and it is not, so long after it left.

        9/8 of the larger of smoothed and latest round trip (RFC 9002, section 6.1.2), and what an acknowledgement may
        wait for others.
        """
        return _LOSS_SHARE * max(self.smoothed_s, self._latest) + ACK_DELAY_S

    def seed(self, rtt_s: float) -> None:
        """Take a ping's round trip, seconds: it stands in until a chunk is answered."""
        self._before = max(rtt_s, 0.0)

    def add(self, rtt_s: float) -> None:
        """Take a sample, seconds."""
        self._latest = rtt_s
        self._least = rtt_s if self._least is None else min(self._least, rtt_s)
        if self._smoothed is None:
            self._smoothed, self._variation = rtt_s, rtt_s / 2
            return
        self._variation += (abs(rtt_s - self._smoothed) - self._variation) / 4
        self._smoothed += (rtt_s - self._smoothed) / 8
