from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from sender.reference_policy import ReferencePolicy, ReferencePolicyConfig, ReferenceReason, Situation

RATE_BPS = 8000.0


def started(config: ReferencePolicyConfig | None = None, rate_bps: float = RATE_BPS) -> ReferencePolicy:
    """A policy that sent its first reference at 0 s."""
    policy = ReferencePolicy(config or ReferencePolicyConfig(), rate_bps)
    assert policy.decide(Situation(time=0.0)) is ReferenceReason.FIRST
    policy.sent(4000, 0.0, ReferenceReason.FIRST)
    return policy


def run(
    policy: ReferencePolicy, gain_db: Callable[[float, float], float], seconds: float, size_bytes: int = 1000
) -> list[float]:
    """Times of references for their quality. gain_db: of the time and of the time since the last one."""
    sent = [0.0]
    for frame in range(1, round(25 * seconds) + 1):
        time = frame / 25
        reason = policy.decide(Situation(time=time, gain_db=gain_db(time, time - sent[-1])))
        if reason is not None:
            assert reason is ReferenceReason.QUALITY
            policy.sent(size_bytes, time, reason)
            sent.append(time)
    return sent[1:]


def test_a_good_picture_needs_nothing() -> None:
    assert run(started(), lambda time, since: 0.1, 20.0) == []
    assert run(started(), lambda time, since: -3.0, 20.0) == []


def test_a_picture_that_gets_worse_steadily_has_references_at_even_times_within_the_rate() -> None:
    for rate_bps, least, most in ((4000, 0.4, 0.55), (8000, 0.8, 1.1), (24_000, 2.0, 3.2)):
        sent = run(started(rate_bps=rate_bps), lambda time, since: 4.0 * since, 60.0)
        assert least * 60 <= len(sent) <= most * 60
        gaps = np.diff(sent[5:])
        assert gaps.max() < 1.5 * gaps.min()


def test_a_sudden_change_is_mended_at_once_when_there_are_tokens() -> None:
    sent = run(started(), lambda time, since: 6.0 if time - since < 10.0 <= time else 0.1, 20.0)
    assert len(sent) == 1
    assert 10.0 <= sent[0] <= 10.3


def test_a_gain_that_stays_the_same_is_worth_tokens_that_are_plenty_alone() -> None:
    sent = run(started(rate_bps=8000), lambda time, since: 3.0, 30.0)
    assert len(sent) >= 25, "tokens that nobody spends mend nothing"
    assert sent[0] >= 2.8, "but waiting costs nothing, so three references' worth is saved up first"


def test_what_is_spent_keeps_to_the_rate_whatever_happens() -> None:
    generator = np.random.default_rng(3)
    noise = generator.uniform(0, 12, 4000)
    for rate_bps in (2000.0, 8000.0, 20_000.0):
        sent = run(started(rate_bps=rate_bps), lambda time, since: float(noise[int(25 * time)]), 120.0)
        assert 1000 * len(sent) <= 120 * rate_bps / 8 + max(6000, 4 * rate_bps / 8)


def test_a_dearer_reference_must_save_more() -> None:
    cheap = run(started(), lambda time, since: 2.0 * since, 60.0, size_bytes=500)
    dear = run(started(), lambda time, since: 2.0 * since, 60.0, size_bytes=2000)
    assert len(cheap) > 2 * len(dear)


def test_without_a_guess_of_the_gain_quality_triggers_nothing() -> None:
    policy = started()
    for frame in range(1, 300):
        assert policy.decide(Situation(time=frame / 25)) is None


def test_the_first_picture_is_not_charged_to_the_rate() -> None:
    policy = ReferencePolicy(ReferencePolicyConfig(), RATE_BPS)
    policy.sent(20_000, 0.0, ReferenceReason.FIRST)
    sent = run(policy, lambda time, since: 5.0 * since, 3.0)
    assert sent
    assert 0.9 < sent[0] < 1.5, "as soon as the rate has earned one"


