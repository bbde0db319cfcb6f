"""Messages of the control channel: msgpack maps, checked field by field.

Every message is a map with the key ``t`` (its type) and exactly the fields of one dataclass below. Times are the
sender's own monotonic clock in microseconds; nothing compares two machines' clocks without the offset that
``ping`` and ``pong`` estimate.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import msgpack

from adasr_core.bitstream.errors import BitstreamError
from adasr_core.bitstream.kept_picture import MARK_BYTES, MAX_MARKS, SALT_BYTES

MAX_CONTROL_BYTES = 4096
_MAX_TEXT = 200
_MAX_BINARY = MARK_BYTES * MAX_MARKS
_MAX_INTEGER = 2**62


@dataclass(frozen=True, slots=True)
class Hello:
    """What a peer speaks; the first message of both sides.

    Attributes:
        bitstream_version: version of the motion and reference packets.
        codec_id: 16 hexadecimal digits that name what packets mean.
        model: name and version of the model, for messages to people.
        frame_px: edge of the rebuilt square frame in pixels.
        sends: this peer will send video.
        receives: this peer can rebuild video.
        max_kbps: the other side shall send no more, kilobits a second with all headers; 0 sets no limit.
    """

    bitstream_version: int
    codec_id: str
    model: str
    frame_px: int
    sends: bool
    receives: bool
    max_kbps: int = 0


@dataclass(frozen=True, slots=True)
class Ready:
    """The networks are loaded: video may be sent to this peer."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Pictures of earlier calls that this peer keeps; at most once, before ``ready``, by a peer that keeps some.

    Attributes:
        salt: 8 random bytes of this call.
        marks: 4 bytes for each of 1 to 64 pictures, see `adasr_core.bitstream.kept_picture`.
    """

    salt: bytes
    marks: bytes


@dataclass(frozen=True, slots=True)
class Sound:
    """What this peer does with sound; at most once, before ``ready``, by a peer that does something with it.

    Attributes:
        sends: this peer will send sound.
        receives: this peer plays sound.
    """

    sends: bool
    receives: bool


@dataclass(frozen=True, slots=True)
class ReferenceAck:
    """The named reference is decoded and in the bank."""

    slot: int
    generation: int


@dataclass(frozen=True, slots=True)
class ReferenceRequest:
    """The receiver holds no reference that the packets name: send one."""


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks for a pong; ``sent_us`` comes back unchanged."""

    sent_us: int


@dataclass(frozen=True, slots=True)
class Pong:
    """Answer to a ping: the ping's own time and the answerer's clock when it answered."""

    sent_us: int
    answered_us: int


@dataclass(frozen=True, slots=True)
class Bye:
    """The call ends; ``reason`` is for people and empty when there is nothing to explain."""

    reason: str


ControlMessage = Hello | Kept | Sound | Ready | ReferenceAck | ReferenceRequest | Ping | Pong | Bye

_TYPES: dict[str, type[ControlMessage]] = {
    "hello": Hello,
    "kept": Kept,
    "sound": Sound,
    "ready": Ready,
    "reference_ack": ReferenceAck,
    "reference_request": ReferenceRequest,
    "ping": Ping,
    "pong": Pong,
    "bye": Bye,
}
_NAMES = {message_type: name for name, message_type in _TYPES.items()}
_FIELD_TYPES: dict[str, type] = {"int": int, "str": str, "bool": bool, "bytes": bytes}


def pack_control(message: ControlMessage) -> bytes:
    """Write one control message.

    Raises:
        ValueError: a text field is longer than 200 characters, or a binary one than 256 bytes.
    """
    fields: dict[str, Any] = {"t": _NAMES[type(message)]}
    for field in dataclasses.fields(message):
        value = getattr(message, field.name)
        if isinstance(value, str) and len(value) > _MAX_TEXT:
            raise ValueError(f"control field {field.name}: {len(value)} characters, at most {_MAX_TEXT}; shorten it")
        if isinstance(value, bytes) and len(value) > _MAX_BINARY:
            raise ValueError(f"control field {field.name}: {len(value)} bytes, at most {_MAX_BINARY}; shorten it")
        fields[field.name] = value
    packed: bytes = msgpack.packb(fields)
    return packed


def unpack_control(data: bytes) -> ControlMessage:
    """Read one control message.

    Raises:
        BitstreamError: too long, not msgpack, an unknown type, or fields that do not fit the type.
    """
    if len(data) > MAX_CONTROL_BYTES:
        raise BitstreamError(f"control message: {len(data)} bytes, at most {MAX_CONTROL_BYTES}")
    try:
        fields = msgpack.unpackb(data, strict_map_key=True)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise BitstreamError(f"control message: not msgpack ({error})") from error
    if not isinstance(fields, dict):
        raise BitstreamError(f"control message: got {type(fields).__name__}, expected a map")
    name = fields.pop("t", None)
    message_type = _TYPES.get(name) if isinstance(name, str) else None
    if message_type is None:
        raise BitstreamError(f"control message type: got {str(name)[:40]!r}, expected one of {', '.join(_TYPES)}")
    expected = {field.name: str(field.type) for field in dataclasses.fields(message_type)}
    if set(fields) != set(expected):
        raise BitstreamError(f"control message {name}: fields {sorted(map(str, fields))}, expected {sorted(expected)}")
    for key, type_name in expected.items():
        _check_field(f"control message {name}, {key}", fields[key], _FIELD_TYPES[type_name])
    message: ControlMessage = message_type(**fields)
    if isinstance(message, ReferenceAck) and not (0 <= message.slot < 16 and 0 <= message.generation < 16):
        raise BitstreamError(
            f"reference_ack: got slot {message.slot}, generation {message.generation}, expected 0 to 15"
        )
    if isinstance(message, Kept):
        _check_kept(message)
    return message


def _check_kept(message: Kept) -> None:
    if len(message.salt) != SALT_BYTES or not message.marks or len(message.marks) % MARK_BYTES:
        raise BitstreamError(
            f"kept: got a salt of {len(message.salt)} bytes and marks of {len(message.marks)}, expected {SALT_BYTES} "
            f"and 1 to {MAX_MARKS} times {MARK_BYTES}"
        )


def _check_field(name: str, value: object, expected: type) -> None:
    if type(value) is not expected:
        raise BitstreamError(f"{name}: got {type(value).__name__}, expected {expected.__name__}")
    if isinstance(value, str) and (len(value) > _MAX_TEXT or not value.isprintable()):
        raise BitstreamError(f"{name}: expected at most {_MAX_TEXT} printable characters")
    if isinstance(value, bytes) and len(value) > _MAX_BINARY:
        raise BitstreamError(f"{name}: got {len(value)} bytes, expected at most {_MAX_BINARY}")
    if isinstance(value, int) and not 0 <= value <= _MAX_INTEGER:
        raise BitstreamError(f"{name}: got {value}, expected 0 to 2**62")
