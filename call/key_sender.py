"""The sending end of the key channel: paces chunks, repeats what is not acknowledged, gives up in the end (pure).

Rules, measured in docs/transport.md:

* One transfer at a time, so that they arrive in order; others wait in a bounded queue that forgets the oldest.
* A token bucket paces everything, repeats included. Its rate is the caller's and can change at any time; it is halved
  when motion comes late, and won back when it no longer does.
* A chunk is repeated 1.25 round trips + 40 ms after it left without being acknowledged, less often while nothing at
  all comes back.
* The caller says how many datagrams may go now: none while half of SCTP's congestion window is in flight.
"""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass

from call.key_transfer import MAX_BODY_BYTES, TRANSFER_MODULO, KeyAck, KeyChunk, KeyRefusal, split_transfer
from call.token_pacer import TokenPacer

_LEAST_BURST_BYTES = 600.0
_BURST_S = 0.02
_FIRST_RTT_S = 0.2
_RESEND_MARGIN_S = 0.04
_LONGEST_RESEND_S = 0.4
_BACKOFF = 1.3
_SMALLEST_BODY_BYTES = 400
_BODY_TIME_S = 0.05
_FIRST_WHOLE_BYTES_PER_S = 4_000.0
_LATE_MS = 60.0
_EASY_MS = 25.0
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


@dataclass(slots=True)
class _Piece:
    chunk: KeyChunk
    sends: int = 0
    sent_at: float = 0.0
    acknowledged: bool = False


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
        self._began = self._progressed = now
        self._fruitless = 1.0
        self._answered = 0.0  # when the latest chunk that was answered had left
        self._repeated = 0.0
        self._rtt: float | None = None
        self._deviation = 0.0
        self._results: deque[TransferResult] = deque(maxlen=_RESULTS_KEPT)

    @property
    def idle(self) -> bool:
        """True when nothing is on its way and nothing waits."""
        return not self._pieces and not self._waiting

    @property
    def bytes_per_s(self) -> float:
        """The rate now, slowed down for motion or not."""
        return self._rate * self._share

    @property
    def resend_after_s(self) -> float:
        """Time after which a chunk counts as lost while others arrive."""
        rtt = _FIRST_RTT_S if self._rtt is None else self._rtt
        return max(1.25 * rtt, rtt + 2 * self._deviation) + _RESEND_MARGIN_S

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
        if above_base_ms > _LATE_MS and now - self._share_changed >= _CUT_INTERVAL_S:
            self._set_share(max(_LEAST_SHARE, self._share / 2), now)
        elif above_base_ms < _EASY_MS and self._share < 1 and now - self._share_changed >= _REGAIN_INTERVAL_S:
            self._set_share(min(1.0, self._share * 1.5), now)

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
        for piece in news:
            piece.acknowledged = True
        if news:
            self._progressed = now
            self._fruitless = 1.0
            self._answered = max(self._answered, *(piece.sent_at for piece in news if self._is_answer(piece, now)), 0.0)
            once = [now - piece.sent_at for piece in news if piece.sends == 1]  # Karn: a repeat's answer is ambiguous
            if once:
                self._measure(min(once))
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
            if piece.sends:
                self._repeated = now
                self._fruitless = min(self._fruitless * _BACKOFF, 8.0)
            piece.sends += 1
            piece.sent_at = now
            messages.append(message)
        return messages

    def next_deadline(self, now: float) -> float | None:
        """When there may be something to send, or to give up; None while there is nothing to do."""
        piece = self._next_piece(now)
        if piece is not None:
            return now + self._pacer.delay(len(piece.chunk.pack()), now)
        times = [each.sent_at + self._patience() for each in self._pieces if not each.acknowledged]
        return min(times, default=None)

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

    def _next_piece(self, now: float) -> _Piece | None:
        """The piece to send next: one whose answer is overdue, else one that never left."""
        if not self._pieces and self._waiting:
            self._begin(self._waiting.popleft(), now)
        patience = self._patience()
        fresh = None
        for piece in self._pieces:
            if piece.acknowledged:
                continue
            if not piece.sends:
                fresh = fresh or piece
            elif now >= piece.sent_at + patience and (piece.sent_at < self._answered or self._silent(now, patience)):
                return piece
        return fresh

    def _is_answer(self, piece: _Piece, now: float) -> bool:
        """Whether an acknowledgement answers the latest sending of a chunk rather than an earlier one."""
        return piece.sends == 1 or (self._rtt is not None and now - piece.sent_at >= 0.5 * self._rtt)

    def _silent(self, now: float, patience: float) -> bool:
        """Whether nothing has come back for so long that one chunk is worth repeating to find out.

        One: on a slow line with a long queue the answers are only late, and repeating all would make them later.
        """
        return now >= max(self._progressed, self._repeated) + patience

    def _begin(self, data: bytes, now: float) -> None:
        first = self._transfer < 0 and self.bytes_per_s >= _FIRST_WHOLE_BYTES_PER_S
        self._transfer = (self._transfer + 1) % TRANSFER_MODULO
        # On a slow line short chunks: a long one would keep motion waiting while it is on the wire. Behind the first
        # transfer there is no motion yet.
        short = min(MAX_BODY_BYTES, max(_SMALLEST_BODY_BYTES, int(self.bytes_per_s * _BODY_TIME_S)))
        body = MAX_BODY_BYTES if first else short
        self._pieces = [_Piece(chunk) for chunk in split_transfer(data, self._transfer, body)]
        self._began = self._progressed = self._repeated = now
        self._answered = 0.0
        self._fruitless = 1.0

    def _patience(self) -> float:
        # Grows while repeats are fruitless, but stays short enough that an outage's end is found out within 400 ms.
        resend = self.resend_after_s
        return max(resend, min(resend * self._fruitless, _LONGEST_RESEND_S))

    def _give_up(self, now: float) -> None:
        if self._pieces and (now - self._progressed > self._config.stall_s or now - self._began > self._config.total_s):
            self._finish(TransferResult.GIVEN_UP)

    def _finish(self, result: TransferResult) -> None:
        self._pieces = []
        self._results.append(result)

    def _measure(self, rtt: float) -> None:
        if self._rtt is None:
            self._rtt, self._deviation = rtt, rtt / 2
            return
        self._deviation += (abs(rtt - self._rtt) - self._deviation) / 4
        self._rtt += (rtt - self._rtt) / 8

    def _set_share(self, share: float, now: float) -> None:
        self._share = share
        self._share_changed = now
        self._pacer.set_rate(self.bytes_per_s, self._burst_bytes, now)
