"""The rate that the line carries, from queueing delay and loss.

    queue grows  -> rate = 0.85 * sent rate / (1 + trend)     what came out at the other end while the queue grew
    no queue     -> grow 25 % a second up to nine tenths of the last ceiling, wait, then 6 % a second beyond it
    loss > 10 %  -> down once; when loss does not follow the rate, it is the line's own and counts no more
    silence      -> halve every second; nine tenths of what was are back with the first feedback

In the manner of Google congestion control (draft-ietf-rmcat-gcc-02: delay-based and loss-based controllers, the
smaller one counts), with three changes for a stream of 5 to 50 kbit/s that must not swing: the rate after congestion
is computed from the trend rather than guessed, the wait before the ceiling is tried again doubles up to 16 s (as BBR
paces its probes), and loss that does not depend on the rate is told apart (on radio links GCC's loss controller
would go down to nothing).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum

import numpy as np

from sender.queue_delay import Trend

_WIRE_KEPT_S = 10.0
_LEAST_SPAN_S = 1.0
_LOSS_JUDGED = 12
_LOSS_TRIAL_S = 5.0
_SETTLE_S = 0.1
_DRAIN_IN_S = 2.0
_LEAST_SHARE = 0.4
_DRAINING_TREND = 0.03
_FUTILE_STEPS = 3
_PROOF_S = 3.0
_LINE_SHOWN = 0.5
_AFTER_SILENCE = 0.9
_USED_SHARE = 0.75
_PROVED_SHARE = 0.88
_SAFE_SHARE = 0.9
_LINE_LOSS_FORGOTTEN_PER_S = 0.002


class LineState(Enum):
    """What the line seems to be doing."""

    STARTING = "starting"
    CLEAR = "clear"
    CONGESTED = "congested"
    SILENT = "silent"


@dataclass(frozen=True, kw_only=True, slots=True)
class RateEstimateConfig:
    """How the estimate moves."""

    start_bps: float = 64_000.0
    """Rate before anything is known, bits a second on the wire."""
    floor_bps: float = 5_000.0
    """Never lower: motion at 5 frames/s must go on."""
    ceiling_bps: float = 1_000_000.0
    """Never higher: what the user allows."""
    standing_s: float = 0.06
    """A standing queue of so long is congestion, seconds."""
    growing_s: float = 0.025
    """With a growing queue, so long is enough, seconds."""
    growing_trend: float = 0.1
    """A queue that grows faster is growing, seconds a second."""
    back_off: float = 0.85
    """Share of the line's rate that is used after congestion, so that the queue drains."""
    growth_per_s: float = 0.25
    """Growth while the line's rate is far, share a second."""
    probe_per_s: float = 0.03
    """Growth beyond the last ceiling, share a second."""
    first_probe_s: float = 4.0
    """Wait after congestion before the ceiling is tried, seconds; doubles when it was right."""
    last_probe_s: float = 16.0
    """The longest such wait, seconds."""
    loss_share: float = 0.1
    """Loss above this may be congestion."""
    silent_s: float = 2.0
    """No feedback for so long is silence, seconds."""

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        if not 0 < self.floor_bps <= self.ceiling_bps:
            raise ValueError(
                f"floor_bps, ceiling_bps: got {self.floor_bps}, {self.ceiling_bps}, expected 0 < floor <= ceiling"
            )
        if not 0 < self.back_off < 1:
            raise ValueError(f"back_off: got {self.back_off}, expected above 0 and below 1")
        for name in ("start_bps", "standing_s", "growing_s", "growing_trend", "growth_per_s", "probe_per_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected more than 0")
        if not 0 < self.first_probe_s <= self.last_probe_s:
            raise ValueError(
                f"first_probe_s, last_probe_s: got {self.first_probe_s}, {self.last_probe_s}, "
                "expected 0 < first <= last"
            )
        if not 0 < self.loss_share < 1:
            raise ValueError(f"loss_share: got {self.loss_share}, expected above 0 and below 1")
        if not self.silent_s > 0:
            raise ValueError(f"silent_s: got {self.silent_s}, expected more than 0")


@dataclass(frozen=True, slots=True)
class LineSample:
    """What one feedback tells.

    standing_s: the standing queue, seconds; None while it is not known. trend: its growth, None likewise. loss:
    share of the frames of the last 5 s, 0 to 1. judged: how many frames that is of. message_bytes: of a datagram with
    motion: on a slow line it takes longer by itself, which is no queue.
    """

    standing_s: float | None
    trend: Trend | None
    loss: float
    judged: int
    message_bytes: int


