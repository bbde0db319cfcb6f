from itertools import pairwise

import pytest

from call.feedback_pace import FeedbackPace


def _times(pace: FeedbackPace, arrivals: list[float]) -> list[float]:
    sent = []
    for now in arrivals:
        pace.motion_arrived(now)
        if pace.due(now):
            pace.sent(now)
            sent.append(now)
    return sent


@pytest.mark.parametrize(("duplex", "least"), [(True, 0.1), (False, 0.2)])
def test_eager_at_first_then_seldom(duplex: bool, least: float) -> None:
    arrivals = [0.04 * n for n in range(100)]
    sent = _times(FeedbackPace(duplex=duplex), arrivals)
    first = [when for when in sent if when < 0.98]
    later = [when for when in sent if when > 1.1]
    assert len(first) >= 12
    gaps = [b - a for a, b in pairwise(later)]
    assert min(gaps) >= least - 1e-9
    assert max(gaps) < least + 0.05


def test_eager_again_after_a_break() -> None:
    arrivals = [0.04 * n for n in range(100)] + [9.0 + 0.04 * n for n in range(20)]
    sent = _times(FeedbackPace(duplex=False), arrivals)
    assert len([when for when in sent if when >= 9.0]) >= 10


def test_what_is_urgent_waits_less() -> None:
    pace = FeedbackPace(duplex=False)
    _times(pace, [0.04 * n for n in range(60)])
    now = 60 * 0.04
    pace.sent(now)
    assert not pace.due(now + 0.05)
    assert pace.due(now + 0.05, urgent=True)
    assert not pace.due(now + 0.03, urgent=True)
