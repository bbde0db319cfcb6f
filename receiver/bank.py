"""The references that a receiver holds: up to 16, each in the slot that the sender named."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from adasr_core.bitstream.errors import BitstreamError
from adasr_core.bitstream.motion import MotionCodec
from adasr_core.bitstream.packets import GENERATIONS, PICTURE_AVIF, REFERENCE_SLOTS, ReferencePacket
from adasr_core.bitstream.picture import decode_picture
from adasr_core.engines import FaceModel, ReferenceFeatures
from adasr_core.geometry import MotionParameters


@dataclass(frozen=True, slots=True, eq=False)
class HeldReference:
    """One reference, ready to rebuild from.

    picture: uint8 [512, 512, 3] RGB. parameters: its own, decoded. features: the encoder's, computed once.
    time_ms: capture time modulo 65536.
    """

    slot: int
    generation: int
    time_ms: int
    parameters: MotionParameters
    picture: npt.NDArray[np.uint8]
    features: ReferenceFeatures


class Standing(Enum):
    """What the bank knows of a slot and generation."""

    HELD = "held"
    REPLACED = "replaced"
    UNKNOWN = "unknown"


class ReferenceBank:
    """Slots 0..15. A slot is overwritten by the next reference that names it."""

    def __init__(self, model: FaceModel, codec: MotionCodec) -> None:
        self._model = model
        self._codec = codec
        self._held: dict[int, HeldReference] = {}

    def __len__(self) -> int:
        return len(self._held)

    def insert(self, packet: ReferencePacket) -> HeldReference:
        """Decode a reference, compute its features and hold it.

        A repeated packet gives what is held already. Nothing changes when it fails.

        Raises:
            BitstreamError: the picture or the parameters cannot be decoded, or the size is not the model's.
        """
        if packet.picture_codec != PICTURE_AVIF:
            raise BitstreamError(f"reference picture codec: got {packet.picture_codec}, expected {PICTURE_AVIF} (AVIF)")
        if packet.frame_px != self._model.frame_px:
            raise BitstreamError(
                f"reference size: got {packet.frame_px} px, expected {self._model.frame_px}; "
                "use the same model on both ends"
            )
        parameters = self._codec.decode_reference(packet.parameters)
        picture = decode_picture(packet.picture, packet.frame_px)
        held = self._held.get(packet.slot)
        if (
            held is not None
            and (held.generation, held.time_ms) == (packet.generation, packet.time_ms)
            and np.array_equal(held.picture, picture)
        ):
            return held
        fresh = HeldReference(
            slot=packet.slot,
            generation=packet.generation,
            time_ms=packet.time_ms,
            parameters=parameters,
            picture=picture,
            features=self._model.encode(picture),
        )
        self._held[packet.slot] = fresh
        return fresh

    def find(self, slot: int, generation: int) -> HeldReference | None:
        """The reference of this slot (0..15) and generation (0..15), or None."""
        held = self._held.get(slot)
        return held if held is not None and held.generation == generation else None

    def standing(self, slot: int, generation: int) -> Standing:
        """Whether a reference is held, was replaced by a later generation, or never came."""
        if not 0 <= slot < REFERENCE_SLOTS:
            raise ValueError(f"slot: got {slot}, expected 0..{REFERENCE_SLOTS - 1}")
        held = self._held.get(slot)
        if held is None:
            return Standing.UNKNOWN
        behind = (held.generation - generation) % GENERATIONS
        if behind == 0:
            return Standing.HELD
        return Standing.REPLACED if behind <= 2 else Standing.UNKNOWN
