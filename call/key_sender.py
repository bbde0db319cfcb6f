"""The sending end of the key channel: paces chunks, repeats what is not acknowledged, gives up in the end (pure).

Rules, measured in docs/transport.md:

* One transfer at a time, so that they arrive in order; others wait in a bounded queue that forgets the oldest.
* A token bucket paces everything, repeats included. Its rate is the caller's and can change at any time; it is halved
  when motion comes late, and won back when it no longer does.
* A chunk is repeated when it is known to be lost, as QUIC knows it (RFC 9002, section 6.1): three that left after it
  are answered and it is not, or one is and 9/8 of a round trip have passed. Chunks that stand in a slow line's queue
  are never repeated that way, since nothing overtakes them.
* When nothing is answered at all, one chunk goes out after smoothed round trip + 4 variations to find out, then after
  twice as long, and so on (section 6.2); but so often that an outage's end is found within 300 ms, where that costs a
  quarter of the line at most.
* What is unanswered at a time is bounded by what the line delivers (call.key_window).
* The caller says how many datagrams may go now: none while half of SCTP's congestion window is in flight.
"""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass

from call.key_transfer import MAX_BODY_BYTES, TRANSFER_MODULO, KeyAck, KeyChunk, KeyRefusal, split_transfer
from call.key_window import DeliveryMark, KeyWindow
from call.round_trip import RoundTrip
from call.token_pacer import TokenPacer

