from __future__ import annotations

import pytest

from sender.look import Look
from sender.sent_references import BankConfig, SentReference, SentReferences
from tests.sender.poses import crop, look


def send(
    references: SentReferences, shown: Look, time: float, *, scene: bool = False, ack: bool = True
) -> SentReference:
    slot, generation = references.place()
    reference = SentReference(
        slot=slot,
        generation=generation,
        parameters=shown.parameters,
        look=shown,
        crop=crop(),
        sent_time=time,
        scene=scene,
        coded=None,
    )
    references.add(reference)
    if ack:
        assert references.acknowledge(slot, generation)
    return reference


def test_only_acknowledged_references_are_used() -> None:
    references = SentReferences(BankConfig())
    sent = send(references, look(), 0.0, ack=False)
    assert references.choose(look()) is None
    assert not references.acknowledge(sent.slot, sent.generation + 1)
    assert not references.acknowledge(sent.slot + 1, sent.generation)
    assert references.acknowledge(sent.slot, sent.generation)
    assert references.choose(look()) is sent


def test_a_reference_is_awaited_until_it_is_acknowledged() -> None:
    references = SentReferences(BankConfig())
    send(references, look(), 0.0)
    assert not references.awaiting
    send(references, look(), 1.0, ack=False)
    assert [references.awaiting, len(references.usable())] == [True, 1]


def test_the_nearest_pose_is_chosen() -> None:
    references = SentReferences(BankConfig())
    left, right = send(references, look(x=-0.3), 0.0), send(references, look(x=0.3), 1.0)
    assert references.choose(look(x=-0.2)) is left
    assert references.choose(look(x=0.25)) is right


def test_the_choice_does_not_flicker_between_equals() -> None:
    references = SentReferences(BankConfig())
    send(references, look(x=-0.2), 0.0)
    send(references, look(x=0.2), 1.0)
    chosen = []
    for frame in range(40):
        reference = references.choose(look(x=0.002 if frame % 2 else -0.002))
        assert reference is not None
        chosen.append(reference.slot)
    assert len(set(chosen)) == 1


def test_a_measured_rebuild_outweighs_the_guess() -> None:
    references = SentReferences(BankConfig())
    near, far = send(references, look(x=0.0), 0.0), send(references, look(x=0.1), 1.0)
    assert references.choose(look(x=0.01)) is near
    references.measured(near, look(x=0.01), quality_db=18.0)
    references.measured(far, look(x=0.01), quality_db=27.0)
    assert references.choose(look(x=0.01)) is far


def test_small_differences_of_the_measurements_do_not_outweigh_the_look() -> None:
    references = SentReferences(BankConfig())
    near, far = send(references, look(x=0.0), 0.0), send(references, look(x=0.1), 1.0)
    references.measured(near, look(x=0.0), quality_db=29.0)
    references.measured(far, look(x=0.1), quality_db=31.0)
    assert references.choose(look(x=0.01)) is near


def test_one_bad_measurement_does_not_condemn_a_reference_for_ever() -> None:
    references = SentReferences(BankConfig())
    reference = send(references, look(), 0.0)
    references.measured(reference, look(), quality_db=28.0)
    references.measured(reference, look(), quality_db=10.0)
    assert 20 < references.guess_db(reference, look()) < 28, "it does count"
    for _ in range(20):
        references.measured(reference, look(), quality_db=28.0)
    assert references.guess_db(reference, look()) == pytest.approx(28.0, abs=0.1)


def test_what_a_new_reference_would_give_is_learnt_from_the_first_measurements() -> None:
    references = SentReferences(BankConfig())
    first = send(references, look(), 0.0)
    references.measured(first, look(x=0.02), quality_db=25.0)
    learnt_db = references.fresh_quality_db
    assert learnt_db is not None
    assert 24.5 < learnt_db < 26.5
    for _ in range(20):
        references.measured(first, look(x=0.02), quality_db=12.0)
    assert references.fresh_quality_db == learnt_db, "that the old one ages says nothing against a new one"


