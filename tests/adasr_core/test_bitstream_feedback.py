from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adasr_core.bitstream import BitstreamError, MotionFeedback
from adasr_core.bitstream.feedback import FEEDBACK_BYTES

GOLDEN = MotionFeedback(sequence=0x12, received=0x80000005, time_ms=0xABCD, transit_ms=0x0102, held_ms=7, lost=0x0300)


def test_the_bytes_are_these() -> None:
    assert GOLDEN.pack().hex() == "1280000005abcd0102070300"


@given(
    sequence=st.integers(0, 0xFF),
    received=st.integers(0, 0xFFFFFFFF),
    time_ms=st.integers(0, 0xFFFF),
    transit_ms=st.integers(0, 0xFFFF),
    held_ms=st.integers(0, 0xFF),
    lost=st.integers(0, 0xFFFF),
)
def test_what_was_packed_comes_back(
    sequence: int, received: int, time_ms: int, transit_ms: int, held_ms: int, lost: int
) -> None:
    feedback = MotionFeedback(
        sequence=sequence, received=received, time_ms=time_ms, transit_ms=transit_ms, held_ms=held_ms, lost=lost
    )
    assert MotionFeedback.unpack(feedback.pack()) == feedback


@given(st.binary(max_size=40))
def test_any_bytes_are_a_feedback_or_refused(data: bytes) -> None:
    if len(data) == FEEDBACK_BYTES:
        assert MotionFeedback.unpack(data).pack() == data
    else:
        with pytest.raises(BitstreamError, match=f"got {len(data)} bytes, expected 12"):
            MotionFeedback.unpack(data)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sequence", -1),
        ("sequence", 256),
        ("received", -1),
        ("received", 1 << 32),
        ("time_ms", -1),
        ("time_ms", 0x10000),
        ("transit_ms", 0x10000),
        ("held_ms", 256),
        ("lost", -1),
        ("lost", 0x10000),
    ],
)
def test_a_field_out_of_range_is_refused(field: str, value: int) -> None:
    fields = {"sequence": 0, "received": 0, "time_ms": 0, "transit_ms": 0, "held_ms": 0, "lost": 0}
    with pytest.raises(ValueError, match=f"{field}: got {value}, expected 0.."):
        MotionFeedback(**{**fields, field: value})


def test_the_mask_names_frames_across_the_wrap() -> None:
    feedback = MotionFeedback(sequence=1, received=0b1011, time_ms=0, transit_ms=0, held_ms=0, lost=0)
    assert feedback.sequences() == (1, 0, 255, 253)
