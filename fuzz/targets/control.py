"""Control messages: msgpack from a peer."""

from __future__ import annotations

from adasr_core.bitstream import BitstreamError
from call.control import (
    MAX_CONTROL_BYTES,
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
from fuzz.target import Target


def build() -> Target:
    """What unpacks packs to a message that unpacks to the same."""
    messages: tuple[ControlMessage, ...] = (
        Hello(bitstream_version=2, codec_id="0" * 16, model="edge 0.2.0", frame_px=512, sends=True, receives=False),
        Kept(salt=b"saltsalt", marks=bytes(range(12))),
        Kept(salt=bytes(8), marks=bytes(256)),
        Sound(sends=True, receives=False),
        Ready(),
        ReferenceAck(slot=3, generation=15),
        ReferenceRequest(),
        Ping(sent_us=1),
        Pong(sent_us=2**40, answered_us=2**62),
        Bye(reason="the window was closed"),
    )
    return Target(
        check=_check,
        errors=(BitstreamError,),
        seeds=tuple(map(pack_control, messages)),
        max_bytes=MAX_CONTROL_BYTES + 16,
    )


def _check(data: bytes) -> None:
    message = unpack_control(data)
    assert unpack_control(pack_control(message)) == message
