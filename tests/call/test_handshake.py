from dataclasses import replace

import pytest

from adasr_core.bitstream import BitstreamError
from call.control import Hello
from call.handshake import Handshake, HandshakeState, refusal

OURS = Hello(1, "0123456789abcdef", "edge 0.1.0", 512, True, True)


def test_equal_peers_accept_each_other() -> None:
    handshake = Handshake(OURS)
    assert handshake.state is HandshakeState.WAITING
    assert handshake.receive(replace(OURS, model="edge 0.1.1")) is HandshakeState.ACCEPTED
    assert handshake.remote is not None
    assert handshake.remote.model == "edge 0.1.1"


@pytest.mark.parametrize(
    ("theirs", "named"),
    [
        (replace(OURS, bitstream_version=2), ("speaks 1", "other side 2")),
        (
            replace(OURS, codec_id="f" * 16, model="base 2"),
            ("0123456789abcdef", "edge 0.1.0", "ffffffffffffffff", "base 2"),
        ),
        (replace(OURS, frame_px=256), ("512 px", "256 px")),
    ],
)
def test_what_cannot_be_decoded_is_refused_with_both_names(theirs: Hello, named: tuple[str, ...]) -> None:
    handshake = Handshake(OURS)
    assert handshake.receive(theirs) is HandshakeState.REFUSED
    for name in named:
        assert name in handshake.reason
    assert Handshake(theirs).receive(OURS) is HandshakeState.REFUSED


@pytest.mark.parametrize(
    ("first", "second", "works"),
    [
        ((True, False), (False, True), True),
        ((False, True), (True, False), True),
        ((True, True), (True, True), True),
        ((True, False), (True, False), False),
        ((False, True), (False, True), False),
        ((False, False), (True, True), False),
    ],
)
def test_somebody_must_send_what_the_other_receives(
    first: tuple[bool, bool], second: tuple[bool, bool], works: bool
) -> None:
    ours = replace(OURS, sends=first[0], receives=first[1])
    theirs = replace(OURS, sends=second[0], receives=second[1])
    assert (refusal(ours, theirs) == "") is works
    assert (refusal(theirs, ours) == "") is works


def test_a_second_hello_is_an_error() -> None:
    handshake = Handshake(OURS)
    handshake.receive(OURS)
    with pytest.raises(BitstreamError, match="second"):
        handshake.receive(OURS)


def test_a_reason_fits_a_goodbye() -> None:
    long = replace(OURS, codec_id="x" * 200, model="y" * 200)
    assert len(refusal(OURS, long)) < 200
