"""Names and marks of kept pictures, and which pictures of a call are kept."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import pytest

from adasr_core.bitstream.kept_picture import KEPT_NAME_BYTES, MARK_BYTES, kept_mark, kept_marks, kept_name
from adasr_core.bitstream.kept_selection import PER_CALL, KeptSelection
from fuzz.material import smooth_picture

CODEC_ID = "0123456789abcdef"


def picture(number: int) -> npt.NDArray[np.uint8]:
    return np.full((16, 16, 3), number, np.uint8)


def test_a_name_is_the_hash_of_domain_codec_size_and_pixels() -> None:
    pixels = smooth_picture(16)
    expected = hashlib.sha256(b"adasr kept picture" + b"0123456789abcdef" + b"\0\x10" + pixels.tobytes()).digest()
    assert kept_name(pixels, CODEC_ID) == expected[:KEPT_NAME_BYTES]


def test_another_pixel_codec_or_size_is_another_name() -> None:
    changed = picture(7)
    changed[15, 15, 2] += 1
    names = {
        kept_name(picture(7), CODEC_ID),
        kept_name(changed, CODEC_ID),
        kept_name(picture(7), "fedcba9876543210"),
        kept_name(np.full((32, 32, 3), 7, np.uint8), CODEC_ID),
    }
    assert len(names) == 4


def test_a_view_has_the_name_of_its_pixels() -> None:
    pixels = smooth_picture(32)
    assert kept_name(pixels[::2, ::2], CODEC_ID) == kept_name(pixels[::2, ::2].copy(), CODEC_ID)


def test_what_has_no_name_is_said() -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        kept_name(np.zeros((4, 5, 3), np.uint8), CODEC_ID)
    with pytest.raises(ValueError, match="16 hex digits"):
        kept_name(picture(0), "edge")


def test_marks_tell_nothing_without_the_name_and_change_from_call_to_call() -> None:
    names = [bytes([n]) * 16 for n in range(3)]
    marks = kept_marks(b"saltsalt", names)
    assert [marks[i : i + MARK_BYTES] for i in range(0, 12, 4)] == [kept_mark(b"saltsalt", name) for name in names]
    assert kept_marks(b"otherone", names) != marks


def fill(selection: KeptSelection, numbers: list[int]) -> set[bytes]:
    for number in numbers:
        if number == 0:
            selection.add_reference(picture(number))
        else:
            selection.add_anchor(bytes((1, number)), picture(number))
    return {kept.name for kept in selection.pictures}


def test_the_first_reference_and_every_fourth_unit_are_kept() -> None:
    kept = fill(KeptSelection(CODEC_ID), list(range(40)))
    assert kept == {kept_name(picture(number), CODEC_ID) for number in range(0, 40, 4)}


def test_both_ends_choose_alike_although_one_lost_some() -> None:
    """The lowest names of many: what one end lacks takes one place there, and no more."""
    numbers = list(range(0, 256, 4))
    sent = fill(KeptSelection(CODEC_ID), numbers)
    lost = {20, 40, 60, 200}
    received = fill(KeptSelection(CODEC_ID), [number for number in reversed(numbers) if number not in lost])
    assert len(sent) == len(received) == PER_CALL
    assert kept_name(picture(0), CODEC_ID) in sent & received
    gone = {kept_name(picture(number), CODEC_ID) for number in lost} & sent
    assert sent - received == gone
    assert len(received - sent) == len(gone)


def test_the_same_picture_takes_one_place() -> None:
    selection = KeptSelection(CODEC_ID)
    for _ in range(3):
        selection.add_reference(picture(1))
        selection.add_anchor(b"\0\0", picture(1))
    assert len(selection.pictures) == 1
    early = KeptSelection(CODEC_ID)
    early.add_anchor(b"\0\0", picture(1))
    early.add_reference(picture(1))
    assert len(early.pictures) == 1
