"""How much a sender may put on the line, and how it is divided.

    messages sent, bytes on the wire --+                                    +--> RatePlan: frames a message, frame rate,
    feedback --> sent frames: loss,    +--> rate estimate --> plan choice --+    quality, repeats, mean of references
                 round trip, queue   --+         ^                          +--> pace of references, bytes/s
                                                 |
                                     cap (never more), target (mean)

The mean of references is what the target leaves, corrected by what the wire really carried since the beginning, so
that the mean over a call is the target however well sizes were guessed. Their pace (how fast one reference leaves) is
what the line and the cap leave beside the motion. No clock: times are arguments, seconds on one clock.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field, replace

from adasr_core.bitstream.feedback import MotionFeedback
from adasr_core.bitstream.motion_message import MAX_MESSAGE_FRAMES
from sender.plan_choice import Choice, DelayMode, LineView, PlanChoice, PlanRules, body_bytes, motion_bps, rules_for
from sender.queue_delay import QueueDelay
from sender.rate_estimate import LineSample, LineState, RateEstimate, RateEstimateConfig
from sender.rate_plan import MAX_ANCHOR_FRAMES, RatePlan
from sender.redundancy import Redundancy
from sender.reply_watch import ReplyWatch
from sender.sent_frames import SentFrames
from sender.wire_cost import DATA_CHUNK_BYTES, datagram_bytes

_KEY_SHARE = 0.85  # of what references cost on the wire: chunks mostly leave in the company of motion
_UNCAPPED_PEAK = 2.5
_LEAST_PEAK_BPS = 64_000.0
_CAP_MARGIN = 0.95
_DEFAULT_FPS = 25.0
_FPS_WINDOW_S = 3.0
_REFERENCE_STEP_BPS = 250.0
_REPAY_S = 20.0
_LEAST_KEY_BPS = 800.0
_SIZE_SMOOTHING = 0.05
_DEFAULT_RTT_S = 0.05
_FEEDBACK_WAITS_S = 0.06
_NAMED_MARGIN = 1.25
_SHORTEST_S = 0.001
_NARROW_SHARE = 0.9
_CHUNK_BODY_BYTES = 986
_CHUNK_HEAD_BYTES = 14
_PING_BYTES = 480
"""The pings at the beginning of a call, and their answers, each in one datagram; bytes on the wire there and back."""
_ANCHOR_BYTES = 130.0
_LONGEST_ANCHOR_S = 1.0
_LONG_MESSAGE_S = 0.1  # shorter ones find the end of a burst as soon by themselves
_BURST_MESSAGES = 3
_FEEDBACK_ACK_BPS = 8 * (DATA_CHUNK_BYTES + 4) * 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class RateControlConfig:
    """What a rate controller may do."""

    mode: DelayMode = DelayMode.BALANCED
    """What the person at the other end shall have first."""
    cap_bps: float | None = None
    """Never more on the wire, bits a second, over any 2 s; None: the mode's own mean rate, and bursts above it."""
    audio_bps: float = 0.0
    """Taken by audio, headers included, bits a second; `RateController.set_audio` changes it. It comes out of the
    cap; without one it comes on top of the mode's mean, which is that of the pictures."""
    max_fps: float = 30.0
    """Most frames coded a second, 5 to 30."""
    frames_per_message: int | None = None
    """1 to 8 overrides what the mode and the line say."""
    estimate: RateEstimateConfig = field(default_factory=RateEstimateConfig)
    """How the estimate of the line moves."""

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        if self.cap_bps is not None and not self.cap_bps >= self.estimate.floor_bps:
            raise ValueError(
                f"cap_bps: got {self.cap_bps}, expected at least {self.estimate.floor_bps:g}: motion takes that much"
            )
        self.check_audio(self.audio_bps)
        if self.frames_per_message is not None and not 1 <= self.frames_per_message <= MAX_MESSAGE_FRAMES:
            raise ValueError(f"frames_per_message: got {self.frames_per_message}, expected 1 to {MAX_MESSAGE_FRAMES}")
        self.rules()

    @staticmethod
    def check_audio(audio_bps: float) -> None:
        """Check what sound takes. Raises ValueError."""
        if not audio_bps >= 0:
            raise ValueError(f"audio_bps: got {audio_bps}, expected 0 or more")

    def capped(self, cap_bps: float) -> RateControlConfig:
        """The same with a cap that the other side asks for, if it is the lower one; never below what motion takes."""
        wanted = max(cap_bps, self.estimate.floor_bps)
        return replace(self, cap_bps=wanted if self.cap_bps is None else min(self.cap_bps, wanted))

    def rules(self) -> PlanRules:
        """The mode's rules with the user's limits."""
        rules = rules_for(self.mode)
        least, most = rules.least_frames_per_message, rules.most_frames_per_message
        if self.frames_per_message is not None:
            least = most = self.frames_per_message
        return replace(
            rules,
            target_bps=rules.target_bps if self.cap_bps is None else _CAP_MARGIN * self.cap_bps,
            least_frames_per_message=least,
            most_frames_per_message=most,
            max_fps=self.max_fps,
        )

    def peak_bps(self) -> float:
        """The most on the wire over 2 s, bits a second."""
        if self.cap_bps is not None:
            return _CAP_MARGIN * self.cap_bps
        return max(_UNCAPPED_PEAK * self.rules().target_bps, _LEAST_PEAK_BPS)


