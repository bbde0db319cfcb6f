"""Motion messages as bytes: golden bytes, round trips, lengths."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adasr_core.bitstream import MAX_MESSAGE_BYTES, MotionMessage
from adasr_core.bitstream.errors import BitstreamError
from adasr_core.bitstream.motion_message import MAX_BODY_BYTES, MESSAGE_HEADER_BYTES

GOLDEN = bytes.fromhex("3afe1234010203")


def _golden() -> MotionMessage:
    return MotionMessage(slot=3, generation=10, sequence=0xFE, time_ms=0x1234, body=b"\1\2\3")


def test_golden_bytes() -> None:
    assert _golden().pack() == GOLDEN
    assert MotionMessage.unpack(GOLDEN) == _golden()


@given(
    st.builds(
        MotionMessage,
        slot=st.integers(0, 15),
        generation=st.integers(0, 15),
        sequence=st.integers(0, 255),
        time_ms=st.integers(0, 65535),
        body=st.binary(max_size=MAX_BODY_BYTES),
    )
)
def test_round_trip(message: MotionMessage) -> None:
    data = message.pack()
    assert len(data) == MESSAGE_HEADER_BYTES + len(message.body)
    assert MotionMessage.unpack(data) == message


@given(st.binary(min_size=MESSAGE_HEADER_BYTES, max_size=MAX_MESSAGE_BYTES))
def test_any_bytes_are_a_message_or_not_by_their_length_alone(data: bytes) -> None:
    assert MotionMessage.unpack(data).pack() == data


def test_lengths() -> None:
    for length in (*range(MESSAGE_HEADER_BYTES), MAX_MESSAGE_BYTES + 1, 65_536):
        with pytest.raises(BitstreamError, match=f"motion message length: got {length} bytes, expected 4..2200"):
            MotionMessage.unpack(bytes(length))
    assert MotionMessage.unpack(bytes(4)).body == b""
    assert len(MotionMessage.unpack(bytes(MAX_MESSAGE_BYTES)).body) == MAX_BODY_BYTES


@pytest.mark.parametrize(
    "change",
    [
        {"slot": 16},
        {"slot": -1},
        {"generation": 16},
        {"sequence": 256},
        {"time_ms": 65_536},
        {"body": bytes(MAX_BODY_BYTES + 1)},
    ],
)
def test_caller_mistakes(change: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"slot": 0, "generation": 0, "sequence": 0, "time_ms": 0, "body": b""}
    with pytest.raises(ValueError, match=next(iter(change))) as caught:
        MotionMessage(**(fields | change))
    assert not isinstance(caught.value, BitstreamError)
