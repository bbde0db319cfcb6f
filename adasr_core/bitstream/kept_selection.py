"""Which pictures of a call are kept for later ones: both ends choose the same without a word about it."""

from __future__ import annotations

import heapq

from adasr_core.bitstream.kept_picture import Image, KeptPicture, kept_name
from adasr_core.geometry import MotionParameters

PER_CALL = 16
"""Pictures of one call that are kept at most."""

_ANCHOR_STEP = 4
"""Every so many units of a chain one may be kept: units of that place are among the better ones of the pyramid."""


class KeptSelection:
    """Which pictures of one call are kept: at most 16, the same ones on both ends, whatever got lost between them.

    The first reference always: the next call may begin like this one. Of the other references and of every fourth unit
    of a chain of anchors those with the lowest names: a sample over all of the call to which both ends come alike.
    """

    def __init__(self, codec_id: str) -> None:
        """Begin with none. codec_id: 16 hex digits."""
        self._codec_id = codec_id
        self._first: KeptPicture | None = None
        self._others: dict[bytes, KeptPicture] = {}

    @property
    def pictures(self) -> tuple[KeptPicture, ...]:
        """What is kept of the call so far."""
        others = tuple(self._others.values())
        return others if self._first is None else (self._first, *others)

    def add_reference(self, picture: Image, parameters: MotionParameters | None = None) -> None:
        """Note a reference that both ends hold; fields as those of `KeptPicture`."""
        kept = self._named(picture, parameters)
        if self._first is None:
            self._first = kept
            self._others.pop(kept.name, None)
        else:
            self._add(kept)

    def add_anchor(self, unit: bytes, picture: Image, parameters: MotionParameters | None = None) -> None:
        """Note an anchor. unit: its picture field, chain and index first; other fields as those of `KeptPicture`."""
        if unit[1] % _ANCHOR_STEP == 0:
            self._add(self._named(picture, parameters))

    def _named(self, picture: Image, parameters: MotionParameters | None) -> KeptPicture:
        return KeptPicture(kept_name(picture, self._codec_id), picture, parameters)

    def _add(self, kept: KeptPicture) -> None:
        if self._first is not None and kept.name == self._first.name:
            return
        self._others[kept.name] = kept
        for name in heapq.nlargest(max(len(self._others) - PER_CALL + 1, 0), self._others):
            del self._others[name]
