"""One reference from picture to packet: its place in the bank, its picture, its parameters."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from adasr_core.bitstream.anchor import AnchorPacket
from adasr_core.bitstream.motion import MotionCodec
from adasr_core.bitstream.packets import ReferencePacket
from adasr_core.geometry import SquareCrop
from sender.look import Look
from sender.rate_plan import RatePlan
from sender.reference_pictures import CodedPicture, PictureConfig, ReferencePictures
from sender.sent_references import SentReference, SentReferences

Image = npt.NDArray[np.uint8]


class ReferenceMaker:
    """Makes the reference packets of one video, and notes each one among the references that were sent."""

    def __init__(self, codec: MotionCodec, references: SentReferences, frame_px: int, config: PictureConfig) -> None:
        self._codec = codec
        self._references = references
        self._frame_px = frame_px
        self._pictures = ReferencePictures(frame_px, config)

    def set_plan(self, plan: RatePlan) -> None:
        """What pictures may cost from now on."""
        self._pictures.set_plan(plan)

    def make_anchor(self, picture: Image, time: float) -> tuple[AnchorPacket, CodedPicture]:
        """Code the picture of a frame whose motion is sent as well, and how it was coded.

        picture: uint8 [frame_px, frame_px, 3]. time: of capture, seconds.

        Raises:
            OSError: the picture's encoder is not there, or failed.
        """
        coded = self._pictures.encode_anchor(picture)
        return AnchorPacket(time_ms=round(time * 1000) & 0xFFFF, picture=coded.data), coded

    def make(
        self,
        picture: Image,
        look: Look,
        crop: SquareCrop,
        time: float,
        *,
        reference_bps: float,
        hurried: bool,
        anew: bool,
        scene: bool,
        keep_picture: bool,
    ) -> ReferencePacket:
        """Code a reference.

        Args:
            picture: uint8 [frame_px, frame_px, 3].
            look: of the picture.
            crop: where it lies in the image.
            time: of capture, seconds.
            reference_bps: rate of references, bits a second.
            hurried: the receiver cannot show anything right without it.
            anew: the receiver may hold nothing: neither picture nor parameters are coded against anything.
            scene: it shows a place without a face.
            keep_picture: the closed loop will want it.

        Raises:
            OSError: the picture's encoder is not there, or failed.
        """
        # An unacknowledged reference is given up now: what comes after it in a chain cannot be decoded.
        if anew or self._references.awaiting:
            self._pictures.break_chain()
        coded = self._pictures.encode(picture, reference_bps=reference_bps, hurried=hurried)
        slot, generation = self._references.place()
        base = None if anew else self._references.nearest(look.parameters)
        base_parameters = None if base is None else base.parameters
        coded_parameters = self._codec.encode_reference(look.parameters, base_parameters)
        packet = ReferencePacket(
            slot=slot,
            generation=generation,
            time_ms=round(time * 1000) & 0xFFFF,
            frame_px=self._frame_px,
            parameters=coded_parameters,
            picture=coded.data,
            picture_codec=coded.codec,
            base=None if base is None else (base.slot, base.generation),
        )
        self._references.add(
            SentReference(
                slot=slot,
                generation=generation,
                parameters=self._codec.decode_reference(coded_parameters, base_parameters),
                look=look,
                crop=crop,
                sent_time=time,
                scene=scene,
                coded=coded if keep_picture else None,
            )
        )
        return packet
