"""What to do with a rate: frames in a message, frame rate, quality, repeats, and what is left for references.

Every combination is priced, in one unit (1 = what a person hardly notices):

    frames left out          16 for half the frame rate          delay beyond the limit   0.2 a ms; half where the
                                                                 line alone is beyond it
    delay                    0.04 a ms (saving: 0.01)            references starved       10 when they get nothing
    frames lost all the same 100 for all of them                 a freeze in a burst      20
    coarser motion           0.5 a step of the quality index

and the cheapest one that the rate carries is taken. It is kept while the rate carries it; another one must be better
by a margin, for some time, before it takes over, so that a rate that moves a little does not move the picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from adasr_core.bitstream.motion_message import MAX_MESSAGE_FRAMES
from adasr_core.bitstream.packets import MAX_QUALITY
from sender.rate_plan import DEFAULT_MOTION_QUALITY
from sender.wire_cost import datagram_bytes

MIN_FPS, MAX_FPS = 5.0, 30.0
MAX_FRAMES_PER_MESSAGE = MAX_MESSAGE_FRAMES

_MESSAGE_HEADER_BYTES = 4
_BODY_BYTES = (3.0, 7.0)  # of a message, and of each frame in it, at the default quality: only ratios matter
_REPEAT_SHARE = 0.5
_QUALITY_STEP_SHARE = 0.95
_COARSER_STEPS = (0, 4)
_STEADY_MARGIN = 0.95
_BETTER_BY = 2.0
_FREEZE_S = 0.4
_BEYOND_COST = 0.2


class DelayMode(Enum):
    """What the person at the other end shall have first."""

    LOWEST = "lowest"
    BALANCED = "balanced"
    SAVING = "saving"


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanRules:
    """What a mode wants."""

    target_bps: float
    """Mean rate on the wire, bits a second, all headers and references included."""
    least_frames_per_message: int = 1
    """1 to 8."""
    most_frames_per_message: int = MAX_FRAMES_PER_MESSAGE
    """1 to 8."""
    delay_limit_s: float = 0.15
    """Mouth to ear, seconds."""
    delay_cost: float = 0.04
    """Of a millisecond."""
    wanted_reference_bps: float = 6000.0
    """References get this on the wire before anything is spent on less delay, bits a second."""
    motion_quality: int = DEFAULT_MOTION_QUALITY
    """Finest quantiser index used, 0 to 15."""
    max_fps: float = MAX_FPS
    """Most frames coded a second, 5 to 30."""
    fixed_delay_s: float = 0.06
    """What coding (20 ms) and playout (40 ms) take of the delay, seconds."""

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        if not 1 <= self.least_frames_per_message <= self.most_frames_per_message <= MAX_FRAMES_PER_MESSAGE:
            raise ValueError(
                f"frames per message: got {self.least_frames_per_message}..{self.most_frames_per_message}, "
                f"expected 1 <= least <= most <= {MAX_FRAMES_PER_MESSAGE}"
            )
        if not MIN_FPS <= self.max_fps <= MAX_FPS:
            raise ValueError(f"max_fps: got {self.max_fps}, expected {MIN_FPS:g} to {MAX_FPS:g}")
        if not 0 <= self.motion_quality <= MAX_QUALITY:
            raise ValueError(f"motion_quality: got {self.motion_quality}, expected 0..{MAX_QUALITY}")
        for name in ("target_bps", "delay_limit_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected more than 0")
        for name in ("wanted_reference_bps", "fixed_delay_s", "delay_cost"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected 0 or more")


def rules_for(mode: DelayMode) -> PlanRules:
    """The rules of a mode, for a line that carries them."""
    match mode:
        case DelayMode.LOWEST:
            return PlanRules(target_bps=23_500, most_frames_per_message=1)
        case DelayMode.BALANCED:
            return PlanRules(target_bps=23_500, most_frames_per_message=4)
        case DelayMode.SAVING:
            return PlanRules(
                target_bps=11_100,
                least_frames_per_message=3,
                delay_limit_s=0.4,
                delay_cost=0.01,
                wanted_reference_bps=8000,
            )


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to send motion. divisor: every so-many-th frame of the source is coded."""

    frames_per_message: int
    divisor: int
    quality: int
    redundant: bool


@dataclass(frozen=True, slots=True)
class LineView:
    """What a choice is made from.

    available_bps: for motion and references, on the wire. rtt_s: round trip. source_fps: frames a second that the
    source gives. loss: share of messages lost. burst_messages: most of them lost in a row lately. size_scale: how
    much larger message bodies turn out than `body_bytes` says. longest_message_s: sound waits no longer for a message.
    """

    available_bps: float
    rtt_s: float
    source_fps: float
    loss: float
    burst_messages: int
    size_scale: float
    longest_message_s: float = math.inf


