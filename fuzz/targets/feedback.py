"""Feedback about motion."""

from __future__ import annotations

from adasr_core.bitstream import BitstreamError
from adasr_core.bitstream.feedback import MotionFeedback
from fuzz.target import Target


def build() -> Target:
    """What unpacks packs to the same bytes and names between 1 and 33 different frames."""
    quiet = MotionFeedback(sequence=0, received=0, time_ms=0, transit_ms=0, held_ms=0, lost=0)
    full = MotionFeedback(
        sequence=0xFF, received=0xFFFF_FFFF, time_ms=0xFFFF, transit_ms=0xFFFF, held_ms=0xFF, lost=0xFFFF
    )
    return Target(check=_check, errors=(BitstreamError,), seeds=(quiet.pack(), full.pack()), max_bytes=32)


def _check(data: bytes) -> None:
    feedback = MotionFeedback.unpack(data)
    assert feedback.pack() == data
    sequences = feedback.sequences()
    assert 1 <= len(sequences) == len(set(sequences)) <= 33
    assert all(0 <= sequence <= 0xFF for sequence in sequences)
