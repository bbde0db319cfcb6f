"""Which quality of an ordinary encoder meets a wire rate, and which frame rate is best at it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from benchmarks.rtp_cost import PACKET_HEADER_BYTES, wire_kbps
from benchmarks.video_codecs import CodedVideo, VideoCodec, YuvPicture, code_video

HELD_STEPS = (1, 2, 3, 5, 8, 12)
"""Every so many source frames one is coded, and shown until the next: the frame rates that are tried."""

TOLERANCE = 0.03
"""A rate that lies below its target by no more than this share meets it; above it none does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RateTarget:
    """What the wire may carry."""

    kbps: float
    """Mean over the clip, headers of all layers included, kbit/s."""
    first_picture_counts: bool = True
    """Whether the first picture is in the mean; without it, the rate is what a long call comes to."""

    def __post_init__(self) -> None:
        """Check the range. Raises ValueError."""
        if not (math.isfinite(self.kbps) and self.kbps > 0):
            raise ValueError(f"kbps: got {self.kbps}, expected more than 0")


class ClipCoder:
    """Codes one clip with one encoder; what was coded once is remembered."""

    def __init__(self, pictures: Sequence[YuvPicture], codec: VideoCodec, frame_rate: Fraction) -> None:
        """`pictures`: planar 4:2:0, all source frames; frame_rate: frames/s."""
        self._pictures = pictures
        self._codec = codec
        self._frame_rate = frame_rate
        self._coded: dict[tuple[int, float], CodedVideo] = {}

    @property
    def seconds(self) -> float:
        """Length of the clip."""
        return float(len(self._pictures) / self._frame_rate)

    def wire_kbps(self, coded: CodedVideo, target: RateTarget) -> float:
        """The rate that is held against the target."""
        return wire_kbps(coded.payloads, self.seconds, without_first=not target.first_picture_counts)

    def meet(self, target: RateTarget, step: int) -> CodedVideo | None:
        """The finest quality within the target at every `step`-th frame; None where even the coarsest is above it."""
        headers = -(-len(self._pictures) // step) * PACKET_HEADER_BYTES * 8 / 1000 / self.seconds
        if headers >= target.kbps:
            return None
        known = {
            crf: self.wire_kbps(coded, target) for (coded_step, crf), coded in self._coded.items() if coded_step == step
        }
        crf = finest_within(
            lambda value: self.wire_kbps(self._code(value, step), target),
            target.kbps,
            self._codec.best,
            self._codec.worst,
            self._codec.step,
            known=known,
        )
        return None if crf is None else self._code(crf, step)

    def _code(self, crf: float, step: int) -> CodedVideo:
        key = (step, crf)
        if key not in self._coded:
            self._coded[key] = code_video(self._pictures, self._codec, crf, self._frame_rate, step=step)
        return self._coded[key]


def finest_within(
    rate: Callable[[float], float],
    target: float,
    best: float,
    worst: float,
    step: float,
    *,
    known: dict[float, float] | None = None,
    tolerance: float = TOLERANCE,
) -> float | None:
    """The lowest value of a grid whose rate is at most the target; None where there is none.

    The rate falls as the value rises, about exponentially; the search closes in from both sides and stops as soon as
    a value is within `tolerance` below the target. The rate need not fall everywhere: what is returned was measured.

    Args:
        rate: measures a value.
        target: highest rate allowed.
        best: lowest value.
        worst: highest value.
        step: distance of the values.
        known: rates measured before.
        tolerance: share of the target that may stay unused.
    """
    rates = {round((value - best) / step): found for value, found in (known or {}).items()}

    def measured(index: int) -> float:
        if index not in rates:
            rates[index] = rate(best + index * step)
        return rates[index]

    last = round((worst - best) / step)
    if measured(last) > target:
        return None
    fits = min((index for index, found in rates.items() if found <= target), default=last)
    above = max((index for index, found in rates.items() if found > target and index < fits), default=None)
    # Fine qualities cost much time to code: come down from the coarse end in growing strides.
    stride = max(1, last // 16)
    while above is None:
        if fits == 0:
            return best
        index = max(fits - stride, 0)
        if measured(index) <= target:
            fits, stride = index, 2 * stride
        else:
            above = index
    while fits - above > 1 and measured(fits) < (1 - tolerance) * target:
        middle = _between(above, measured(above), fits, measured(fits), target * (1 - tolerance / 2))
        if measured(middle) <= target:
            fits = middle
        else:
            above = middle
    return best + fits * step


def _between(above: int, rate_above: float, fits: int, rate_fits: float, aim: float) -> int:
    """Where an exponential through both ends meets the aim, kept off the ends so that every step closes in."""
    span = fits - above
    share = math.log(rate_above / aim) / math.log(rate_above / max(rate_fits, 1e-9))
    margin = max(1, round(0.1 * span))
    return above + min(max(round(share * span), margin), span - margin) if span > 2 else above + 1
