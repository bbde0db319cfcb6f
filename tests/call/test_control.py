from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adasr_core.bitstream import BitstreamError
from call.control import (
    Bye,
    ControlMessage,
    Hello,
    Kept,
    Ping,
    Pong,
    Ready,
    ReferenceAck,
    ReferenceRequest,
    Sound,
    pack_control,
    unpack_control,
)

HELLO = Hello(1, "0123456789abcdef", "edge 0.1", 512, True, False, 40)
HELLO_MAP: dict[str, Any] = {
    "t": "hello",
    "bitstream_version": 1,
    "codec_id": "0123456789abcdef",
    "model": "edge 0.1",
    "frame_px": 512,
    "sends": True,
    "receives": False,
    "max_kbps": 40,
}


@pytest.mark.parametrize(
    "message",
    [
        HELLO,
        Kept(b"saltsalt", b"mark"),
        Kept(bytes(8), bytes(256)),
        Sound(True, False),
        Ready(),
        ReferenceAck(15, 0),
        ReferenceRequest(),
        Ping(0),
        Pong(2**62, 5),
        Bye("camera unplugged"),
    ],
)
def test_round_trip(message: ControlMessage) -> None:
    assert unpack_control(pack_control(message)) == message


def test_hello_is_this_map() -> None:
    assert msgpack.unpackb(pack_control(HELLO)) == HELLO_MAP


def test_pinned_bytes() -> None:
    assert (
        pack_control(ReferenceAck(3, 9)).hex()
        == "83a174ad7265666572656e63655f61636ba4736c6f7403aa67656e65726174696f6e09"
    )


def test_pinned_bytes_of_what_is_kept() -> None:
    data = pack_control(Kept(b"saltsalt", b"markMARK"))
    assert data.hex() == "83a174a46b657074a473616c74c40873616c7473616c74a56d61726b73c4086d61726b4d41524b"


@pytest.mark.parametrize(
    "change",
    [
        {"salt": b"7 bytes"},
        {"salt": b"9 bytes.."},
        {"salt": "saltsalt"},
        {"marks": b""},
        {"marks": b"12345"},
        {"marks": bytes(260)},
        {"marks": bytes(4000)},
        {"marks": "mark"},
        {"marks": [b"mark"]},
        {"marks": 4},
        {"more": b""},
    ],
)
def test_marks_that_do_not_fit_are_refused(change: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"t": "kept", "salt": b"saltsalt", "marks": b"mark"}
    assert unpack_control(msgpack.packb(fields)) == Kept(b"saltsalt", b"mark")
    with pytest.raises(BitstreamError, match="kept"):
        unpack_control(msgpack.packb(fields | change))


def test_too_many_marks_are_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="at most 256"):
        pack_control(Kept(b"saltsalt", bytes(260)))


@pytest.mark.parametrize(
    "change",
    [
        {"t": "hullo"},
        {"t": 5},
        {"t": ["hello"]},
        {"frame_px": "512"},
        {"frame_px": True},
        {"frame_px": -1},
        {"frame_px": 2**63},
        {"sends": 1},
        {"model": "x" * 201},
        {"model": "a\nb"},
        {"model": b"edge"},
        {"extra": 1},
    ],
)
def test_a_field_that_does_not_fit_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(BitstreamError):
        unpack_control(msgpack.packb(HELLO_MAP | change))


def test_a_missing_field_is_refused() -> None:
    with pytest.raises(BitstreamError, match="fields"):
        unpack_control(msgpack.packb({key: value for key, value in HELLO_MAP.items() if key != "model"}))


def test_a_slot_beyond_the_bank_is_refused() -> None:
    with pytest.raises(BitstreamError, match="0 to 15"):
        unpack_control(msgpack.packb({"t": "reference_ack", "slot": 16, "generation": 0}))


def test_every_truncation_is_refused() -> None:
    data = pack_control(HELLO)
    for length in range(len(data)):
        with pytest.raises(BitstreamError):
            unpack_control(data[:length])
    with pytest.raises(BitstreamError):
        unpack_control(data + b"\x00")


def test_a_message_too_long_is_refused() -> None:
    with pytest.raises(BitstreamError, match="at most 4096"):
        unpack_control(bytes(4097))


def test_a_reason_too_long_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="at most 200"):
        pack_control(Bye("x" * 201))


@given(st.binary(max_size=300))
def test_any_bytes_parse_or_raise(data: bytes) -> None:
    try:
        unpack_control(data)
    except BitstreamError:
        return


@given(st.dictionaries(st.text(max_size=8), st.recursive(st.integers() | st.none(), st.lists), max_size=4))
def test_any_map_parses_or_raises(fields: dict[str, Any]) -> None:
    try:
        unpack_control(msgpack.packb(fields | {"t": "ping"}))
    except (BitstreamError, OverflowError):
        return
