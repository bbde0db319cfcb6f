"""When a frame's picture goes out as an anchor.

    frames    1 2 3 4 | 5 6 7 8 | 9 ...      messages of four frames, an anchor every eight
    anchors         .         A

An anchor belongs to the newest frame of a message, so that it leaves in that message's datagram and all frames before
it can be drawn from both sides as soon as it is there. One is due every so many frames; it waits for the next message
while the rate is overspent, or while those before it still wait on the line.
"""

from __future__ import annotations

from sender.rate_plan import RatePlan
from sender.token_bucket import TokenBucket

_BURST_S = 1.0
_LEAST_BURST_BYTES = 400


class AnchorPace:
    """Counts frames and bytes of one video."""

    def __init__(self, plan: RatePlan) -> None:
        self._plan = plan
        self._bucket = TokenBucket(plan.reference_bps, _burst_bytes(plan))
        self._frames = 0

    def set_plan(self, plan: RatePlan, now: float | None) -> None:
        """Another plan from `now` on (None: before the first frame)."""
        if plan.reference_bps != self._plan.reference_bps:
            if now is None:
                self._bucket = TokenBucket(plan.reference_bps, _burst_bytes(plan))
            else:
                self._bucket.set_rate(plan.reference_bps, _burst_bytes(plan), now)
        self._plan = plan

    @property
    def on(self) -> bool:
        """Whether the plan has anchors."""
        return self._plan.anchor_frames > 0

    def count_frame(self) -> None:
        """A frame was coded."""
        self._frames += 1

    def due(self, now: float) -> bool:
        """Whether the picture of the frame just coded, the newest of its message, should go out."""
        return self.on and self._frames >= self._plan.anchor_frames and self._bucket.level_bytes(now) > 0

    def sent_anchor(self, count_bytes: int, now: float) -> None:
        """An anchor went out with this frame."""
        self._bucket.spend(count_bytes, now)
        self._frames = 0

    def sent_reference(self) -> None:
        """A reference of this frame went out: as good as an anchor, and paid for elsewhere."""
        self._frames = 0

    def hurry(self) -> None:
        """No picture of this video went out yet, though motion will: the next message shall have an anchor."""
        self._frames = self._plan.anchor_frames


def _burst_bytes(plan: RatePlan) -> int:
    return max(_LEAST_BURST_BYTES, int(plan.reference_bps / 8 * _BURST_S))
