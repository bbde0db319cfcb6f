"""Pictures of earlier calls that a sender may name instead of sending them, and those of this call for later ones."""

from __future__ import annotations

from collections.abc import Callable

from adasr_core.bitstream.errors import BitstreamError
from adasr_core.bitstream.kept_picture import KEPT_NAME_BYTES, Image, KeptPicture
from adasr_core.bitstream.kept_selection import KeptSelection


class KeptPictures:
    """What one receiver keeps."""

    def __init__(self, codec_id: str, load: Callable[[bytes], KeptPicture | None] = lambda name: None) -> None:
        """codec_id: 16 hex digits. load: gets a picture of an earlier call by name; None when it is not there."""
        self._load = load
        self._selection = KeptSelection(codec_id)

    @property
    def pictures(self) -> tuple[KeptPicture, ...]:
        """What is to be kept of this call."""
        return self._selection.pictures

    def find(self, name: bytes, frame_px: int) -> Image:
        """A picture of an earlier call: uint8 [frame_px, frame_px, 3] RGB.

        Raises:
            BitstreamError: it is not kept here, or has another size.
        """
        if len(name) != KEPT_NAME_BYTES:
            raise BitstreamError(f"kept picture's name: got {len(name)} bytes, expected {KEPT_NAME_BYTES}")
        kept = self._load(name)
        if kept is None or len(kept.picture) != frame_px:
            raise BitstreamError(f"kept picture {name.hex()}: is not kept here at {frame_px} px; ask for a reference")
        return kept.picture

    def note_reference(self, picture: Image) -> None:
        """A reference of this call was decoded; uint8 [S, S, 3]."""
        self._selection.add_reference(picture)

    def note_anchor(self, unit: bytes, picture: Image) -> None:
        """An anchor of this call was decoded; unit: its picture field."""
        self._selection.add_anchor(unit, picture)
