"""Pictures that both ends keep from one call to the next, and how they are named.

    name = first 16 bytes of sha256("adasr kept picture" | codec id, 16 hex digits | side u16 | pixels)

Both ends of a call hold the same decoded pictures, bit by bit, so both find the same name without a word. In a later
call the receiver says which pictures it keeps, by a mark of each that only those understand who keep it as well::

    mark = first 4 bytes of sha256(salt | name)         salt: 8 random bytes, others in every call

and the sender names one instead of sending it (`ReferencePacket.picture_codec` = 3).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from adasr_core.geometry import MotionParameters

Image = npt.NDArray[np.uint8]

KEPT_NAME_BYTES = 16
SALT_BYTES = 8
MARK_BYTES = 4
MAX_MARKS = 64
"""Pictures that a receiver may tell of."""

_DOMAIN = b"adasr kept picture"
_CODEC_ID_DIGITS = 16


def kept_name(picture: Image, codec_id: str) -> bytes:
    """The name of a picture: 16 bytes.

    picture: uint8 [S, S, 3] RGB, as decoded. codec_id: 16 hex digits, see docs/bitstream.md.

    Raises:
        ValueError: another shape or type, or no codec id.
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape != (len(picture), len(picture), 3):
        raise ValueError(f"picture: got {picture.dtype} {picture.shape}, expected uint8 [S, S, 3]")
    if len(codec_id) != _CODEC_ID_DIGITS or not codec_id.isascii():
        raise ValueError(f"codec_id: got {codec_id[:40]!r}, expected {_CODEC_ID_DIGITS} hex digits")
    digest = hashlib.sha256(_DOMAIN + codec_id.encode("ascii") + len(picture).to_bytes(2, "big"))
    digest.update(np.ascontiguousarray(picture).data)
    return digest.digest()[:KEPT_NAME_BYTES]


def kept_mark(salt: bytes, name: bytes) -> bytes:
    """What tells of a picture to those who keep it: 4 bytes. Two pictures share one once in four thousand millions."""
    return hashlib.sha256(salt + name).digest()[:MARK_BYTES]


def kept_marks(salt: bytes, names: Iterable[bytes]) -> bytes:
    """The marks of all these pictures, one behind the other."""
    return b"".join(kept_mark(salt, name) for name in names)


@dataclass(frozen=True, slots=True, eq=False)
class KeptPicture:
    """A picture to keep.

    name: 16 bytes, see `kept_name`. picture: uint8 [S, S, 3] RGB. parameters: of its own frame, as detected; only the
    end that sent it has them.
    """

    name: bytes
    picture: Image
    parameters: MotionParameters | None = None