_LEAST_BURST_BYTES = 600.0
_BURST_S = 0.02
_LOST_AFTER = 3
_MOST_REORDERED = 64
_LONGEST_PROBE_S = 0.3
_PROBE_SHARE = 4.0
_MOST_DOUBLINGS = 6
_SMALLEST_BODY_BYTES = 400
_BODY_TIME_S = 0.05
_FIRST_WHOLE_BYTES_PER_S = 4_000.0
_LATE_MS = 60.0
_EASY_MS = 25.0
_USUAL_CHUNK_MS = 160.0
_MOST_CHUNK_MS = 140.0
_CUT_INTERVAL_S = 0.25
_REGAIN_INTERVAL_S = 1.0
_LEAST_SHARE = 1 / 16
_RESULTS_KEPT = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class KeySenderConfig:
    """How references go out."""

    bytes_per_s: float = 60_000.0
    """Rate until another one is set, in bytes a second."""
    waiting: int = 16
    """Transfers that wait behind the one on its way; one more and the oldest of them is forgotten."""
    stall_s: float = 20.0
    """A transfer is given up when no new chunk of it was acknowledged for so many seconds."""
    total_s: float = 60.0
    """A transfer is given up after so many seconds in any case."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: a value that is not positive.
        """
        for name in ("bytes_per_s", "waiting", "stall_s", "total_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"key sender {name}: got {getattr(self, name)}, expected a positive number")


class TransferResult(enum.Enum):
    """How a transfer ended."""

    DELIVERED = "delivered"
    GIVEN_UP = "given up"
    REFUSED = "refused"
    FORGOTTEN = "forgotten"


@dataclass(frozen=True, slots=True)
class _Sending:
    """One sending of a chunk; number: how many left before it."""

    number: int
    time: float
    mark: DeliveryMark


@dataclass(slots=True)
class _Piece:
    chunk: KeyChunk
    size: int
    latest: _Sending | None = None
    earlier: _Sending | None = None
    sends: int = 0
    acknowledged: bool = False
    lost: bool = False

    @property
    def in_flight(self) -> bool:
        return self.latest is not None and not (self.acknowledged or self.lost)


class KeySender:
    """Sends transfers to one peer; the clock is the caller's."""

    def __init__(self, config: KeySenderConfig, now: float) -> None:
        """Start at ``now`` (seconds, monotonic) without a transfer."""
        self._config = config
        self._rate = config.bytes_per_s
        self._share = 1.0
        self._share_changed = now
        self._pacer = TokenPacer(now, bytes_per_s=self._rate, burst_bytes=self._burst_bytes)
        self._waiting: deque[bytes] = deque()
        self._pieces: list[_Piece] = []
        self._transfer = -1
        self._began = self._progressed = self._left = now
        self._sendings = 0
        self._answered = -1  # number of the latest sending that is known to be answered
        self._lost_after = _LOST_AFTER
        self._probes = 0  # since the latest answer
        self._trip = RoundTrip()
        self._window = KeyWindow()
        self._results: deque[TransferResult] = deque(maxlen=_RESULTS_KEPT)

    @property
    def idle(self) -> bool:
        """True when nothing is on its way and nothing waits."""
        return not self._pieces and not self._waiting

    @property
    def bytes_per_s(self) -> float:
        """The rate now, slowed down for motion or not."""
        return self._rate * self._share

    def offer(self, data: bytes) -> None:
        """Queue a transfer of 1 to 300,000 bytes.

        Raises:
            ValueError: it is empty or too long.
        """
        split_transfer(data, 0, MAX_BODY_BYTES)
        self._waiting.append(data)
        if len(self._waiting) > self._config.waiting:
            self._waiting.popleft()
            self._results.append(TransferResult.FORGOTTEN)

    def set_rate(self, bytes_per_s: float, now: float) -> None:
        """Pace at another rate from now on.

        Raises:
            ValueError: a rate that is not positive.
        """
        if not bytes_per_s > 0:
            raise ValueError(f"key rate: got {bytes_per_s} B/s, expected a positive rate")
        self._rate = bytes_per_s
        self._pacer.set_rate(self.bytes_per_s, self._burst_bytes, now)

    def motion_delay(self, above_base_ms: float, now: float) -> None:
        """Learn how much later than at best motion arrives; halves the rate or wins it back."""
        slow_ms = self._chunk_above_usual_ms()
        if above_base_ms > _LATE_MS + slow_ms and now - self._share_changed >= _CUT_INTERVAL_S:
            self._set_share(max(_LEAST_SHARE, self._share / 2), now)
        elif (
            above_base_ms < _EASY_MS + slow_ms / 2
            and self._share < 1
            and now - self._share_changed >= _REGAIN_INTERVAL_S
        ):
            self._set_share(min(1.0, self._share * 1.5), now)

    def round_trip(self, rtt_s: float) -> None:
        """Take a ping's round trip in seconds: what the first chunk may be expected to take."""
        self._trip.seed(rtt_s)

    def acknowledged(self, answer: KeyAck | KeyRefusal, now: float) -> None:
        """Take the receiver's answer; one about another transfer is out of date and ignored."""
        if not self._pieces or answer.transfer != self._transfer:
            return
        if isinstance(answer, KeyRefusal):
            self._finish(TransferResult.REFUSED)
            return
        news = [
            piece
            for index, piece in enumerate(self._pieces)
            if piece.sends and not piece.acknowledged and (index < answer.next_index or index in answer.beyond)
        ]
        if news:
            self._learn(news, now)
        if all(piece.acknowledged for piece in self._pieces):
            self._finish(TransferResult.DELIVERED)

    def datagrams_to_send(self, now: float, most: int) -> list[bytes]:
        """Chunks that may go now, ``most`` at the utmost."""
        self._give_up(now)
        messages: list[bytes] = []
        while len(messages) < most and (piece := self._next_piece(now)) is not None:
            message = piece.chunk.pack()
            if self._pacer.delay(len(message), now) > 0:
                break
            self._pacer.take(len(message), now)
            if now >= self._probe_at():
                self._probes += 1
            mark = self._window.on_sent(self._in_flight(), now)
            piece.earlier, piece.latest = piece.latest, _Sending(self._sendings, now, mark)
            piece.sends += 1
            piece.lost = False
            self._sendings += 1
            self._left = now
            messages.append(message)
        return messages

    def next_deadline(self, now: float) -> float | None:
        """When there may be something to send, or to give up; None while there is nothing to do."""
        piece = self._next_piece(now)
        if piece is not None:
            return now + self._pacer.delay(piece.size, now)
        if not self._pieces:
            return None
        overtaken = [
            each.latest.time + self._trip.loss_delay_s
            for each in self._pieces
            if each.latest is not None and each.in_flight and each.latest.number < self._answered
        ]
        return min([self._probe_at(), *overtaken])

    def take_results(self) -> list[TransferResult]:
        """How transfers ended since the last call, in order."""
        results = list(self._results)
        self._results.clear()
        return results

    @property
    def _burst_bytes(self) -> float:
        # Short on a slow line, where two chunks in a row would keep motion waiting; long enough at a high rate for
        # timers that fire late. A full bucket passes a chunk of any length.
        return max(_LEAST_BURST_BYTES, self.bytes_per_s * _BURST_S)

    def _chunk_above_usual_ms(self) -> float:
        """How much longer than on a line of 20 kbit/s a short chunk takes: so late motion is without any queue."""
        line = self._window.line_bytes_per_s
        if not line:
            return 0.0
        return min(max(1000 * _SMALLEST_BODY_BYTES / line - _USUAL_CHUNK_MS, 0.0), _MOST_CHUNK_MS)

    def _next_piece(self, now: float) -> _Piece | None:
        """The piece to send next: a lost one, else one that never left; when answers are overdue, any of them."""
        if not self._pieces and self._waiting:
            self._begin(self._waiting.popleft(), now)
        self._find_lost(now)
        left = [piece for piece in self._pieces if not piece.acknowledged]
        due = next((piece for piece in left if piece.lost), None) or next((p for p in left if not p.sends), None)
        if due is not None:
            in_flight = self._in_flight()
            if in_flight == 0 or in_flight + due.size <= self._window.limit_bytes or now >= self._probe_at():
                return due
            return None
        if left and now >= self._probe_at():
            return min(left, key=lambda piece: piece.latest.number if piece.latest is not None else 0)
        return None

    def _find_lost(self, now: float) -> None:
        """Mark what others have overtaken, by number or by time (RFC 9002, section 6.1)."""
        delay_s = self._trip.loss_delay_s
        for piece in self._pieces:
            if piece.latest is None or not piece.in_flight or piece.latest.number >= self._answered:
                continue
            overtaken = piece.latest.number <= self._answered - self._lost_after
            piece.lost = overtaken or now >= piece.latest.time + delay_s

    def _probe_at(self) -> float:
        """When to send a chunk although nothing is known to be lost: the probe timeout (RFC 9002, section 6.2)."""
        timeout_s = self._trip.timeout_s
        longest_s = _LONGEST_PROBE_S
        if self._window.delivered_bytes_per_s:
            size = max((piece.size for piece in self._pieces), default=0)
            longest_s = max(longest_s, _PROBE_SHARE * size / self._window.delivered_bytes_per_s)
        backed_off_s = timeout_s * 2.0 ** min(self._probes, _MOST_DOUBLINGS)
        wait_s = min(backed_off_s, max(timeout_s, longest_s))
        return max(self._left, self._progressed) + wait_s

    def _learn(self, news: list[_Piece], now: float) -> None:
        """Take what first answers tell: round trip, delivery, and up to which sending the path is known."""
        self._progressed = now
        self._probes = 0
        size = sum(piece.size for piece in news)
        self._window.on_acknowledged(size, now)
        certain: list[_Sending] = []
        for piece in news:
            piece.acknowledged = True
            piece.lost = False
            sending = self._answered_sending(piece, now)
            self._answered = max(self._answered, sending.number)
            if piece.sends == 1 or (piece.sends == 2 and sending is piece.earlier):
                certain.append(sending)
        if certain:
            sending = max(certain, key=lambda one: one.number)
            self._trip.add(now - sending.time)
            self._window.on_round_trip(sending.mark, size, self._trip, now)

    def _answered_sending(self, piece: _Piece, now: float) -> _Sending:
        """Which sending of a chunk an answer is for: an earlier one when it came sooner than any answer can."""
        assert piece.latest is not None
        if piece.earlier is None:
            return piece.latest
        if self._trip.known and now - piece.latest.time < max(self._trip.least_s, self._trip.smoothed_s) / 2:
            # Repeated in vain: what came late was only overtaken by so many (RFC 8985, section 6.2, adapts as well).
            self._lost_after = min(2 * self._lost_after, _MOST_REORDERED)
            return piece.earlier
        return piece.latest

    def _in_flight(self) -> int:
        return sum(piece.size for piece in self._pieces if piece.in_flight)

    def _begin(self, data: bytes, now: float) -> None:
        first = self._transfer < 0 and self.bytes_per_s >= _FIRST_WHOLE_BYTES_PER_S
        self._transfer = (self._transfer + 1) % TRANSFER_MODULO
        # On a slow line short chunks: a long one would keep motion waiting while it is on the wire. Behind the first
        # transfer there is no motion yet.
        short = min(MAX_BODY_BYTES, max(_SMALLEST_BODY_BYTES, int(self.bytes_per_s * _BODY_TIME_S)))
        body = MAX_BODY_BYTES if first else short
        self._pieces = [_Piece(chunk, len(chunk.pack())) for chunk in split_transfer(data, self._transfer, body)]
        self._began = self._progressed = self._left = now
        self._probes = 0

    def _give_up(self, now: float) -> None:
        if self._pieces and (now - self._progressed > self._config.stall_s or now - self._began > self._config.total_s):
            self._finish(TransferResult.GIVEN_UP)

    def _finish(self, result: TransferResult) -> None:
        self._pieces = []
        self._results.append(result)

    def _set_share(self, share: float, now: float) -> None:
        self._share = share
        self._share_changed = now
        self._pacer.set_rate(self.bytes_per_s, self._burst_bytes, now)
