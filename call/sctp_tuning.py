"""aiortc's SCTP made thrifty: acknowledgements wait and ride along, chunks that leave together share a packet.

aiortc 1.16 answers every packet with a SACK of its own (93 bytes on the wire) and sends every chunk in a packet of its
own (93 bytes of headers). RFC 9260 asks for neither. What is done here, figures in docs/transport.md:

* **SACK**: delayed, and put in front of DATA that leaves meanwhile. 30 ms after ordinary data, 400 ms (RFC 9260,
  section 6.2 allows 500) after data that is never repeated anyway, 100 ms while chunks are missing, at once after
  4 kB.
* **Bundling**: chunks that leave in the same turn of the event loop share packets of at most 1,189 bytes.
* **FORWARD TSN** waits up to 100 ms for DATA to ride along with: it frees nothing that anybody waits for.
* **Congestion window**: never below 28,000 bytes. Losses of unrepeated datagrams would shrink it to one packet, and one
  chunk of a reference would then block motion for a second. What protects the line instead is the pacing of references
  and the rate control of the call.
* **DTLS**: the cipher with the shortest records (call.dtls_cipher).
* **After silence** outstanding reliable data is repeated at once, instead of up to a second after the line is back.

Everything here overrides private methods and so is pinned to the version it was written against; with another one the
call runs on plain aiortc, and a warning says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass
from importlib.metadata import version

from aiortc.rtcsctptransport import (
    SCTP_COMMON_HEADER_LENGTH,
    SCTP_MAX_PACKET_LENGTH,
    Chunk,
    DataChunk,
    ForwardTsnChunk,
    RTCSctpTransport,
    SackChunk,
    serialize_packet,
)

from call.dtls_cipher import prefer_short_records
from call.sctp_guard import GuardedSctpTransport

PINNED_AIORTC = "1.16.0"
_BODY_BYTES = SCTP_MAX_PACKET_LENGTH - SCTP_COMMON_HEADER_LENGTH
_AT_ONCE_BYTES = 4 * 1024

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class SctpTuning:
    """How SCTP behaves in a call; times in seconds."""

    enabled: bool = True
    """False leaves aiortc as it is."""
    sack_delay_s: float = 0.03
    """Wait of an acknowledgement, 0 to 0.4."""
    unrepeated_sack_delay_s: float = 0.4
    """The same after data of streams that never repeat, 0 to 0.4."""
    gap_sack_delay_s: float = 0.1
    """The same while chunks are missing, 0 to 0.4."""
    forward_delay_s: float = 0.1
    """Wait of a FORWARD TSN for DATA to ride along with, 0 to 0.4."""
    least_cwnd_bytes: int = 28_000
    """Floor of the congestion window, at least 1,172."""
    silence_s: float = 0.8
    """After so much silence the first packet makes outstanding reliable data leave again."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: a value out of range.
        """
        for name in ("sack_delay_s", "unrepeated_sack_delay_s", "gap_sack_delay_s", "forward_delay_s"):
            if not 0 <= getattr(self, name) <= 0.4:
                raise ValueError(f"SCTP {name}: got {getattr(self, name)}, expected 0 to 0.4 s")
        if self.least_cwnd_bytes < 1172 or self.silence_s <= 0:
            raise ValueError(
                f"SCTP tuning: got a window of {self.least_cwnd_bytes} bytes and {self.silence_s} s of silence, "
                "expected at least 1172 bytes and a positive time"
            )


class TunedSctpTransport(GuardedSctpTransport):
    """aiortc's SCTP transport with delayed SACKs and bundling; made out of an existing one by ``tune_sctp``."""

    tuning: SctpTuning
    lazy_streams: frozenset[int]
    _outbox: list[Chunk]
    _flusher: asyncio.Task[None] | None
    _sack_due: float | None
    _sack_timer: asyncio.TimerHandle | None
    _sack_wait: float
    _unsacked_bytes: int
    _forward: ForwardTsnChunk | None
    _forward_timer: asyncio.TimerHandle | None
    _last_data_left: float
    _data_interval: float
    _heard: float

    async def _handle_data(self, data: bytes) -> None:
        now = time.monotonic()
        silent, self._heard = now - self._heard > self.tuning.silence_s, now
        await super()._handle_data(data)
        if silent and self._t3_handle is not None and any(chunk._max_retransmits is None for chunk in self._sent_queue):
            self._t3_handle.cancel()
            self._t3_expired()

    async def _receive_data_chunk(self, chunk: DataChunk) -> None:
        lazy = chunk.stream_id in self.lazy_streams
        self._sack_within(self.tuning.unrepeated_sack_delay_s if lazy else self.tuning.sack_delay_s)
        self._unsacked_bytes += len(chunk.user_data)
        await super()._receive_data_chunk(chunk)
        if self._sack_misordered:
            self._sack_within(self.tuning.gap_sack_delay_s)

    async def _receive_forward_tsn_chunk(self, chunk: ForwardTsnChunk) -> None:
        self._sack_within(self.tuning.sack_delay_s)
        await super()._receive_forward_tsn_chunk(chunk)

    async def _send_sack(self) -> None:
        """Called by aiortc after every packet with data: let the acknowledgement wait."""
        self._sack_needed = False
        if self._last_received_tsn is None:
            return  # a peer that sends data before it introduced itself
        if self._unsacked_bytes >= _AT_ONCE_BYTES:
            self._put_sack()
            return
        due = asyncio.get_running_loop().time() + self._sack_wait
        self._sack_wait = self.tuning.unrepeated_sack_delay_s
        if self._sack_due is None or due < self._sack_due:
            self._sack_due = due
            if self._sack_timer is not None:
                self._sack_timer.cancel()
            self._sack_timer = asyncio.get_running_loop().call_at(due, self._put_sack)

    async def _send_chunk(self, chunk: Chunk) -> None:
        """Called by aiortc for every chunk: gather what may share a packet."""
        if isinstance(chunk, ForwardTsnChunk):
            self._hold_forward(chunk)
        elif isinstance(chunk, DataChunk):
            self._note_data()
            self._put(chunk)
        else:
            await self._flush()
            await super()._send_chunk(chunk)

    async def _transmit(self) -> None:
        self._cwnd = max(self._cwnd, self.tuning.least_cwnd_bytes)
        await super()._transmit()

    def _set_state(self, state: RTCSctpTransport.State) -> None:
        super()._set_state(state)
        if state == self.State.CLOSED:
            for timer in (self._sack_timer, self._forward_timer):
                if timer is not None:
                    timer.cancel()
            self._sack_timer = self._forward_timer = None

    def _sack_within(self, seconds: float) -> None:
        self._sack_wait = min(self._sack_wait, seconds)

    def _note_data(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._last_data_left > 0.002:  # the same turn's chunks are one departure
            self._data_interval = min(1.0, now - self._last_data_left)
            self._last_data_left = now

    def _hold_forward(self, chunk: ForwardTsnChunk) -> None:
        self._forward = chunk
        if self._forward_timer is None:
            self._forward_timer = asyncio.get_running_loop().call_later(self.tuning.forward_delay_s, self._schedule)

    def _put_sack(self) -> None:
        self._sack_due = asyncio.get_running_loop().time()
        self._schedule()

    def _put(self, chunk: Chunk) -> None:
        self._outbox.append(chunk)
        self._schedule()

    def _schedule(self) -> None:
        if self._flusher is None:
            self._flusher = asyncio.ensure_future(self._flush_later())

    async def _flush_later(self) -> None:
        self._flusher = None
        await self._flush()

    async def _flush(self) -> None:
        """Send what was gathered: acknowledgement, FORWARD TSN, DATA."""
        chunks = self._take_control() + self._outbox
        self._outbox = []
        with contextlib.suppress(ConnectionError):  # the connection closed under us: nobody is left to read it
            for packet_chunks in _fill_packets(chunks):
                await self.transport._send_data(self._packet(packet_chunks))

    def _take_control(self) -> list[Chunk]:
        chunks: list[Chunk] = []
        now = asyncio.get_running_loop().time()
        if self._sack_due is not None:
            # Rides along only when it would be late with the next packet.
            next_chance = now + (self._data_interval if self._outbox else 0.0)
            if self._sack_due <= next_chance:
                chunks.append(self._make_sack())
        if self._forward is not None:
            chunks.append(self._forward)
            self._forward = None
            if self._forward_timer is not None:
                self._forward_timer.cancel()
                self._forward_timer = None
        return chunks

    def _make_sack(self) -> SackChunk:
        assert self._last_received_tsn is not None, "checked when the acknowledgement fell due"
        if self._sack_timer is not None:
            self._sack_timer.cancel()
        self._sack_timer = self._sack_due = None
        self._unsacked_bytes = 0
        sack = SackChunk()
        sack.cumulative_tsn = self._last_received_tsn
        sack.advertised_rwnd = max(0, self._advertised_rwnd)
        sack.duplicates = self._sack_duplicates[:16]
        self._sack_duplicates.clear()
        sack.gaps = _gap_blocks(sorted((tsn - self._last_received_tsn) % 2**32 for tsn in self._sack_misordered))
        return sack

    def _packet(self, chunks: list[Chunk]) -> bytes:
        joined = _JoinedChunks(b"".join(map(bytes, chunks)))
        assert self._remote_port is not None, "set before the association is initiated"
        return serialize_packet(self._local_port, self._remote_port, self._remote_verification_tag, joined)


class _JoinedChunks(Chunk):
    """Several chunks where aiortc serialises one."""

    def __init__(self, joined: bytes) -> None:
        super().__init__()
        self._joined = joined

    def __bytes__(self) -> bytes:
        return self._joined


def _fill_packets(chunks: list[Chunk]) -> list[list[Chunk]]:
    """Share out chunks, in order, over packets of at most 1,189 bytes."""
    packets: list[list[Chunk]] = []
    room = 0
    for chunk in chunks:
        size = len(bytes(chunk))
        if not packets or size > room:
            packets.append([])
            room = _BODY_BYTES
        packets[-1].append(chunk)
        room -= size
    return packets


def _gap_blocks(offsets: list[int]) -> list[tuple[int, int]]:
    """Gap ack blocks from ascending offsets to the cumulative TSN, at most 64 (RFC 9260, section 3.3.4)."""
    blocks: list[tuple[int, int]] = []
    for offset in offsets:
        if offset > 0xFFFF:
            break
        if blocks and blocks[-1][1] == offset - 1:
            blocks[-1] = (blocks[-1][0], offset)
        elif len(blocks) == 64:
            break
        else:
            blocks.append((offset, offset))
    return blocks


def tune_sctp(sctp: GuardedSctpTransport, tuning: SctpTuning, lazy_streams: frozenset[int]) -> bool:
    """Tune an SCTP transport that has not started yet.

    Args:
        sctp: the guarded transport of one peer connection.
        tuning: how it shall behave.
        lazy_streams: streams of frequent small messages that are never repeated: their SACK can wait longest.

    Returns:
        Whether it is tuned: not when switched off, and not, with a warning, for another aiortc than the pinned one.
    """
    if not tuning.enabled:
        return False
    installed = version("aiortc")
    if installed != PINNED_AIORTC:
        _logger.warning(
            "SCTP tuning is off: it was written for aiortc %s, installed is %s; the call costs more bandwidth",
            PINNED_AIORTC,
            installed,
        )
        return False
    prefer_short_records(sctp.transport)
    sctp.__class__ = TunedSctpTransport
    assert isinstance(sctp, TunedSctpTransport)
    now = asyncio.get_running_loop().time()
    sctp.tuning = tuning
    sctp.lazy_streams = lazy_streams
    sctp._outbox = []
    sctp._flusher = None
    sctp._sack_due = sctp._sack_timer = None
    sctp._sack_wait = tuning.unrepeated_sack_delay_s
    sctp._unsacked_bytes = 0
    sctp._forward = sctp._forward_timer = None
    sctp._last_data_left = now - 1.0
    sctp._data_interval = 1.0
    sctp._heard = time.monotonic()
    return True
