"""Which kept picture a sender names."""

from __future__ import annotations

import numpy as np
import pytest

from adasr_core.bitstream.kept_picture import KeptPicture, kept_marks
from sender.kept_references import KeptConfig, KeptLook, KeptReferences
from sender.look import Look
from tests.sender.poses import look, pose

SALT = b"8 bytes."
PICTURE = np.zeros((16, 16, 3), np.uint8)
LEFT, RIGHT, FAR = (KeptLook(bytes([n]) * 16, look(x)) for n, x in ((1, -0.3), (2, 0.3), (3, 2.0)))


class Shelf:
    """What is on disk."""

    def __init__(self, *looks: KeptLook) -> None:
        self.names = {one.name for one in looks}
        self.loaded: list[bytes] = []

    def load(self, name: bytes) -> KeptPicture | None:
        self.loaded.append(name)
        return KeptPicture(name, PICTURE, pose()) if name in self.names else None


def make(shelf: Shelf, *told: KeptLook, config: KeptConfig | None = None) -> KeptReferences:
    kept = KeptReferences("0123456789abcdef", (LEFT, RIGHT, FAR), shelf.load, config)
    kept.take_marks(SALT, kept_marks(SALT, [one.name for one in told] + [b"what we never had"]))
    return kept


def named(kept: KeptReferences, x: float, *, hurried: bool = True) -> bytes | None:
    found = kept.best(look(x), hurried=hurried)
    return None if found is None else found[0].name


def test_only_what_both_keep_is_named() -> None:
    kept = make(Shelf(LEFT, RIGHT, FAR), RIGHT)
    assert kept.shared == 1
    assert named(kept, -0.28) == RIGHT.name, "the left one would suit better, but the receiver has it not"
    nothing = KeptReferences("0123456789abcdef", (LEFT, RIGHT), Shelf(LEFT).load)
    assert named(nothing, -0.3) is None, "the receiver told of nothing"


def test_the_nearest_one_is_named_with_its_own_look() -> None:
    kept = make(Shelf(LEFT, RIGHT, FAR), LEFT, RIGHT, FAR)
    assert [named(kept, x) for x in (-0.3, -0.1, 0.1, 0.4)] == [LEFT.name, LEFT.name, RIGHT.name, RIGHT.name]
    found = kept.best(look(0.31), hurried=True)
    assert found is not None
    assert found[1] is RIGHT.look


def test_how_far_off_it_may_be_depends_on_what_else_there_is() -> None:
    config = KeptConfig(hurried_loss_db=3.0, loss_db=1.0)
    kept = make(Shelf(LEFT, RIGHT), LEFT, RIGHT, config=config)
    near, off, away = 0.305, 0.4, 1.0
    losses = [look(x).loss_db(RIGHT.look) for x in (near, off, away)]
    assert losses[0] < 1.0 < losses[1] < 3.0 < losses[2]
    assert [named(kept, x, hurried=False) for x in (near, off, away)] == [RIGHT.name, None, None]
    assert [named(kept, x, hurried=True) for x in (near, off, away)] == [RIGHT.name, RIGHT.name, None]


def test_where_the_guess_leaves_it_open_a_rebuild_decides() -> None:
    kept = make(Shelf(LEFT, RIGHT, FAR), LEFT, RIGHT, FAR, config=KeptConfig(hurried_loss_db=0.1, measured_loss_db=5.0))
    asked: list[bytes] = []
    worth = {LEFT.name: 23.0, RIGHT.name: 21.0}

    def measure(one: KeptPicture, its: Look) -> float:
        asked.append(one.name)
        return worth[one.name]

    found = kept.best(look(0.2), hurried=True, measure=measure)
    assert found is not None
    assert (found[0].name, asked) == (LEFT.name, [RIGHT.name, LEFT.name]), "the nearest one first"
    assert kept.best(look(0.2), hurried=True) is None, "without a rebuild the guess alone decides"
    assert kept.best(look(0.2), hurried=False, measure=measure) is None, "nothing is rebuilt where there is no hurry"
    worth[LEFT.name] = 21.9
    assert kept.best(look(0.2), hurried=True, measure=measure) is None
    assert len(asked) == 4
    assert kept.best(look(-1.9), hurried=True, measure=measure) is None
    assert len(asked) == 4, "what is far off is not rebuilt"


def test_a_refused_one_and_one_in_the_bank_are_not_named() -> None:
    kept = make(Shelf(LEFT, RIGHT), LEFT, RIGHT)
    assert kept.best(look(0.3), hurried=False, in_use={RIGHT.name}) is None
    assert named(kept, 0.3) == RIGHT.name
    kept.refuse(RIGHT.name)
    assert named(kept, 0.3) == LEFT.name
    kept.refuse(LEFT.name)
    assert named(kept, 0.3) is None


def test_one_that_is_gone_from_disk_gives_way_to_the_next() -> None:
    shelf = Shelf(LEFT)
    kept = make(shelf, LEFT, RIGHT)
    assert named(kept, 0.3) == LEFT.name
    assert named(kept, 0.3) == LEFT.name
    assert shelf.loaded == [RIGHT.name, LEFT.name, LEFT.name], "it is not looked for again"


def test_a_picture_without_parameters_has_no_look() -> None:
    with pytest.raises(ValueError, match="no parameters"):
        KeptLook.of(KeptPicture(LEFT.name, PICTURE))


def test_config_ranges() -> None:
    with pytest.raises(ValueError, match="loss_db"):
        KeptConfig(loss_db=-1.0)
