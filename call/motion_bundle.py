"""Motion packets in one message of the motion channel.

Every message costs 93 bytes of headers (IP, UDP, DTLS, SCTP), so two or three frames a message save bandwidth and
cost that many frame times of delay. Layout: ``count u8``, then per packet ``length u8`` and its bytes; the last packet
has no length, it fills the message.
"""

from __future__ import annotations

from collections.abc import Sequence

from adasr_core.bitstream.errors import BitstreamError

MAX_PACKETS = 4
MAX_PACKET_BYTES = 255
MAX_BUNDLE_BYTES = 1 + MAX_PACKETS * (1 + MAX_PACKET_BYTES) - 1


def bundle_packets(packets: Sequence[bytes]) -> bytes:
    """Join 1 to 4 packets of 1 to 255 bytes each, oldest first.

    Raises:
        ValueError: too many packets, none, or one of the wrong size.
    """
    if not 1 <= len(packets) <= MAX_PACKETS:
        raise ValueError(f"bundle: {len(packets)} packets, expected 1 to {MAX_PACKETS}")
    parts = [bytes([len(packets)])]
    for position, packet in enumerate(packets):
        if not 1 <= len(packet) <= MAX_PACKET_BYTES:
            raise ValueError(f"motion packet: {len(packet)} bytes, expected 1 to {MAX_PACKET_BYTES}")
        if position < len(packets) - 1:
            parts.append(bytes([len(packet)]))
        parts.append(packet)
    return b"".join(parts)


def split_bundle(message: bytes) -> list[bytes]:
    """Take a message apart, oldest packet first.

    Raises:
        BitstreamError: the message is malformed.
    """
    if not 2 <= len(message) <= MAX_BUNDLE_BYTES or not 1 <= message[0] <= MAX_PACKETS:
        raise BitstreamError(f"motion message: {len(message)} bytes, expected 1 to {MAX_PACKETS} packets")
    packets: list[bytes] = []
    position = 1
    for _ in range(message[0] - 1):
        if position >= len(message):
            raise BitstreamError("motion message: ends before its packets do")
        length = message[position]
        packets.append(message[position + 1 : position + 1 + length])
        if len(packets[-1]) != length:
            raise BitstreamError("motion message: ends before its packets do")
        position += 1 + length
    packets.append(message[position:])
    for packet in packets:
        if not 1 <= len(packet) <= MAX_PACKET_BYTES:
            raise BitstreamError(f"motion packet: {len(packet)} bytes, expected 1 to {MAX_PACKET_BYTES}")
    return packets
