"""What ordinary coded video costs on the wire as RTP, headers of every layer included.

    IPv4 20 + UDP 8 | RTP 12 + payload, at most 1,200 bytes + SRTP tag 10

Sizes: RFC 791, RFC 768, RFC 3550 section 5.1, RFC 3711 (HMAC-SHA1-80). The payload formats' own headers (one to three
bytes a packet: RFC 6184, RFC 7798, RFC 9628, AOMedia's RTP format for AV1), RTP extensions and RTCP are not counted,
which favours ordinary video by some 3 %.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum

from sender.wire_cost import IP_UDP_BYTES

MAX_PAYLOAD_BYTES = 1200
"""Of a packet: what WebRTC puts at most into one."""
RTP_HEADER_BYTES = 12
SRTP_TAG_BYTES = 10
PACKET_HEADER_BYTES = IP_UDP_BYTES + RTP_HEADER_BYTES + SRTP_TAG_BYTES

_AV1_TEMPORAL_DELIMITER = b"\x12\x00"
_H264_INFORMATION = 6
_START_CODE = b"\x00\x00\x01"


class PayloadFormat(Enum):
    """How an encoder's bytes become RTP payload."""

    AV1 = "av1"
    H264 = "h264"
    HEVC = "hevc"
    VP9 = "vp9"


def payload_bytes(data: bytes, form: PayloadFormat) -> int:
    """Bytes of a coded frame that RTP carries.

    AV1's temporal delimiter is left out, and so are the start codes of H.264 and HEVC (RTP frames the units itself) and
    H.264's supplemental information, in which x264 writes its settings.
    """
    if form is PayloadFormat.AV1:
        return len(data) - (len(_AV1_TEMPORAL_DELIMITER) if data.startswith(_AV1_TEMPORAL_DELIMITER) else 0)
    if form is PayloadFormat.VP9:
        return len(data)
    units = [unit.rstrip(b"\x00") for unit in data.split(_START_CODE)[1:]]
    return sum(len(unit) for unit in units if form is PayloadFormat.HEVC or unit[0] & 0x1F != _H264_INFORMATION)


def frame_wire_bytes(payload: int) -> int:
    """Wire bytes of a frame of `payload` bytes: at least one packet, else as many as it needs.

    Raises:
        ValueError: a negative payload.
    """
    if payload < 0:
        raise ValueError(f"payload: got {payload}, expected 0 or more bytes")
    packets = max(1, -(-payload // MAX_PAYLOAD_BYTES))
    return payload + packets * PACKET_HEADER_BYTES


def clip_wire_bytes(payloads: Iterable[int]) -> int:
    """Wire bytes of a whole clip, from the payload bytes of its coded frames."""
    return sum(frame_wire_bytes(payload) for payload in payloads)


def wire_kbps(payloads: Sequence[int], seconds: float, *, without_first: bool = False) -> float:
    """Wire rate over a clip of so many seconds, kbit/s; `without_first` leaves the first picture out of the sum.

    Raises:
        ValueError: no time.
    """
    if not seconds > 0:
        raise ValueError(f"seconds: got {seconds}, expected more than 0")
    return clip_wire_bytes(payloads[without_first:]) * 8 / 1000 / seconds