def test_another_rate_counts_from_when_it_is_set() -> None:
    policy = started(rate_bps=1000.0)
    assert run(policy, lambda time, since: 4.0 * since, 5.0) == []
    policy.set_rate(40_000.0, 5.0)
    assert policy.rate_bps == 40_000.0
    times = []
    for frame in range(126, 175):
        reason = policy.decide(Situation(time=frame / 25, gain_db=6.0 + 0.1 * (frame - 125)))
        if reason is not None:
            policy.sent(1000, frame / 25, reason)
            times.append(frame / 25)
    assert times
    assert times[0] < 5.5


def test_one_at_a_time_and_not_too_fast() -> None:
    policy = started()
    policy.request(awaiting=False)
    assert policy.decide(Situation(time=0.1)) is None, "shortest interval"
    assert policy.decide(Situation(time=0.2)) is ReferenceReason.REQUESTED
    policy.sent(1000, 0.2, ReferenceReason.REQUESTED)
    for frame in range(6, 70):
        waiting = Situation(time=frame / 25, gain_db=float(frame), awaiting=True)
        assert policy.decide(waiting) is None


def test_a_request_is_answered_though_the_tokens_are_spent() -> None:
    policy = started()
    assert policy.decide(Situation(time=0.5, crop_moved=True)) is None, "no tokens for what can wait"
    assert policy.request(awaiting=False)
    assert policy.decide(Situation(time=0.5)) is ReferenceReason.REQUESTED
    policy.sent(3000, 0.5, ReferenceReason.REQUESTED)
    assert policy.decide(Situation(time=1.0)) is None


def test_asking_again_while_the_answer_is_on_its_way_changes_nothing() -> None:
    policy = started()
    assert policy.request(awaiting=False)
    policy.sent(4000, 1.0, ReferenceReason.REQUESTED)
    assert not policy.request(awaiting=True)
    assert policy.decide(Situation(time=2.0)) is None


def test_a_request_overtakes_a_reference_that_is_on_its_way() -> None:
    policy = started()
    policy.sent(4000, 1.0, ReferenceReason.QUALITY)
    assert policy.request(awaiting=True)
    assert policy.decide(Situation(time=1.5, awaiting=True)) is ReferenceReason.REQUESTED


def test_a_flood_of_requests_cannot_run_up_unbounded_debt() -> None:
    policy = started(ReferencePolicyConfig(least_burst_bytes=10_000))
    spent = 4000
    for frame in range(1, 30 * 30):
        policy.request(awaiting=False)
        reason = policy.decide(Situation(time=frame / 30))
        if reason is not None:
            policy.sent(4000, frame / 30, reason)
            spent += 4000
    assert spent <= 10_000 + 10_000 + 30 * 1000 + 4000


def test_a_face_found_anew_is_owed_a_reference_until_it_is_sent() -> None:
    policy = started()
    assert policy.decide(Situation(time=0.04, face_found_anew=True)) is None
    assert policy.decide(Situation(time=0.12)) is None
    assert policy.decide(Situation(time=0.5)) is ReferenceReason.FACE_FOUND
    policy.sent(4000, 0.5, ReferenceReason.FACE_FOUND)
    assert policy.decide(Situation(time=2.0)) is None


def test_a_face_without_any_reference_gets_one_once_nothing_else_is_on_its_way() -> None:
    policy = started()
    assert policy.decide(Situation(time=1.0, no_reference=True, awaiting=True)) is None
    assert policy.decide(Situation(time=1.5)) is None, "the one on its way was all that was needed"
    assert policy.decide(Situation(time=2.0, no_reference=True)) is ReferenceReason.FACE_FOUND


def test_a_picture_of_the_empty_place_does_not_settle_the_debt_to_the_face() -> None:
    policy = started()
    assert policy.decide(Situation(time=1.1, scene_changed=True)) is ReferenceReason.SCENE
    policy.decide(Situation(time=1.0, face_found_anew=True))
    policy.sent(4000, 1.0, ReferenceReason.SCENE)
    assert policy.decide(Situation(time=2.0)) is ReferenceReason.FACE_FOUND


