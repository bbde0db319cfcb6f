"""Handshake: both peers say hello, and a call that could not be decoded is refused by name (pure).

Each side judges the other's hello by the same rule, so both reach the same verdict without another message.
"""

from __future__ import annotations

import enum

from adasr_core.bitstream.errors import BitstreamError
from call.control import Hello


class HandshakeState(enum.Enum):
    """Where the handshake stands."""

    WAITING = "waiting"
    ACCEPTED = "accepted"
    REFUSED = "refused"


class Handshake:
    """Judges the peer's hello against our own.

    States: WAITING -> ACCEPTED or REFUSED, once; a second hello is a protocol error.
    """

    def __init__(self, local: Hello) -> None:
        """Start with what this side speaks."""
        self.local = local
        self.remote: Hello | None = None
        self.state = HandshakeState.WAITING
        self.reason = ""

    def receive(self, remote: Hello) -> HandshakeState:
        """Take the peer's hello and decide.

        Raises:
            BitstreamError: a hello had already been received.
        """
        if self.state is not HandshakeState.WAITING:
            raise BitstreamError("hello: got a second one, expected one per call")
        self.remote = remote
        self.reason = refusal(self.local, remote)
        self.state = HandshakeState.REFUSED if self.reason else HandshakeState.ACCEPTED
        return self.state


def refusal(local: Hello, remote: Hello) -> str:
    """Say why two peers cannot hold a call; empty when they can."""
    if remote.bitstream_version != local.bitstream_version:
        return (
            f"bitstream version: this side speaks {local.bitstream_version}, the other side "
            f"{remote.bitstream_version}; install the same release on both sides"
        )
    if remote.codec_id != local.codec_id:
        return (
            f"codec: this side speaks {local.codec_id[:16]} (model {local.model[:24]}), the other side "
            f"{remote.codec_id[:16]} (model {remote.model[:24]}); use the same model on both sides"
        )
    if remote.frame_px != local.frame_px:
        return (
            f"frame size: this side rebuilds {local.frame_px} px, the other side {remote.frame_px} px; "
            "use the same model on both sides"
        )
    if not ((local.sends and remote.receives) or (remote.sends and local.receives)):
        return "video: neither side sends what the other could rebuild; give at least one side a --source"
    return ""