def body_bytes(frames: int, *, redundant: bool = False, coarser: int = 0) -> float:
    """Expected bytes of a message with `frames` new frames, before scaling by what is measured.

    coarser: steps of the quality index above the finest.
    """
    repeats = min(frames, MAX_FRAMES_PER_MESSAGE - frames) if redundant else 0
    per_frame = _BODY_BYTES[1] * (frames + _REPEAT_SHARE * repeats) * _QUALITY_STEP_SHARE**coarser
    return _BODY_BYTES[0] + per_frame


def motion_bps(choice: Choice, view: LineView, rules: PlanRules) -> float:
    """Rate of motion on the wire, bits a second, all headers included."""
    fps = view.source_fps / choice.divisor
    body = body_bytes(
        choice.frames_per_message, redundant=choice.redundant, coarser=choice.quality - rules.motion_quality
    )
    payload = math.ceil(_MESSAGE_HEADER_BYTES + view.size_scale * body)
    return fps / choice.frames_per_message * datagram_bytes(payload) * 8


def delay_s(choice: Choice, view: LineView, rules: PlanRules) -> float:
    """Mouth to ear: half the round trip, gathering frames, coding and playout; seconds."""
    gathering = (choice.frames_per_message - 1) * choice.divisor / view.source_fps
    return view.rtt_s / 2 + gathering + rules.fixed_delay_s


def cost(choice: Choice, view: LineView, rules: PlanRules) -> float:
    """What a choice costs the person who watches; see the module's table."""
    fps = view.source_fps / choice.divisor
    best_fps = min(view.source_fps, rules.max_fps)
    total = 16.0 * max(math.log2(best_fps / fps), 0.0)
    delay_ms = 1000 * delay_s(choice, view, rules)
    # A limit that the line breaks by itself is not worth half the frames: late as it is, later is less bad.
    kept = view.rtt_s / 2 + rules.fixed_delay_s <= rules.delay_limit_s
    beyond_cost = _BEYOND_COST if kept else _BEYOND_COST / 2
    total += rules.delay_cost * delay_ms + beyond_cost * max(delay_ms - 1000 * rules.delay_limit_s, 0.0)
    left_bps = max(view.available_bps - motion_bps(choice, view, rules), 0.0)
    if left_bps < rules.wanted_reference_bps:
        total += 10.0 * (1 - left_bps / rules.wanted_reference_bps)
    total += 100.0 * _residual_loss(choice, view.loss)
    frozen_s = view.burst_messages * choice.frames_per_message / fps
    if view.burst_messages >= 3 and frozen_s > _FREEZE_S:
        total += 20.0
    return total + 0.5 * (choice.quality - rules.motion_quality)


def choices(view: LineView, rules: PlanRules, *, redundant: bool) -> list[Choice]:
    """Everything that the rules allow for this source."""
    divisors = range(1, max(int(view.source_fps / MIN_FPS), 1) + 1)
    allowed = [divisor for divisor in divisors if view.source_fps / divisor <= 1.02 * rules.max_fps]
    # A source faster than the limit by less than a whole divisor is slowed down all the same.
    allowed = allowed or [math.ceil(view.source_fps / rules.max_fps)]
    offered = [
        Choice(frames, divisor, min(rules.motion_quality + coarser, MAX_QUALITY), redundant)
        for frames in range(rules.least_frames_per_message, rules.most_frames_per_message + 1)
        for divisor in allowed
        for coarser in _COARSER_STEPS
    ]
    most_frames = view.longest_message_s * view.source_fps
    return [one for one in offered if one.frames_per_message * one.divisor <= most_frames] or offered


class PlanChoice:
    """Chooses, and holds on to its choice."""

    def __init__(self, rules: PlanRules, hold_s: float = 2.0) -> None:
        """hold_s: so long another choice must be better before it takes over, seconds."""
        self._rules = rules
        self._hold_s = hold_s
        self._present: Choice | None = None
        self._better_since: float | None = None

    def choose(self, view: LineView, *, redundant: bool, now: float) -> Choice:
        """The choice for now."""
        rules = self._rules
        offered = choices(view, rules, redundant=redundant)
        affordable = [one for one in offered if motion_bps(one, view, rules) <= _STEADY_MARGIN * view.available_bps]
        best = (
            min(affordable, key=lambda one: cost(one, view, rules))
            if affordable
            else min(offered, key=lambda one: motion_bps(one, view, rules))
        )
        present = self._present
        if present is None or present not in offered or motion_bps(present, view, rules) > view.available_bps:
            self._take(best)
            return best
        if cost(best, view, rules) > cost(present, view, rules) - _BETTER_BY:
            self._better_since = None
            return present
        self._better_since = now if self._better_since is None else self._better_since
        if now - self._better_since < self._hold_s:
            return present
        self._take(best)
        return best

    def _take(self, choice: Choice) -> None:
        self._present = choice
        self._better_since = None


def _residual_loss(choice: Choice, loss: float) -> float:
    """Share of frames lost all the same: repeats reach back as far as there is room in the next message."""
    if not choice.redundant:
        return loss
    frames = choice.frames_per_message
    covered = min(frames, MAX_FRAMES_PER_MESSAGE - frames) / frames
    return loss * (1 - covered) + loss * loss * covered