class RateEstimate:
    """Keeps the rate; times are seconds on one clock."""

    def __init__(self, config: RateEstimateConfig | None = None) -> None:
        self._config = config if config is not None else RateEstimateConfig()
        self._rate_bps = min(max(self._config.start_bps, self._config.floor_bps), self._config.ceiling_bps)
        self._line_bps: float | None = None  # where congestion was met last
        self._probe_wait_s = self._config.first_probe_s
        self._congested_at: float | None = None
        self._moved_at: float | None = None
        self._feedback_at: float | None = None
        self._before_silence: float | None = None
        self._halved_at = 0.0
        self._futile = 0  # times that less was sent and the queue stayed
        self._wire: deque[tuple[float, int]] = deque()
        self._line_loss = 0.0
        self._loss_trial: tuple[float, float] | None = None  # when the rate went down for loss, loss then
        self._state = LineState.STARTING

    @property
    def bps(self) -> float:
        """Bits a second that may go on the wire, all headers counted."""
        return self._rate_bps

    @property
    def state(self) -> LineState:
        """What the line seems to be doing."""
        return self._state

    def on_wire(self, total_bytes: int, now: float) -> None:
        """Note how many bytes have left since the beginning, headers included."""
        self._wire.append((now, total_bytes))
        while len(self._wire) > 2 and now - self._wire[1][0] > _WIRE_KEPT_S:
            self._wire.popleft()

    def sent_bps(self, start: float, end: float) -> float | None:
        """Mean rate sent between two times, or over the second before `end`; None before it is known."""
        start = min(start, end - _LEAST_SPAN_S)
        if len(self._wire) < 2 or end <= self._wire[0][0]:
            return None
        start, end = max(start, self._wire[0][0]), min(end, self._wire[-1][0])
        if end - start < 0.5 * _LEAST_SPAN_S:
            start = max(self._wire[-1][0] - _LEAST_SPAN_S, self._wire[0][0])
            end = self._wire[-1][0]
        times, totals = zip(*self._wire, strict=True)
        sent_bytes = np.interp([start, end], times, totals)
        return float(sent_bytes[1] - sent_bytes[0]) * 8 / (end - start) if end > start else None

    def on_transfer(self, shown_bps: float, now: float) -> None:
        """What left as fast as the rate allows passed at so many bits a second; counts at the start only.

        A line that passed it clearly slower is met there: what it carries beyond is tried with care, as after
        congestion.
        """
        if self._state is LineState.STARTING:
            if shown_bps < _LINE_SHOWN * self._rate_bps:
                self._line_bps = shown_bps
                self._congested_at = now
            self._rate_bps = max(min(self._rate_bps, shown_bps), self._config.floor_bps)

    def on_feedback(self, sample: LineSample, now: float) -> bool:
        """Move by what a feedback told.

        Returns:
            False when the delay turned out not to be a queue of ours, because sending less did not change it: the
            line's least delay should be learned anew.
        """
        config = self._config
        elapsed = min(now - self._moved_at, 0.5) if self._moved_at is not None else 0.0
        self._moved_at = self._feedback_at = now
        if self._before_silence is not None:
            self._rate_bps = max(self._rate_bps, _AFTER_SILENCE * self._before_silence)
            self._before_silence = None
        standing_s = self._queue_s(sample)
        if standing_s is not None and sample.trend is not None and self._queue_is_ours(standing_s, sample.trend):
            return self._congested(standing_s, sample.trend, now)
        if self._loss_is_ours(sample, elapsed, now):
            return True
        if standing_s is None or standing_s > config.growing_s:
            return True
        if self._state is LineState.CONGESTED and self._line_bps is not None:
            self._rate_bps = max(self._rate_bps, min(config.back_off * self._line_bps, config.ceiling_bps))
        self._state = LineState.CLEAR
        self._futile = 0
        self._grow(elapsed, now)
        return True

    def on_tick(self, now: float) -> None:
        """Call now and then: notices that the line fell silent."""
        if self._feedback_at is None or now - self._feedback_at < self._config.silent_s:
            return
        if self._before_silence is None:
            self._before_silence = self._rate_bps
            self._state = LineState.SILENT
        elif now - self._halved_at < 1.0:
            return
        self._halved_at = now
        self._rate_bps = max(self._rate_bps / 2, self._config.floor_bps)

    def _queue_s(self, sample: LineSample) -> float | None:
        """The standing queue without the time that a message takes to pass a line of the rate that we know."""
        if sample.standing_s is None:
            return None
        line_bps = self._rate_bps if self._line_bps is None else self._line_bps
        return max(sample.standing_s - sample.message_bytes * 8 / line_bps, 0.0)

    def _queue_is_ours(self, standing_s: float, trend: Trend) -> bool:
        config = self._config
        growing = trend.slope > config.growing_trend and standing_s > config.growing_s
        return growing or standing_s > config.standing_s

    def _congested(self, standing_s: float, trend: Trend, now: float) -> bool:
        """Go down, or see the queue drain; False when it does not although little is sent."""
        # What was sent before the last step down cannot show what the step did.
        settled = self._congested_at is None or trend.sent_from > self._congested_at + _SETTLE_S
        if settled and trend.slope > -_DRAINING_TREND:
            if self._state is LineState.CONGESTED and trend.slope < _DRAINING_TREND:
                self._futile += 1
                if self._futile >= _FUTILE_STEPS:
                    self._futile = 0
                    return False
            self._meet_ceiling(trend, now)
        self._state = LineState.CONGESTED
        if self._line_bps is not None:
            share = min(max(1 - standing_s / _DRAIN_IN_S, _LEAST_SHARE), self._config.back_off)
            self._rate_bps = max(min(share * self._line_bps, self._rate_bps), self._config.floor_bps)
        return True

    def _meet_ceiling(self, trend: Trend, now: float) -> None:
        """Learn what the line carries: what was sent, less what the queue grew by."""
        config = self._config
        sent = self.sent_bps(trend.sent_from, trend.sent_until)
        line = min(sent, 1.5 * self._rate_bps) if sent is not None else self._rate_bps
        line /= 1.0 + min(max(trend.slope, -0.5), 3.0)
        if self._line_bps is not None and 0.75 <= line / self._line_bps <= 1.25:
            self._probe_wait_s = min(2 * self._probe_wait_s, config.last_probe_s)
            # One measurement is noisy; the line is most likely the same as before.
            line = 0.5 * (line + self._line_bps)
        else:
            self._probe_wait_s = config.first_probe_s
        self._line_bps = line
        self._congested_at = now

    def _loss_is_ours(self, sample: LineSample, elapsed: float, now: float) -> bool:
        """Whether loss holds the rate back now; goes down once to find out whose loss it is."""
        config = self._config
        if sample.judged < _LOSS_JUDGED:
            return False
        if self._loss_trial is not None:
            since, before = self._loss_trial
            if now - since < _LOSS_TRIAL_S:
                return True
            self._loss_trial = None
            if sample.loss > 0.6 * before:
                self._line_loss = max(self._line_loss, sample.loss)
        self._line_loss = max(self._line_loss - _LINE_LOSS_FORGOTTEN_PER_S * elapsed, 0.0)
        if sample.loss < self._line_loss + config.loss_share:
            return False
        self._loss_trial = (now, sample.loss)
        self._line_bps = self._rate_bps
        self._rate_bps = max(self._rate_bps * (1 - 0.5 * sample.loss), config.floor_bps)
        self._congested_at = now
        self._state = LineState.CONGESTED
        return True

    def _grow(self, elapsed: float, now: float) -> None:
        config = self._config
        sent = self.sent_bps(now - _PROOF_S, now)
        if sent is not None and sent < _USED_SHARE * self._rate_bps:
            return  # a rate that is not used is not proved
        if self._line_bps is None or self._congested_at is None:
            self._rise(1 + config.growth_per_s * elapsed, config.ceiling_bps)
            return
        if self._rate_bps < _SAFE_SHARE * self._line_bps:
            self._rise(1 + config.growth_per_s * elapsed, _SAFE_SHARE * self._line_bps)
        elif now - self._congested_at >= self._probe_wait_s and (
            sent is None or sent >= _PROVED_SHARE * self._rate_bps
        ):
            self._rise(1 + config.probe_per_s * elapsed, config.ceiling_bps)
            if self._rate_bps > 1.3 * self._line_bps:
                self._line_bps = None  # the line carries more than it did
                self._probe_wait_s = config.first_probe_s

    def _rise(self, factor: float, limit_bps: float) -> None:
        risen = min(self._rate_bps * factor, limit_bps, self._config.ceiling_bps)
        self._rate_bps = max(self._rate_bps, risen)
