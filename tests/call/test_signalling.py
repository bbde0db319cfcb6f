import base64
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from call.signalling import Invitation, InvitationError, decode_invitation, encode_invitation

SDP = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n" + "".join(
    f"a=candidate:{n} 1 udp 2130706431 192.0.2.{n} 50000 typ host\r\n" for n in range(6)
)


def _text(data: bytes, kind: str = "offer", version: int = 1) -> str:
    return f"adasr{version}-{kind}:" + base64.urlsafe_b64encode(zlib.compress(data)).decode().rstrip("=")


def test_round_trip_survives_wrapped_lines() -> None:
    text = encode_invitation(Invitation("offer", SDP))
    assert text.isascii()
    assert "\n" not in text
    wrapped = "  " + "\r\n ".join(text[i : i + 60] for i in range(0, len(text), 60)) + "\n"
    assert decode_invitation(wrapped, "offer") == Invitation("offer", SDP)


def test_pinned_text_of_version_1() -> None:
    pinned = "adasr1-answer:eNorszXg5cq1TSwoyMlMTizJzM9TsFSIUIjk5QIAbOUHmg"
    assert decode_invitation(pinned, "answer").sdp == "v=0\r\nm=application 9 X Y\r\n"


def test_every_truncation_is_refused() -> None:
    text = encode_invitation(Invitation("offer", SDP))
    for length in range(len(text)):
        with pytest.raises(InvitationError):
            decode_invitation(text[:length], "offer")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "starts with adasr1-offer:"),
        ("hello there", "starts with adasr1-offer:"),
        (_text(SDP.encode(), version=2), "version"),
        (_text(SDP.encode(), kind="answer"), "other way round"),
        (_text(b"\xff\xfe"), "damaged"),
        (_text(b"no session description"), "one data-channel section"),
        (_text(SDP.encode() + b"m=audio 9 X 0\r\n"), "2 media sections"),
        (_text(SDP.replace("application", "video").encode()), "one data-channel section"),
        ("adasr1-offer:" + "A" * 40_000, "at most"),
    ],
)
def test_faults_are_named(text: str, said: str) -> None:
    with pytest.raises(InvitationError, match=said):
        decode_invitation(text, "offer")


def test_a_decompression_bomb_is_refused() -> None:
    bomb = _text(b"v=0\r\n" + bytes(10_000_000))
    assert len(bomb) < 32_768
    with pytest.raises(InvitationError, match="too large"):
        decode_invitation(bomb, "offer")


def test_a_long_sdp_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="at most 65536"):
        encode_invitation(Invitation("offer", "v" * 70_000))


@given(st.text(max_size=200), st.binary(max_size=200))
def test_any_text_parses_or_raises(text: str, data: bytes) -> None:
    for candidate in (text, _text(data), "adasr1-offer:" + text):
        try:
            decode_invitation(candidate, "offer")
        except InvitationError:
            continue
