"""The references that a receiver holds: up to 16, each in the slot that the sender named."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from adasr_core.bitstream.anchor import AnchorPacket
from adasr_core.bitstream.av1_chain import Av1ChainDecoder
from adasr_core.bitstream.errors import BitstreamError
from adasr_core.bitstream.motion import MotionCodec
from adasr_core.bitstream.packets import (
    GENERATIONS,
    PICTURE_AV1_CHAIN,
    PICTURE_AVIF,
    PICTURE_KEPT,
    REFERENCE_SLOTS,
    ReferencePacket,
)
from adasr_core.bitstream.picture import decode_picture
from adasr_core.engines import FaceModel, ReferenceFeatures
from adasr_core.geometry import MotionParameters
from receiver.kept_pictures import KeptPictures


@dataclass(frozen=True, slots=True, eq=False)
class HeldReference:
    """One reference, ready to rebuild from.

    picture: uint8 [512, 512, 3] RGB. parameters: its own, decoded. features: the encoder's, computed once.
    time_ms: capture time modulo 65536. packet: what it was made of.
    """

    slot: int
    generation: int
    time_ms: int
    parameters: MotionParameters
    picture: npt.NDArray[np.uint8]
    features: ReferenceFeatures
    packet: ReferencePacket


class Standing(Enum):
    """What the bank knows of a slot and generation."""

    HELD = "held"
    REPLACED = "replaced"
    UNKNOWN = "unknown"


class ReferenceBank:
    """Slots 0..15. A slot is overwritten by the next reference that names it."""

    def __init__(self, model: FaceModel, codec: MotionCodec, kept: KeptPictures | None = None) -> None:
        """Begin with nothing held. kept: pictures of earlier calls, which a packet may name; None: there are none."""
        self._model = model
        self._codec = codec
        self._kept = kept
        self._chain = Av1ChainDecoder(model.frame_px)
        self._held: dict[int, HeldReference] = {}

    def __len__(self) -> int:
        return len(self._held)

    def insert(self, packet: ReferencePacket) -> HeldReference:
        """Decode a reference, compute its features and hold it.

        A repeated packet gives what is held already. Nothing is held that was not before when it fails.

        Raises:
            BitstreamError: the picture or the parameters cannot be decoded, what they are coded against is not here,
                or the size is not the model's. Ask for a reference that is coded against nothing.
        """
        held = self._held.get(packet.slot)
        if held is not None and held.packet == packet:
            return held
        if packet.frame_px != self._model.frame_px:
            raise BitstreamError(
                f"reference size: got {packet.frame_px} px, expected {self._model.frame_px}; "
                "use the same model on both ends"
            )
        parameters = self._codec.decode_reference(packet.parameters, self._base(packet))
        picture = self._decode(packet)
        fresh = HeldReference(
            slot=packet.slot,
            generation=packet.generation,
            time_ms=packet.time_ms,
            parameters=parameters,
            picture=picture,
            features=self._model.encode(picture),
            packet=packet,
        )
        self._held[packet.slot] = fresh
        if self._kept is not None and packet.picture_codec != PICTURE_KEPT:
            self._kept.note_reference(picture)
        return fresh

    def decode_anchor(self, packet: AnchorPacket) -> npt.NDArray[np.uint8]:
        """The picture of an anchor, the next one of the chain of references: uint8 [512, 512, 3] RGB.

        Raises:
            BitstreamError: it cannot be decoded, or another one was expected. Ask for a reference.
        """
        picture = self._chain.decode(packet.picture)
        if self._kept is not None:
            self._kept.note_anchor(packet.picture, picture)
        return picture

    def _base(self, packet: ReferencePacket) -> MotionParameters | None:
        """Parameters that the packet's are coded against."""
        if packet.base is None:
            return None
        base = self.find(*packet.base)
        if base is None:
            raise BitstreamError(f"reference base: slot and generation {packet.base} are not held; ask for a new one")
        return base.parameters

    def _decode(self, packet: ReferencePacket) -> npt.NDArray[np.uint8]:
        if packet.picture_codec == PICTURE_AVIF:
            return decode_picture(packet.picture, packet.frame_px)
        if packet.picture_codec == PICTURE_AV1_CHAIN:
            return self._chain.decode(packet.picture)
        if packet.picture_codec == PICTURE_KEPT and self._kept is not None:
            return self._kept.find(packet.picture, packet.frame_px)
        raise BitstreamError(
            f"reference picture codec: got {packet.picture_codec}, expected 1 (AVIF), 2 (AV1 chain) or, where pictures "
            "are kept from call to call, 3; ask for a reference"
        )

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
