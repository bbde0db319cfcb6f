"""Which frame to show when: ordering, a small adaptive delay, and instants at which a frame must be drawn.

Every frame is due at capture time + least transit + playout delay. The delay is made of what the jitter of the last
messages asks for, the span of a message (its frames come in one bunch and are spread in time again), one message more
when some get lost, so that both neighbours of a missing frame are there in time to draw it between them, and, where the
display is faster than the sender, what drawing between the latest two frames takes. It grows at once and shrinks
slowly. Frames are never shown out of order; one that is overdue gives way to a newer one, so no latency builds up on a
slow receiver.

    messages --> [ 17 18 . 20 ] --> due?  17, 18, (19 between 18 and 20), 20, (21 carried on from 20: not there)
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic

from receiver.concealment import VELOCITY_HORIZONS
from receiver.due_frames import Arrival, DueFrame, Incoming, Known, Origin, Payload
from receiver.instants import DisplayRate
from receiver.playout_config import PlayoutConfig
from receiver.timeline import Stamp, Timeline

_CAPACITY = 64
_PASSED = 4
_REMEMBERED = 256
_EPSILON_MS = 0.5
_LONGEST_GRACE_MS = 20.0


class PlayoutBuffer(Generic[Payload]):
    """Orders the frames of one sender in time. Holds at most 64 frames."""

    def __init__(
        self, config: PlayoutConfig, continues: Callable[[Payload, Payload], bool] = lambda before, after: True
    ) -> None:
        """Begin empty.

        config: delays and what is drawn. continues: whether motion from one frame to the next may be carried on.
        """
        self._config = config
        self._continues = continues
        self._timeline = Timeline()
        self._rate = DisplayRate(config.display_interval_ms, config.conceal_gap_ms)
        self._known: list[Known[Payload]] = []  # by capture time; the last few that passed, then those that wait
        self._seen: deque[int] = deque(maxlen=_REMEMBERED)
        self._shown_ms: int | None = None
        self._shown_origin = Origin.SENT
        self._passed_ms = float("-inf")  # what was captured up to here comes too late to be shown
        self._delay_ms = config.min_delay_ms
        self._delay_time: float | None = None
        self.skipped = 0

    @property
    def delay_ms(self) -> float:
        """Present playout delay beyond the fastest message's."""
        return self._delay_ms

    @property
    def interval_ms(self) -> float:
        """Time between the sender's frames lately."""
        return self._timeline.interval_ms

    @property
    def loss(self) -> float:
        """Share of frames missing among the latest, 0 to 1; repeats do not make up for them."""
        return self._timeline.loss

    @property
    def restarts(self) -> int:
        """How often the sender began anew; all frames of before are forgotten."""
        return self._timeline.restarts

    @property
    def waiting(self) -> int:
        """Frames that wait to be shown."""
        return len(self._coming())

    def push(self, frames: Sequence[Incoming[Payload]], now: float) -> tuple[tuple[Stamp, Arrival], ...]:
        """Take the frames of a message, oldest first, that arrived at `now` (seconds); the newest is no repeat.

        Returns every frame's unwrapped stamp and what became of it; nothing when their times cannot be right.
        """
        restarts = self._timeline.restarts
        stamps = self._timeline.read([(frame.sequence, frame.time_ms) for frame in frames], now)
        if stamps is None:
            return ()
        if self._timeline.restarts != restarts:
            self.skipped += self.waiting
            self._known.clear()
            self._seen.clear()
        first_sent = [stamp for stamp, frame in zip(stamps, frames, strict=True) if not frame.repeat]
        self._rate.look(now)
        if stamps[-1].capture_ms not in self._seen:
            self._timeline.arrived(first_sent, now)
            self._adapt(now)
        return tuple((stamp, self._take(stamp, frame, now)) for stamp, frame in zip(stamps, frames, strict=True))

    def pull(self, now: float) -> DueFrame[Payload] | None:
        """The frame to show at `now`, if one is due. At most one; call again for the next."""
        head_ms = now * 1000 - self._timeline.base_transit_ms - self._delay_ms + _EPSILON_MS
        coming = self._coming()
        if not coming:
            return self._carry_on(head_ms - self._grace_ms(), now)
        between = [ms for ms in self._between(coming[0]) if ms <= head_ms]
        due = [frame for frame in coming if frame.stamp.capture_ms <= head_ms]
        if not due and not between:
            return None
        self._note_strain(between if due else between[:-1], coming[0], now)
        if not due:
            return self._show(between[-1], Origin.INTERPOLATED, coming[0], now)
        # The newest due frame always counts; older ones only as long as they are not overdue.
        oldest_ms = head_ms - self._config.catch_up_ms
        chosen = next((frame for frame in due if frame.stamp.capture_ms >= oldest_ms), due[-1])
        self.skipped += due.index(chosen)
        return self._show(chosen.stamp.capture_ms, Origin.SENT, None, now)

    def next_due(self) -> float | None:
        """When `pull` has a frame next (seconds on the clock of `now`), or None until a message comes."""
        coming = self._coming()
        if coming:
            due_ms: float = next(iter(self._between(coming[0])), coming[0].stamp.capture_ms)
        else:
            first_ms = self._first_carried_on_ms()
            if first_ms is None:
                return None
            due_ms = first_ms + self._grace_ms()
        return (due_ms + self._timeline.base_transit_ms + self._delay_ms) / 1000

    def _take(self, stamp: Stamp, frame: Incoming[Payload], now: float) -> Arrival:
        """Put a frame in its place among those that are known."""
        held = next((known for known in self._known if known.stamp.capture_ms == stamp.capture_ms), None)
        if frame.repeat:
            if held is not None or stamp.capture_ms in self._seen:
                return Arrival.REPEAT
        else:
            if stamp.capture_ms in self._seen:
                return Arrival.DUPLICATE
            self._seen.append(stamp.capture_ms)
            if held is not None:
                self._known.remove(held)
        insort(self._known, Known(stamp, frame.payload, now, frame.repeat), key=lambda known: known.stamp.capture_ms)
        if stamp.capture_ms <= self._passed_ms:
            self._forget_passed()
            return Arrival.LATE
        if self.waiting > _CAPACITY:
            self._known.remove(self._coming()[0])
            self.skipped += 1
        return Arrival.ACCEPTED

    def _coming(self) -> list[Known[Payload]]:
        """Frames that can still be shown."""
        return [known for known in self._known if known.stamp.capture_ms > self._passed_ms]

    def _between(self, after: Known[Payload]) -> list[int]:
        """Instants at which frames are to be drawn before `after`, the first frame that can still be shown."""
        place = self._known.index(after)
        if self._shown_ms is None or place == 0:
            return []
        return [ms for ms in self._rate.between(self._known[place - 1].stamp, after.stamp) if ms > self._passed_ms]

    def _carry_on(self, head_ms: float, now: float) -> DueFrame[Payload] | None:
        """Nothing came in time: the latest instant up to `head_ms` to which motion is carried on."""
        first_ms = self._first_carried_on_ms()
        if first_ms is None or first_ms > head_ms:
            return None
        last_ms = min(head_ms, self._known[-1].stamp.capture_ms + self._config.concealment.horizon_ms)
        step_ms = self._rate.step_ms(self._timeline.interval_ms)
        steps = max((last_ms - first_ms) // step_ms, 0)
        return self._show(first_ms + round(steps * step_ms), Origin.EXTRAPOLATED, None, now)

    def _first_carried_on_ms(self) -> int | None:
        """The first instant after what is shown to which motion can be carried on, while no frame waits."""
        if self._shown_ms is None or len(self._known) < 2:
            return None
        before, last = self._known[-2:]
        first_ms = self._shown_ms + max(round(self._rate.step_ms(self._timeline.interval_ms)), 1)
        horizon_ms = self._config.concealment.horizon_ms
        if first_ms > last.stamp.capture_ms + horizon_ms:
            return None
        if last.stamp.capture_ms - before.stamp.capture_ms > VELOCITY_HORIZONS * horizon_ms:
            return None
        return first_ms if self._continues(before.payload, last.payload) else None

    def _grace_ms(self) -> float:
        """How long a frame may be late before motion is carried on without it."""
        return min(self._rate.step_ms(self._timeline.interval_ms) / 2, _LONGEST_GRACE_MS)

    def _show(self, capture_ms: int, origin: Origin, later: Known[Payload] | None, now: float) -> DueFrame[Payload]:
        """Note what is shown, and tell of it."""
        earlier = tuple(known for known in self._known if known.stamp.capture_ms <= capture_ms)
        needed = earlier[-1:] if later is None else (*earlier[-1:], later)
        step_ms = self._rate.step_ms(self._timeline.interval_ms)
        if later is not None:
            before = earlier[-1].stamp
            step_ms = self._rate.step_ms(
                later.stamp.capture_ms - before.capture_ms, later.stamp.sequence - before.sequence
            )
        frame = DueFrame(
            capture_ms=capture_ms,
            origin=origin,
            earlier=earlier[-_PASSED:],
            later=later,
            missed=self._missed(capture_ms),
            buffered_ms=(now - max(known.arrival for known in needed)) * 1000,
        )
        self._shown_ms, self._shown_origin = capture_ms, origin
        self._passed_ms = capture_ms if origin is Origin.SENT else capture_ms + step_ms / 2
        self._forget_passed()
        return frame

    def _missed(self, capture_ms: int) -> bool:
        """Whether something should have been shown between the frame shown last and this one, but was not there."""
        shown_ms = self._shown_ms
        if shown_ms is None or self._shown_origin is Origin.EXTRAPOLATED:
            return shown_ms is not None
        if any(shown_ms < known.stamp.capture_ms < capture_ms for known in self._known):
            return False
        return capture_ms - shown_ms > 1.5 * self._timeline.interval_ms

    def _forget_passed(self) -> None:
        """Keep the last few frames of those that can no longer be shown: motion is measured on them."""
        passed = len(self._known) - self.waiting
        del self._known[: max(passed - _PASSED, 0)]

    def _note_strain(self, unseen: Sequence[int], after: Known[Payload], now: float) -> None:
        """Instants that are not drawn because `pull` came too late, unless the frame that they need did."""
        transit_ms = self._timeline.base_transit_ms + self._delay_ms
        self._rate.skipped(sum(ms + transit_ms >= after.arrival * 1000 for ms in unseen), now)

    def _adapt(self, now: float) -> None:
        config, timeline = self._config, self._timeline
        wanted_ms = timeline.jitter_ms
        if config.conceal_gap_ms and timeline.loss >= config.conceal_loss:
            wanted_ms += min(timeline.span_ms + timeline.interval_ms, config.conceal_wait_ms)
        wanted_ms = min(max(wanted_ms, config.min_delay_ms), config.max_delay_ms)
        wanted_ms += timeline.span_ms
        if config.conceal_gap_ms:
            wanted_ms += timeline.interval_ms - self._rate.step_ms(timeline.interval_ms)
        step_s = 0.0 if self._delay_time is None else max(now - self._delay_time, 0.0)
        self._delay_time = now
        self._delay_ms = max(wanted_ms, self._delay_ms - config.shrink_ms_per_s * step_s)
