"""Whole stills, decoder included: libavif and dav1d get what the checks before them let through."""

from __future__ import annotations

from adasr_core.bitstream import BitstreamError, decode_picture
from fuzz.material import still
from fuzz.target import Target

_SIDES_PX = (16, 64)


def build() -> Target:
    """A still is refused or decodes to exactly the size that was asked for."""
    return Target(check=_check, errors=(BitstreamError,), seeds=tuple(map(still, _SIDES_PX)), max_bytes=2048)


def _check(data: bytes) -> None:
    refusals = []
    for side_px in _SIDES_PX:
        try:
            assert decode_picture(data, side_px).shape == (side_px, side_px, 3)
        except BitstreamError as error:
            refusals.append(error)
    if len(refusals) == len(_SIDES_PX):
        raise refusals[0]
