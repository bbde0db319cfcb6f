"""Invitations: text that somebody pasted, and the SDP inside it."""

from __future__ import annotations

import base64
import zlib

from call.signalling import Invitation, InvitationError, InvitationKind, decode_invitation, encode_invitation
from fuzz.target import Target

_SDP = """v=0\r
o=- 1 1 IN IP4 0.0.0.0\r
s=-\r
t=0 0\r
m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r
c=IN IP4 192.0.2.7\r
a=candidate:0 1 udp 2130706431 192.0.2.7 50000 typ host\r
a=setup:actpass\r
"""


def build() -> Target:
    """Inputs: a first byte that says how the rest is wrapped, then text, deflated SDP or SDP."""
    text = encode_invitation(Invitation("offer", _SDP)).encode()
    seeds = (b"\0" + text, b"\1" + zlib.compress(_SDP.encode()), b"\2" + _SDP.encode())
    return Target(check=_check, errors=(InvitationError,), seeds=seeds, max_bytes=4096)


def _check(data: bytes) -> None:
    kind: InvitationKind = "answer" if data[:1] >= b"\x80" else "offer"
    wrapping, content = (data[0] & 0x7F, data[1:]) if data else (0, b"")
    if wrapping == 2:
        content = zlib.compress(content, 1)
    text = content.decode("latin-1")
    if wrapping in (1, 2):
        text = f"adasr1-{kind}:{base64.urlsafe_b64encode(content).decode().rstrip('=')}"
    invitation = decode_invitation(text, kind)
    assert decode_invitation(encode_invitation(invitation), kind) == invitation
