"""Copy-paste invitations: one line of text that carries a session description.

Layout of the text::

    adasr1-offer:  base64url( zlib( UTF-8 of the SDP ) )
    adasr1-answer: ...

White space anywhere in the text is ignored, because mail programs and terminals wrap long lines. Every size is
bounded before memory is spent on it, and the SDP may describe nothing but one data-channel section.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from dataclasses import dataclass
from typing import Literal

InvitationKind = Literal["offer", "answer"]

INVITATION_VERSION = 1
MAX_TEXT_CHARACTERS = 32_768
MAX_SDP_BYTES = 65_536


class InvitationError(ValueError):
    """Text from outside that is not a usable invitation."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """A session description on its way to the other peer.

    Attributes:
        kind: ``offer`` invites, ``answer`` accepts.
        sdp: the session description (RFC 8866), at most 65,536 bytes of UTF-8.
    """

    kind: InvitationKind
    sdp: str


def encode_invitation(invitation: Invitation) -> str:
    """Write an invitation as one line of printable ASCII.

    Raises:
        ValueError: the SDP is longer than an invitation may carry.
    """
    data = invitation.sdp.encode("utf-8")
    if len(data) > MAX_SDP_BYTES:
        raise ValueError(f"sdp: {len(data)} bytes, at most {MAX_SDP_BYTES} fit an invitation; offer fewer candidates")
    packed = base64.urlsafe_b64encode(zlib.compress(data, 9)).decode("ascii").rstrip("=")
    return f"adasr{INVITATION_VERSION}-{invitation.kind}:{packed}"


def decode_invitation(text: str, expected: InvitationKind) -> Invitation:
    """Read an invitation that somebody pasted.

    Args:
        text: the pasted text; white space is ignored.
        expected: which half of the exchange is awaited.

    Raises:
        InvitationError: not an invitation, another version, the other half, damaged, or too large.
    """
    if len(text) > MAX_TEXT_CHARACTERS:
        raise InvitationError(f"invitation: {len(text)} characters, at most {MAX_TEXT_CHARACTERS}; paste one only")
    compact = "".join(text.split())
    head, colon, packed = compact.partition(":")
    if not colon or not head.startswith("adasr"):
        raise InvitationError(
            f"invitation: got {compact[:24]!r}, expected a text that starts with adasr{INVITATION_VERSION}-{expected}:"
        )
    version, _, kind = head[len("adasr") :].partition("-")
    if version != str(INVITATION_VERSION):
        raise InvitationError(
            f"invitation version: got {version[:8]!r}, this program speaks {INVITATION_VERSION}; use the same release"
        )
    if kind != expected:
        raise InvitationError(
            f"invitation: got the {kind[:8]!r} half, expected the {expected!r} half; exchange them the other way round"
        )
    sdp = _inflate(packed)
    _check_sdp(sdp)
    return Invitation(expected, sdp)


def _inflate(packed: str) -> str:
    try:
        compressed = base64.b64decode(packed + "=" * (-len(packed) % 4), altchars=b"-_", validate=True)
        inflater = zlib.decompressobj()
        data = inflater.decompress(compressed, MAX_SDP_BYTES + 1)
        complete = inflater.eof and not inflater.unused_data
        text = data.decode("utf-8")
    except (binascii.Error, zlib.error, ValueError) as error:
        raise InvitationError(f"invitation: damaged ({error}); copy the whole text again") from error
    if len(data) > MAX_SDP_BYTES or not complete:
        raise InvitationError("invitation: cut short or too large; copy the whole text again")
    return text


def _check_sdp(sdp: str) -> None:
    lines = sdp.splitlines()
    sections = [line for line in lines if line.startswith("m=")]
    if not lines or not lines[0].startswith("v=0") or len(sections) != 1 or not sections[0].startswith("m=application"):
        raise InvitationError(
            f"invitation: expected one data-channel section, got {len(sections)} media sections; "
            "make a new invitation with adasr call"
        )
