"""What a call really costs: every UDP datagram of a peer, with its IP and UDP headers.

One motion message of 30 bytes is 125 bytes on the wire: 28 (IPv4, UDP) + 37 (DTLS 1.2 record) + 12 (SCTP) + 16 (DATA
chunk) + 32 (the message, padded to four). The meter counts datagrams where they leave and arrive, so it includes
acknowledgements, retransmissions, connectivity checks and the handshake. Traffic through a TURN server is counted
without TURN's own framing.
"""

from __future__ import annotations

from dataclasses import dataclass

_UDP_HEADER_BYTES = 8
_IPV4_HEADER_BYTES = 20
_IPV6_HEADER_BYTES = 40


@dataclass(frozen=True, slots=True)
class WireCount:
    """Totals since the call began; bytes include IP and UDP headers.

    Attributes:
        sent_bytes: bytes of every datagram sent.
        sent_datagrams: number of datagrams sent.
        received_bytes: bytes of every datagram accepted.
        received_datagrams: number of datagrams accepted.
        rejected_datagrams: datagrams that the guard dropped (not in the totals above).
    """

    sent_bytes: int = 0
    sent_datagrams: int = 0
    received_bytes: int = 0
    received_datagrams: int = 0
    rejected_datagrams: int = 0


class WireMeter:
    """Counts the datagrams of one peer connection."""

    def __init__(self) -> None:
        """Start at zero."""
        self._sent_bytes = 0
        self._sent_datagrams = 0
        self._received_bytes = 0
        self._received_datagrams = 0
        self._rejected_datagrams = 0

    def sent(self, payload_bytes: int, host: str) -> None:
        """Count a datagram sent to ``host``."""
        self._sent_bytes += payload_bytes + header_bytes(host)
        self._sent_datagrams += 1

    def received(self, payload_bytes: int, host: str) -> None:
        """Count a datagram accepted from ``host``."""
        self._received_bytes += payload_bytes + header_bytes(host)
        self._received_datagrams += 1

    def rejected(self) -> None:
        """Count a datagram that was dropped unread."""
        self._rejected_datagrams += 1

    def count(self) -> WireCount:
        """Totals so far."""
        return WireCount(
            self._sent_bytes,
            self._sent_datagrams,
            self._received_bytes,
            self._received_datagrams,
            self._rejected_datagrams,
        )


def header_bytes(host: str) -> int:
    """IP and UDP header bytes of a datagram to or from ``host`` (an address literal)."""
    return _UDP_HEADER_BYTES + (_IPV6_HEADER_BYTES if ":" in host else _IPV4_HEADER_BYTES)
