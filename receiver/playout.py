"""Which frame to show now: reordering, a small adaptive delay, and the filling of small gaps.

Every frame is due at capture time + least transit + playout delay. The delay is what the jitter of the last packets
asks for, plus one frame when packets get lost, so that both neighbours of a missing frame are there in time to draw
it between them. It grows at once and shrinks slowly. Frames are never shown out of order; a frame that is overdue
gives way to a newer one, so no latency builds up on a slow receiver.

    packets --> [ 17 18 . 20 ] --> due?  17, 18, (19 between 18 and 20), 20
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from receiver.timeline import Stamp, Timeline

Payload = TypeVar("Payload")

_CAPACITY = 64
_REMEMBERED = 256
_EPSILON_MS = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class PlayoutConfig:
    """How long frames wait before they are shown."""

    min_delay_ms: float = 0.0
    """Shortest playout delay beyond the fastest packet's."""
    max_delay_ms: float = 200.0
    """Longest; what comes later is dropped."""
    shrink_ms_per_s: float = 20.0
    """How fast the delay shrinks when the network calms down."""
    conceal_loss: float = 0.01
    """From this share of lost packets on, one frame of delay is added to fill gaps."""
    conceal_frames: int = 2
    """So many missing frames in a row are interpolated; a longer gap is a jump. 0 never interpolates."""
    catch_up_ms: float = 50.0
    """A frame overdue by more is skipped when a newer one is due."""

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        if not 0 <= self.min_delay_ms <= self.max_delay_ms:
            raise ValueError(
                f"min_delay_ms, max_delay_ms: got {self.min_delay_ms}, {self.max_delay_ms}, expected 0 <= min <= max"
            )
        for name in ("shrink_ms_per_s", "conceal_loss", "conceal_frames", "catch_up_ms"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected 0 or more")


class Arrival(Enum):
    """What became of a packet."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    LATE = "late"
    IMPLAUSIBLE = "implausible time"


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Payload]):
    stamp: Stamp
    payload: Payload
    arrival: float


@dataclass(frozen=True, slots=True)
class DueFrame(Generic[Payload]):
    """A frame to show.

    capture_ms: unwrapped capture time. after: its payload; when `interpolated`, the payload of the next frame,
    `before` that of the previous one, and `position` (0 to 1) where it lies between them. buffered_ms: since `after`
    arrived.
    """

    capture_ms: int
    before: Payload | None
    after: Payload
    position: float
    interpolated: bool
    buffered_ms: float


class PlayoutBuffer(Generic[Payload]):
    """Orders the frames of one sender in time. Holds at most 64 frames."""

    def __init__(self, config: PlayoutConfig) -> None:
        self._config = config
        self._timeline = Timeline()
        self._waiting: dict[int, _Waiting[Payload]] = {}
        self._seen: deque[int] = deque(maxlen=_REMEMBERED)
        self._shown: _Waiting[Payload] | None = None
        self._shown_ms: int | None = None
        self._drawn_ms = 0.0  # half an interval after an interpolated frame: its real one comes too late
        self._delay_ms = config.min_delay_ms
        self._delay_time: float | None = None
        self.skipped = 0

    @property
    def delay_ms(self) -> float:
        """Present playout delay beyond the fastest packet's."""
        return self._delay_ms

    @property
    def interval_ms(self) -> float:
        """Mean time between frames."""
        return self._timeline.interval_ms

    @property
    def loss(self) -> float:
        """Share of packets missing among the latest, 0 to 1."""
        return self._timeline.loss

    @property
    def waiting(self) -> int:
        """Frames that wait to be shown."""
        return len(self._waiting)

    def push(self, sequence: int, time_ms: int, payload: Payload, now: float) -> Arrival:
        """Take a frame that arrived at `now` (seconds)."""
        restarts = self._timeline.restarts
        stamp = self._timeline.read(sequence, time_ms, now)
        if stamp is None:
            return Arrival.IMPLAUSIBLE
        if self._timeline.restarts != restarts:
            self.skipped += len(self._waiting)
            self._waiting.clear()
            self._seen.clear()
            self._shown = None
        if stamp.capture_ms in self._seen:
            return Arrival.DUPLICATE
        self._seen.append(stamp.capture_ms)
        self._timeline.arrived(stamp, now)
        self._adapt(now)
        if self._shown_ms is not None and stamp.capture_ms <= self._shown_ms + self._drawn_ms:
            return Arrival.LATE
        self._waiting[stamp.capture_ms] = _Waiting(stamp, payload, now)
        if len(self._waiting) > _CAPACITY:
            del self._waiting[min(self._waiting)]
            self.skipped += 1
        return Arrival.ACCEPTED

    def pull(self, now: float) -> DueFrame[Payload] | None:
        """The frame to show at `now`, if one is due. At most one; call again for the next."""
        order = sorted(self._waiting)
        if not order:
            return None
        due = [capture_ms for capture_ms in order if self._overdue_ms(capture_ms, now) >= -_EPSILON_MS]
        if not due:
            return self._between(order[0], now)
        # The newest due frame always counts; older ones only as long as they are not overdue.
        chosen = next((ms for ms in due if self._overdue_ms(ms, now) <= self._config.catch_up_ms), due[-1])
        for capture_ms in due:
            if capture_ms < chosen:
                del self._waiting[capture_ms]
                self.skipped += 1
        frame = self._waiting.pop(chosen)
        self._shown, self._shown_ms, self._drawn_ms = frame, chosen, 0.0
        return DueFrame(
            capture_ms=chosen,
            before=None,
            after=frame.payload,
            position=1.0,
            interpolated=False,
            buffered_ms=(now - frame.arrival) * 1000,
        )

    def next_due(self) -> float | None:
        """When to call `pull` next (seconds on the clock of `now`), or None while nothing waits."""
        if not self._waiting:
            return None
        first = min(self._waiting)
        missing = self._first_missing(first)
        return ((first if missing is None else missing[0]) + self._timeline.base_transit_ms + self._delay_ms) / 1000

    def _between(self, next_ms: int, now: float) -> DueFrame[Payload] | None:
        """A missing frame before `next_ms`, which itself is not due yet."""
        missing = self._first_missing(next_ms)
        if missing is None or self._overdue_ms(missing[0], now) < -_EPSILON_MS:
            return None
        assert self._shown is not None  # else nothing is missing
        after = self._waiting[next_ms]
        self._shown_ms, self._drawn_ms = missing[0], self._timeline.interval_ms / 2
        return DueFrame(
            capture_ms=missing[0],
            before=self._shown.payload,
            after=after.payload,
            position=missing[1],
            interpolated=True,
            buffered_ms=(now - after.arrival) * 1000,
        )

    def _first_missing(self, next_ms: int) -> tuple[int, float] | None:
        """Capture time and position of the first missing frame after what is shown and before `next_ms`."""
        if self._shown is None or self._shown_ms is None:
            return None
        before, after = self._shown.stamp, self._waiting[next_ms].stamp
        frames = after.sequence - before.sequence
        if not 2 <= frames <= self._config.conceal_frames + 1:
            return None
        for number in range(1, frames):
            capture_ms = before.capture_ms + round((after.capture_ms - before.capture_ms) * number / frames)
            if self._shown_ms < capture_ms < next_ms:
                return capture_ms, number / frames
        return None

    def _overdue_ms(self, capture_ms: int, now: float) -> float:
        return now * 1000 - (capture_ms + self._timeline.base_transit_ms + self._delay_ms)

    def _adapt(self, now: float) -> None:
        config = self._config
        wanted_ms = self._timeline.jitter_ms
        if config.conceal_frames and self._timeline.loss >= config.conceal_loss:
            wanted_ms += self._timeline.interval_ms
        wanted_ms = min(max(wanted_ms, config.min_delay_ms), config.max_delay_ms)
        step_s = 0.0 if self._delay_time is None else max(now - self._delay_time, 0.0)
        self._delay_time = now
        self._delay_ms = max(wanted_ms, self._delay_ms - config.shrink_ms_per_s * step_s)
