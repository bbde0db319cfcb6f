from __future__ import annotations

import pytest

from sender.reference_policy import ReferencePolicy, ReferencePolicyConfig, ReferenceReason, Situation


def started(config: ReferencePolicyConfig | None = None, size_bytes: int = 4000) -> ReferencePolicy:
    """A policy that sent its first reference at 0 s."""
    policy = ReferencePolicy(config or ReferencePolicyConfig())
    assert policy.decide(Situation(time=0.0)) is ReferenceReason.FIRST
    policy.sent(size_bytes, 0.0, ReferenceReason.FIRST)
    for _ in range(20):
        policy.measured(28.0)
    return policy


def bad_picture(time: float, gain_db: float = 5.0) -> Situation:
    return Situation(time=time, quality_db=30.0 - gain_db, fresh_quality_db=30.0)


def test_a_good_picture_needs_nothing() -> None:
    policy = started()
    for frame in range(1, 300):
        assert policy.decide(bad_picture(frame / 30, gain_db=1.0)) is None


def test_a_bad_picture_gets_a_reference_when_there_are_tokens() -> None:
    policy = started()
    assert policy.decide(bad_picture(1.0)) is ReferenceReason.QUALITY


def test_of_a_changing_picture_the_worst_moments_get_the_references() -> None:
    policy = started()
    for step in range(20):
        policy.measured(20.0 + step % 10)
    assert policy.decide(Situation(time=1.0, quality_db=26.0, fresh_quality_db=36.0)) is None
    assert policy.decide(Situation(time=1.0, quality_db=21.0, fresh_quality_db=36.0)) is ReferenceReason.QUALITY


def test_a_few_measurements_must_be_there_first() -> None:
    policy = ReferencePolicy(ReferencePolicyConfig())
    policy.sent(4000, 0.0, ReferenceReason.FIRST)
    for number in range(6):
        expected = ReferenceReason.QUALITY if number >= 5 else None
        assert policy.decide(bad_picture(1.0)) is expected
        policy.measured(25.0)


def test_without_a_measurement_quality_triggers_nothing() -> None:
    policy = started()
    assert policy.decide(Situation(time=1.0, fresh_quality_db=30.0)) is None
    assert policy.decide(Situation(time=1.0, quality_db=20.0)) is None


def test_a_scarce_budget_asks_for_more_gain() -> None:
    config = ReferencePolicyConfig(quality_gain_db=2.0, burst_bytes=10_000, budget_bps=1000)
    policy = started(config, size_bytes=4000)
    assert policy.decide(bad_picture(1.0, gain_db=2.2)) is None
    assert policy.decide(bad_picture(1.0, gain_db=3.9)) is ReferenceReason.QUALITY


def test_a_picture_that_stays_bad_costs_no_more_than_the_budget() -> None:
    config = ReferencePolicyConfig(budget_bps=8000, burst_bytes=12_000)
    policy = started(config, size_bytes=4000)
    spent = 4000
    for frame in range(1, 60 * 30):
        reason = policy.decide(bad_picture(frame / 30, gain_db=10))
        if reason is not None:
            policy.sent(4000, frame / 30, reason)
            spent += 4000
    assert 55_000 < spent <= 60 * 1000 + 12_000


def test_one_at_a_time_and_not_too_fast() -> None:
    policy = started()
    assert policy.decide(bad_picture(0.2)) is None, "shortest interval"
    waiting = Situation(time=1.0, quality_db=20.0, fresh_quality_db=30.0, awaiting=True)
    assert policy.decide(waiting) is None


def test_a_request_is_answered_though_the_tokens_are_spent() -> None:
    policy = started(ReferencePolicyConfig(burst_bytes=5000), size_bytes=6000)
    assert policy.decide(bad_picture(0.5)) is None, "no tokens for what can wait"
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
    policy = started(ReferencePolicyConfig(budget_bps=8000, burst_bytes=10_000))
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
    assert policy.decide(Situation(time=0.1, face_found_anew=True)) is None
    assert policy.decide(Situation(time=0.3)) is None
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
    assert policy.decide(Situation(time=1.0, scene_changed=True)) is ReferenceReason.SCENE
    policy.decide(Situation(time=1.0, face_found_anew=True))
    policy.sent(4000, 1.0, ReferenceReason.SCENE)
    assert policy.decide(Situation(time=2.0)) is ReferenceReason.FACE_FOUND


def test_a_face_that_left_is_not_left_frozen_for_want_of_tokens() -> None:
    policy = started(size_bytes=24_000)
    assert policy.decide(Situation(time=1.0, scene_changed=True)) is None
    assert policy.decide(Situation(time=1.0, face_gone=True)) is ReferenceReason.SCENE


def test_a_lost_reference_is_sent_again_after_the_timeout() -> None:
    policy = started(ReferencePolicyConfig(acknowledgement_timeout_s=3.0))
    assert policy.decide(Situation(time=2.9, awaiting=True)) is None
    assert policy.decide(Situation(time=3.1, awaiting=True)) is ReferenceReason.REQUESTED


def test_a_single_key_frame_stays_single() -> None:
    policy = started(ReferencePolicyConfig(single_key_frame=True))
    assert policy.decide(bad_picture(10.0, gain_db=20)) is None
    assert policy.decide(Situation(time=10.0, crop_moved=True)) is None
    assert policy.decide(Situation(time=10.0, scene_changed=True)) is None
    assert policy.request(awaiting=False)
    assert policy.decide(Situation(time=10.0)) is ReferenceReason.REQUESTED


def test_a_moved_crop_asks_for_a_reference_within_the_budget() -> None:
    policy = started(size_bytes=23_000)
    assert policy.decide(Situation(time=0.5, crop_moved=True)) is None
    assert policy.decide(Situation(time=30.0, crop_moved=True)) is ReferenceReason.CROP_MOVED


@pytest.mark.parametrize(
    "bad", [{"budget_bps": -1.0}, {"worst_share": 0.0}, {"burst_bytes": 0}, {"acknowledgement_timeout_s": 0.0}]
)
def test_a_wrong_setting_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        ReferencePolicyConfig(**bad)  # type: ignore[arg-type]