def test_the_bank_stays_within_its_size_and_its_slots() -> None:
    for size in (1, 2, 4, 15, 16):
        references = SentReferences(BankConfig(size=size))
        places = set()
        for number in range(60):
            sent = send(references, look(x=0.01 * number), float(number))
            places.add(sent.slot)
            assert 0 <= sent.slot < 16
            assert 0 <= sent.generation < 16
            assert len(references.usable()) == min(size, number + 1)
            assert sent in references.usable(), "the newest is never the one to go"
        assert places == set(range(min(size + 1, 16)))


def test_the_old_reference_stays_in_use_until_the_new_one_is_acknowledged() -> None:
    references = SentReferences(BankConfig(size=1))
    old = send(references, look(), 0.0)
    new = send(references, look(x=0.01), 1.0, ack=False)
    assert new.slot != old.slot
    assert references.choose(look()) is old
    references.acknowledge(new.slot, new.generation)
    assert references.choose(look()) is new
    assert references.usable() == [new]


def test_using_a_slot_again_raises_its_generation() -> None:
    references = SentReferences(BankConfig(size=1))
    seen: dict[int, int] = {}
    for number in range(80):
        sent = send(references, look(), float(number))
        assert sent.generation == (seen.get(sent.slot, -1) + 1) % 16
        seen[sent.slot] = sent.generation


def test_a_reference_that_was_lost_on_the_way_gives_way() -> None:
    references = SentReferences(BankConfig(size=2))
    kept = send(references, look(), 0.0)
    lost = send(references, look(x=0.1), 1.0, ack=False)
    again = send(references, look(x=0.1), 5.0)
    assert not references.acknowledge(lost.slot, lost.generation)
    assert references.usable() == sorted([kept, again], key=lambda reference: reference.slot)


def test_the_reference_that_recent_poses_miss_least_goes() -> None:
    references = SentReferences(BankConfig(size=3))
    centre = send(references, look(x=0.0), 0.0)
    twin = send(references, look(x=0.01), 1.0)
    side = send(references, look(x=0.5), 2.0)
    for step in range(20):
        references.note_look(look(x=0.0 if step % 2 else 0.5), float(step))
    new = send(references, look(x=-0.5), 30.0)
    assert set(map(id, references.usable())) == set(map(id, (centre, side, new)))
    assert twin not in references.usable()


def test_after_a_request_the_old_ones_serve_until_the_new_one_is_there() -> None:
    references = SentReferences(BankConfig(size=4))
    for number in range(3):
        send(references, look(x=0.1 * number), float(number))
    references.distrust_until(5.0)
    assert len(references.usable()) == 3
    new = send(references, look(), 5.1, ack=False)
    assert references.choose(look()) is not None
    references.acknowledge(new.slot, new.generation)
    assert references.usable() == [new]


def test_scenes_are_kept_apart_and_go_first() -> None:
    references = SentReferences(BankConfig(size=2))
    face = send(references, look(), 0.0)
    scene = send(references, look(), 1.0, scene=True)
    assert references.choose(look()) is face
    assert references.choose_scene() is scene
    newer = send(references, look(x=0.4), 2.0)
    assert references.choose_scene() is None
    assert {id(r) for r in references.usable()} == {id(face), id(newer)}


@pytest.mark.parametrize("size", [0, 17])
def test_a_wrong_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="size"):
        BankConfig(size=size)


def test_a_kept_picture_is_known_by_its_name() -> None:
    references = SentReferences(BankConfig())
    send(references, look(), 0.0, ack=False)
    assert references.awaited_kept is None, "it is awaited, but no kept one"
    assert references.kept == frozenset()
    slot, generation = references.place()
    named = SentReference(
        slot=slot,
        generation=generation,
        parameters=look().parameters,
        look=look(),
        crop=crop(),
        sent_time=1.0,
        scene=False,
        coded=None,
        kept=b"name",
    )
    references.add(named)
    held = [(references.awaited_kept, references.kept)]
    references.acknowledge(slot, generation)
    held.append((references.awaited_kept, references.kept))
    assert held == [(b"name", frozenset({b"name"})), (None, frozenset({b"name"}))]