def test_a_face_that_left_is_not_left_frozen_for_want_of_tokens() -> None:
    policy = started()
    policy.sent(4000, 0.5, ReferenceReason.REQUESTED)
    assert policy.decide(Situation(time=1.0, scene_changed=True)) is None
    assert policy.decide(Situation(time=1.0, face_gone=True)) is ReferenceReason.SCENE


def test_a_lost_reference_is_sent_again_after_the_timeout() -> None:
    policy = started(ReferencePolicyConfig(acknowledgement_timeout_s=3.0))
    assert policy.decide(Situation(time=2.9, awaiting=True)) is None
    assert policy.decide(Situation(time=3.1, awaiting=True)) is ReferenceReason.REQUESTED


def test_a_line_too_slow_for_the_timeout_is_given_longer_each_time() -> None:
    """Else every reference is given up just before it is there, and a call never begins."""
    policy = started(ReferencePolicyConfig(acknowledgement_timeout_s=3.0, burst_s=1e6))
    time = 0.0
    for patience_s in (3.0, 6.0, 12.0, 12.0):
        assert policy.decide(Situation(time=time + patience_s - 0.1, awaiting=True)) is None
        time += patience_s + 0.1
        assert policy.decide(Situation(time=time, awaiting=True)) is ReferenceReason.REQUESTED
        policy.sent(100, time, ReferenceReason.REQUESTED)
    assert policy.decide(Situation(time=time + 1.0)) is None, "acknowledged"
    assert policy.decide(Situation(time=time + 2.9, awaiting=True)) is None
    assert policy.decide(Situation(time=time + 3.1, awaiting=True)) is ReferenceReason.REQUESTED


def test_a_single_key_frame_stays_single() -> None:
    policy = started(ReferencePolicyConfig(single_key_frame=True))
    assert policy.decide(Situation(time=10.0, gain_db=20.0)) is None
    assert policy.decide(Situation(time=10.0, crop_moved=True)) is None
    assert policy.decide(Situation(time=10.0, scene_changed=True)) is None
    assert policy.request(awaiting=False)
    assert policy.decide(Situation(time=10.0)) is ReferenceReason.REQUESTED


def test_a_moved_crop_asks_for_a_reference_within_the_budget() -> None:
    policy = started()
    assert policy.decide(Situation(time=0.5, crop_moved=True)) is None
    assert policy.decide(Situation(time=30.0, crop_moved=True)) is ReferenceReason.CROP_MOVED


@pytest.mark.parametrize(
    "bad",
    [{"burst_s": -1.0}, {"price_db_s": float("nan")}, {"least_burst_bytes": 0}, {"acknowledgement_timeout_s": 0.0}],
)
def test_a_wrong_setting_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        ReferencePolicyConfig(**bad)  # type: ignore[arg-type]


def test_behind_a_kept_picture_the_first_one_of_the_call_may_go_at_once() -> None:
    policy = ReferencePolicy(ReferencePolicyConfig(), RATE_BPS)
    assert policy.decide(Situation(time=0.0)) is ReferenceReason.FIRST
    policy.sent(210, 0.0, ReferenceReason.FIRST, named=True)
    sent = run(policy, lambda time, since: 3.0, 12.0, size_bytes=3000)
    assert sent[0] < 0.3
    assert len(sent) >= 2
    assert sent[1] - sent[0] > 2.5, "that one is charged to the rate"


def test_a_name_says_nothing_about_what_pictures_cost() -> None:
    named, coded = started(), started()
    for _ in range(5):
        named.sent(1, 0.0, ReferenceReason.QUALITY, named=True)
        coded.sent(1, 0.0, ReferenceReason.QUALITY)
    first = [run(policy, lambda time, since: 2.0 * since, 20.0)[0] for policy in (named, coded)]
    assert first[0] > first[1], "pictures are not thought cheap because a name was"