@dataclass(frozen=True, slots=True)
class LineFigures:
    """What is known of the line: rates in bits a second on the wire, loss 0 to 1, times in seconds or None."""

    estimate_bps: float
    state: LineState
    loss: float
    rtt_s: float | None
    standing_queue_s: float | None


class RateController:
    """Watches the line and says what a sender may do."""

    def __init__(self, config: RateControlConfig | None = None) -> None:
        self._config = config if config is not None else RateControlConfig()
        self._audio_bps, self._longest_message_s = self._config.audio_bps, math.inf
        self._rules = self._config.rules()
        self._peak_bps = self._config.peak_bps()
        settings = self._config.estimate
        self._estimate = RateEstimate(
            replace(
                settings,
                start_bps=min(max(settings.start_bps, self._rules.target_bps), self._peak_bps),
                floor_bps=min(settings.floor_bps, self._peak_bps),
                ceiling_bps=self._peak_bps,
            )
        )
        self._frames = SentFrames()
        self._queue = QueueDelay()
        self._redundancy = Redundancy()
        self._replies = ReplyWatch()
        self._choice = PlanChoice(self._rules)
        self._captures: deque[float] = deque()
        self._size_scale = 1.0
        self._payload_bytes = 16
        self._motion_began: float | None = None
        self._wire: tuple[float, int] | None = None
        self._over_bits = 0.0
        self._first_through = False
        self._reference_bps: float | None = None
        self._silent = False
        self._ping_s: float | None = None
        self._sent_choice: Choice | None = None

    @property
    def shared_bps(self) -> float:
        """What sound and video may have together as a mean, bits a second on the wire."""
        return self._estimate.bps if self._config.cap_bps is None else min(self._estimate.bps, self._rules.target_bps)

    def set_audio(self, audio_bps: float, longest_message_s: float = math.inf) -> None:
        """Sound takes so much from now on, headers included, bits a second on the wire.

        longest_message_s: it waits no longer for a motion message to travel with.
        """
        self._config.check_audio(audio_bps)
        self._audio_bps, self._longest_message_s = audio_bps, longest_message_s

    def on_capture(self, now: float) -> None:
        """The source gave a frame, coded or not."""
        self._captures.append(now)
        while now - self._captures[0] > _FPS_WINDOW_S:
            self._captures.popleft()

    def on_sent(self, sequence: int, frames: int, payload_bytes: int, capture_time: float, now: float) -> None:
        """A motion message left.

        Args:
            sequence: of its newest frame, 0 to 255.
            frames: in it that were not sent before.
            payload_bytes: the packed message.
            capture_time: of its newest frame, seconds.
            now: seconds.
        """
        self._frames.on_message(sequence, frames, capture_time, now)
        self._replies.on_message(sequence, now)
        self._payload_bytes = payload_bytes
        self._motion_began = now if self._motion_began is None else self._motion_began
        choice = self._sent_choice
        if choice is not None and frames == choice.frames_per_message:
            coarser = choice.quality - self._rules.motion_quality
            expected = body_bytes(frames, redundant=choice.redundant, coarser=coarser)
            scale = max(payload_bytes - 4, 0) / expected
            self._size_scale += _SIZE_SMOOTHING * (min(scale, 4.0) - self._size_scale)

    def on_wire(self, total_bytes: int, now: float) -> None:
        """All bytes that have left since the call began, headers of every layer included; twice a second will do."""
        self._estimate.on_wire(total_bytes, now)
        if self._wire is not None:
            # What was not used is not saved up for later beyond two seconds' worth.
            mean_bps = self._mean_bps()
            if self._estimate.state is not LineState.SILENT:
                mean_bps = min(mean_bps, self._estimate.bps)
            self._over_bits += (total_bytes - self._wire[1]) * 8 - mean_bps * (now - self._wire[0])
            self._over_bits = max(self._over_bits, -2.0 * mean_bps)
        self._wire = (now, total_bytes)

    def on_first_reference(self, payload_bytes: int, seconds: float, now: float, *, named: bool = False) -> None:
        """The first reference took so long from leaving to its acknowledgement: a narrow line shows here first.

        On a slow line nearly all of that is its bytes passing; on a long one the round trip of the pings comes off,
        and their own bytes with it. The larger of both rates counts. named: its picture is a name, so that it was one
        datagram.
        """
        if not self._first_through:
            self._first_through = True
            self._choice = PlanChoice(self._rules)
        if not named:
            passed_bps = self._passed_bps(_first_wire_bytes(payload_bytes), seconds)
            self._estimate.on_transfer(passed_bps + self._audio_bps, now)  # sound passed beside it
        elif self._ping_s is not None and seconds > self._ping_s:
            shown_bps = _NAMED_MARGIN * datagram_bytes(payload_bytes) * 8 / (seconds - self._ping_s)
            self._estimate.on_transfer(shown_bps, now)

    def on_round_trip(self, rtt_s: float, now: float) -> None:
        """A ping's round trip, seconds; the first ones come before there can be a queue."""
        self._ping_s = rtt_s if self._ping_s is None else min(self._ping_s, rtt_s)
        self._frames.note_round_trip(rtt_s, now)

    def on_feedback(self, feedback: MotionFeedback, now: float) -> None:
        """What the receiver says about motion."""
        if self._silent:
            self._silent = False
            self._frames.forget_unjudged()
            self._queue.forget_journeys()
        travel = self._frames.on_feedback(feedback, now)
        self._replies.on_feedback(feedback, self._frames.round_trip_s(), now)
        if travel is not None:
            queued = 0.0
            if travel.rtt_s is not None and self._ping_s is not None:
                queued = max(travel.rtt_s - self._ping_s - _FEEDBACK_WAITS_S, 0.0)
            self._queue.add(travel.one_way_s, travel.sent, now, queued_s=queued)
        loss, judged = self._frames.loss(now)
        self._redundancy.update(loss, self._frames.losses_apart(now), now)
        sample = LineSample(
            self._queue.standing_s(now), self._queue.trend(now), loss, judged, datagram_bytes(self._payload_bytes)
        )
        if not self._estimate.on_feedback(sample, now):
            self._queue.learn_least()

    def plan(self, now: float) -> RatePlan:
        """What to do from now on; call it for every frame or so."""
        self._estimate.on_tick(now)
        self._silent = self._silent or self._estimate.state is LineState.SILENT
        view = self._view(now)
        choice = self._choice.choose(view, redundant=self._redundancy.on, now=now)
        self._sent_choice = self._hurried(choice, view, now)
        fps = view.source_fps
        reference_bps = self._mean_of_references(view, choice)
        return RatePlan(
            frames_per_message=self._sent_choice.frames_per_message,
            motion_quality=choice.quality,
            redundant=choice.redundant,
            reference_bps=reference_bps,
            anchor_frames=_anchor_frames(choice, reference_bps, choice.divisor / fps),
            # Half a frame less than the interval: capture times jitter.
            frame_interval_s=0.0 if choice.divisor == 1 else (choice.divisor - 0.5) / fps,
        )

    def key_bytes_per_s(self, now: float) -> float:
        """Pace of references: bytes of chunks a second that the line and the cap leave beside the motion."""
        view = self._view(now)
        motion = 0.0
        if self._motion_began is not None and self._sent_choice is not None:
            motion = motion_bps(self._sent_choice, view, self._rules) + _FEEDBACK_ACK_BPS
        line_bps = min(self._estimate.bps, self._peak_bps) - self._audio_bps - motion
        if self._has_queue(now):
            line_bps /= 4  # references wait until the queue is gone
        return max(line_bps, _LEAST_KEY_BPS) * _KEY_SHARE / 8

    def figures(self, now: float) -> LineFigures:
        """What is known of the line."""
        return LineFigures(
            estimate_bps=self._estimate.bps,
            state=self._estimate.state,
            loss=self._frames.loss(now)[0],
            rtt_s=self._frames.round_trip_s(),
            standing_queue_s=self._queue.standing_s(now),
        )

    def _mean_bps(self) -> float:
        """The mean of all that is sent: a cap holds sound as well, a mode's own mean is that of the pictures."""
        return self._rules.target_bps + (self._audio_bps if self._config.cap_bps is None else 0.0)

    def _passed_bps(self, wire_bytes: int, seconds: float) -> float:
        """The rate of a line that took so long to pass so many bytes and answer."""
        ping_s = self._ping_s or 0.0
        shown = [wire_bytes / max(seconds, _SHORTEST_S)]
        if seconds > ping_s and wire_bytes > _PING_BYTES:
            shown.append((wire_bytes - _PING_BYTES) / max(seconds - ping_s, _SHORTEST_S))
        return max(shown) * 8

    def _hurried(self, choice: Choice, view: LineView, now: float) -> Choice:
        """The choice, in shorter messages while the answer to a long one is overdue.

        As in RFC 8985 that is not held to the estimate, but to the cap, and it waits for a queue that is known. A line
        that is known to carry less than what is wanted of it is asked for no more than it carries: there answers are
        late without any loss.
        """
        if choice.frames_per_message * choice.divisor / view.source_fps < _LONG_MESSAGE_S:
            return choice
        lone_losses = self._redundancy.on and view.burst_messages < _BURST_MESSAGES
        overdue = self._replies.overdue(self._frames.round_trip_s(), now, lone_losses=lone_losses)
        if not overdue or self._has_queue(now):
            return choice
        shorter = [replace(choice, frames_per_message=frames) for frames in range(1, choice.frames_per_message)]
        narrow = self._estimate.bps < _NARROW_SHARE * self._mean_bps()
        most_bps = (self._estimate.bps if narrow else self._peak_bps) - self._audio_bps - _FEEDBACK_ACK_BPS
        return next((one for one in shorter if motion_bps(one, view, self._rules) <= most_bps), choice)

    def _has_queue(self, now: float) -> bool:
        """Whether a queue stands on the line that we built."""
        standing = self._queue.standing_s(now)
        congested = self._estimate.state is LineState.CONGESTED
        return congested and standing is not None and standing > self._config.estimate.growing_s

    def _view(self, now: float) -> LineView:
        rtt = self._frames.round_trip_s()
        rate = min(self._estimate.bps, self._mean_bps())
        if not self._first_through and self._ping_s:
            # All of a round trip may have been the pings' own time on the wire. Until more is known, pictures are as
            # small as such a line needs them: on a slow one the first stands the sooner.
            rate = min(rate, max(_PING_BYTES * 8 / self._ping_s, self._config.estimate.floor_bps))
        return LineView(
            available_bps=max(rate - self._audio_bps - _FEEDBACK_ACK_BPS, 0.0),
            rtt_s=_DEFAULT_RTT_S if rtt is None else rtt,
            source_fps=self._source_fps(),
            loss=self._frames.loss(now)[0],
            burst_messages=self._frames.longest_run(now),
            size_scale=self._size_scale,
            longest_message_s=self._longest_message_s,
        )

    def _source_fps(self) -> float:
        """Frames a second of the source, rounded so that a camera's jitter changes nothing."""
        if len(self._captures) < 10:
            return _DEFAULT_FPS
        fps = (len(self._captures) - 1) / (self._captures[-1] - self._captures[0])
        return float(min(max(round(fps), 1), 240))

    def _mean_of_references(self, view: LineView, choice: Choice) -> float:
        """What the target leaves, less what was spent above it so far; payload bits a second, in steps."""
        left_bps = view.available_bps - motion_bps(choice, view, self._rules) - self._over_bits / _REPAY_S
        wanted = max(left_bps, 0.0) * _KEY_SHARE
        present = self._reference_bps
        if present is None or abs(wanted - present) > _REFERENCE_STEP_BPS:
            self._reference_bps = math.floor(wanted / _REFERENCE_STEP_BPS) * _REFERENCE_STEP_BPS
        assert self._reference_bps is not None
        return self._reference_bps


def _first_wire_bytes(payload_bytes: int) -> int:
    """What the first reference takes on the wire: datagrams of their own, as long as they may be."""
    chunks = -(-payload_bytes // _CHUNK_BODY_BYTES)
    return payload_bytes + chunks * datagram_bytes(_CHUNK_HEAD_BYTES)


def _anchor_frames(choice: Choice, reference_bps: float, interval_s: float) -> int:
    """Coded frames from one anchor to the next: whole messages, as many as a useful picture costs at this rate."""
    frames = choice.frames_per_message
    while (frames + choice.frames_per_message) * interval_s <= _LONGEST_ANCHOR_S:
        if reference_bps / 8 * frames * interval_s >= _ANCHOR_BYTES:
            break
        frames += choice.frames_per_message
    return min(frames, MAX_ANCHOR_FRAMES)
