"""Guard inside aiortc's SCTP transport: what an authenticated peer sends must not end, hang or bloat a call.

aiortc 1.16 runs SCTP in the task that receives DTLS, and any exception there closes the connection: text that is not
UTF-8, a malformed DCEP message, a chunk shorter than its fields. Nor does it enforce the receive window that it
advertises, and a SACK of 1,200 bytes can make it count to nineteen million. A parameter of length 0 makes it loop
without end, and take all memory, while it parses the packet. Here

* a packet with a parameter shorter than its own head is dropped before it is parsed;
* every exception in handling a packet is counted and the packet dropped;
* DATA is taken on the call's own streams alone, and only while it fits the window;
* our channels are negotiated by number, so DCEP, text, unknown streams and stream resets are dropped;
* a SACK whose gap blocks span more than any sender has in flight is dropped.
"""

from __future__ import annotations

import logging
import struct

from aiortc import rtcsctptransport
from aiortc.rtcsctptransport import Chunk, DataChunk, ReconfigChunk, RTCSctpTransport, SackChunk

RECEIVE_WINDOW_BYTES = 256 * 1024
_MAX_MISORDERED = 2048
_MAX_GAP_SPAN = 16_384
_PACKET_HEAD_BYTES = 12
_HEAD = struct.Struct("!HH")
_PARAMETERS_AT = {1: 16, 2: 16, 4: 0, 5: 0, 6: 0, 9: 0, 130: 0}
"""Where the parameters begin in the body of each chunk type that has some: INIT, INIT ACK, HEARTBEAT, HEARTBEAT ACK,
ABORT, ERROR, RE-CONFIG."""
_NEEDED = (
    "_advertised_rwnd",
    "_cwnd",
    "_flight_size",
    "_handle_data",
    "_receive",
    "_receive_chunk",
    "_sack_misordered",
    "_sack_needed",
)

_logger = logging.getLogger(__name__)


class GuardedSctpTransport(RTCSctpTransport):
    """aiortc's SCTP transport with the guard in front; made out of an existing one by ``guard_sctp``."""

    guarded_streams: frozenset[int]
    malformed: int

    async def _handle_data(self, data: bytes) -> None:
        """Handle a packet; whatever goes wrong with it stays with it."""
        if _has_endless_parameters(data):
            self.malformed += 1
            return
        try:
            await super()._handle_data(data)
        except ConnectionError:
            raise  # the DTLS connection went away under an answer: aiortc ends the call in order
        except Exception:
            self.malformed += 1
            _logger.debug("dropped an SCTP packet that aiortc could not handle", exc_info=True)

    async def _receive_chunk(self, chunk: Chunk) -> None:
        """Drop chunks that no peer of ours sends."""
        if isinstance(chunk, ReconfigChunk) or (isinstance(chunk, SackChunk) and _span(chunk) > _MAX_GAP_SPAN):
            self.malformed += 1
            return
        if isinstance(chunk, DataChunk) and not self._takes(chunk):
            self._sack_needed = True  # says to an honest peer that the chunk is still missing
            self.malformed += 1
            return
        await super()._receive_chunk(chunk)

    async def _receive(self, stream_id: int, pp_id: int, data: bytes) -> None:
        """Pass on binary messages alone."""
        if pp_id in (rtcsctptransport.WEBRTC_BINARY, rtcsctptransport.WEBRTC_BINARY_EMPTY):
            await super()._receive(stream_id, pp_id, data)
        else:
            self.malformed += 1

    def _takes(self, chunk: DataChunk) -> bool:
        return (
            chunk.stream_id in self.guarded_streams
            and 0 < len(chunk.user_data) <= self._advertised_rwnd
            and len(self._sack_misordered) < _MAX_MISORDERED
        )


def _has_endless_parameters(packet: bytes) -> bool:
    """Whether a chunk of a packet holds a parameter that says to be shorter than its own four bytes of head."""
    at = _PACKET_HEAD_BYTES
    while at + _HEAD.size <= len(packet):
        length = _HEAD.unpack_from(packet, at)[1]
        if length < _HEAD.size:
            return False  # aiortc refuses such a chunk by itself
        end = min(at + length, len(packet))
        within = at + _HEAD.size + _PARAMETERS_AT.get(packet[at], length)
        while within + _HEAD.size <= end:
            parameter = _HEAD.unpack_from(packet, within)[1]
            if parameter < _HEAD.size:
                return True
            within += parameter + -parameter % 4
        at += length + -length % 4
    return False


def _span(chunk: SackChunk) -> int:
    """Chunks that the gap blocks speak of; more than all of them for a block that ends before it starts."""
    return sum(last - first + 1 if first <= last else _MAX_GAP_SPAN + 1 for first, last in chunk.gaps)


def guard_sctp(sctp: RTCSctpTransport, streams: frozenset[int]) -> GuardedSctpTransport | None:
    """Put the guard into an SCTP transport that has not started yet.

    Args:
        sctp: the transport of one peer connection.
        streams: numbers of the call's own channels.

    Returns:
        The same object; None, with a warning, when the installed aiortc does not have what the guard builds on.
    """
    missing = [name for name in _NEEDED if not hasattr(sctp, name)]
    if missing:
        _logger.warning("SCTP guard is off: this aiortc has no %s; a hostile peer can end the call", ", ".join(missing))
        return None
    sctp.__class__ = GuardedSctpTransport
    assert isinstance(sctp, GuardedSctpTransport)
    sctp.guarded_streams = streams
    sctp.malformed = 0
    sctp._advertised_rwnd = RECEIVE_WINDOW_BYTES
    return sctp
