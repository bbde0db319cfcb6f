from __future__ import annotations

import pytest

from sender.anchor_pace import AnchorPace
from sender.rate_plan import RatePlan


def anchors(pace: AnchorPace, frames: int, size_bytes: int, start: int = 0) -> list[int]:
    """The frames, 25 a second, whose pictures go out; each takes so many bytes."""
    sent = []
    for number in range(start, start + frames):
        pace.count_frame()
        if pace.due(number / 25):
            pace.sent_anchor(size_bytes, number / 25)
            sent.append(number)
    return sent


def test_without_anchors_in_the_plan_there_are_none() -> None:
    assert anchors(AnchorPace(RatePlan(reference_bps=1e6)), 100, 1) == []


def test_one_every_so_many_frames() -> None:
    assert anchors(AnchorPace(RatePlan(reference_bps=1e6, anchor_frames=8)), 40, 100) == [7, 15, 23, 31, 39]


def test_a_reference_counts_as_one() -> None:
    pace = AnchorPace(RatePlan(reference_bps=1e6, anchor_frames=8))
    assert anchors(pace, 5, 100) == []
    pace.sent_reference()
    assert anchors(pace, 16, 100, start=5) == [12, 20]


def test_the_rate_holds_them_back() -> None:
    # 8 kbit/s pay for 320 bytes every 8 frames, once the first second's worth is spent.
    pace = AnchorPace(RatePlan(reference_bps=8000.0, anchor_frames=8))
    sent = anchors(pace, 1000, 640)
    assert 640 * len(sent) <= 1000 + 40 * 1000 + 640
    assert 640 * len(sent) >= 40 * 1000 - 640
    assert len(sent) < 1000 / 8


def test_another_rate_counts_from_now_on() -> None:
    pace = AnchorPace(RatePlan(reference_bps=1e6, anchor_frames=4))
    pace.set_plan(RatePlan(reference_bps=0.0, anchor_frames=4), None)
    assert len(anchors(pace, 100, 500)) == 1, "what the burst allows"
    pace.set_plan(RatePlan(reference_bps=1e6, anchor_frames=4), 4.0)
    assert len(anchors(pace, 100, 500, start=100)) >= 24


@pytest.mark.parametrize(
    "bad", [{"anchor_frames": -1}, {"anchor_frames": 65}, {"anchor_crf": 0.5}, {"anchor_crf": 71.0}]
)
def test_plans_out_of_range_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(bad))}: got"):
        RatePlan(**bad)  # type: ignore[arg-type]


def test_a_hurried_anchor_goes_with_the_next_message() -> None:
    pace = AnchorPace(RatePlan(anchor_frames=8, reference_bps=8000.0))
    pace.count_frame()
    assert not pace.due(0.0)
    pace.hurry()
    assert pace.due(0.0)
    pace.sent_anchor(100, 0.0)
    assert not pace.due(0.0)
    without = AnchorPace(RatePlan(anchor_frames=0))
    without.hurry()
    assert not without.due(0.0)
