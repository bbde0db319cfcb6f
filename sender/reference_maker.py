"""One reference from picture to packet: its place in the bank, its picture, its parameters.

Its picture is coded, or it is one of an earlier call that both ends kept: then the packet has its name alone, and the
parameters are that picture's.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from adasr_core.bitstream.anchor import AnchorPacket
from adasr_core.bitstream.kept_picture import KeptPicture
from adasr_core.bitstream.motion import MotionCodec
from adasr_core.bitstream.packets import PICTURE_KEPT, ReferencePacket
from adasr_core.geometry import MotionParameters, SquareCrop
from sender.kept_references import KeptReferences
from sender.look import Look
from sender.rate_plan import RatePlan
from sender.reference_pictures import CodedPicture, PictureConfig, ReferencePictures
from sender.reference_policy import ReferenceReason
from sender.sent_references import SentReference, SentReferences

Image = npt.NDArray[np.uint8]

_ANEW = (ReferenceReason.FIRST, ReferenceReason.REQUESTED)


class ReferenceMaker:
    """Makes the reference packets of one video, and notes each one among the references that were sent."""

    def __init__(
        self,
        codec: MotionCodec,
        references: SentReferences,
        frame_px: int,
        config: PictureConfig,
        kept: KeptReferences | None = None,
    ) -> None:
        """Begin with nothing made. kept: pictures of earlier calls; None: nothing is kept."""
        self._kept = kept
        self._to_keep: tuple[int, int, CodedPicture, MotionParameters] | None = None
        self._codec = codec
        self._references = references
        self._frame_px = frame_px
        self._pictures = ReferencePictures(frame_px, config)

    def set_plan(self, plan: RatePlan) -> None:
        """What pictures may cost from now on."""
        self._pictures.set_plan(plan)

    def make_anchor(self, picture: Image, driving: MotionParameters, time: float) -> tuple[AnchorPacket, CodedPicture]:
        """Code the picture of a frame whose motion is sent as well, and how it was coded.

        picture: uint8 [frame_px, frame_px, 3]. driving: its parameters. time: of capture, seconds.

        Raises:
            OSError: the picture's encoder is not there, or failed.
        """
        coded = self._pictures.encode_anchor(picture)
        if self._kept is not None:
            self._kept.note_anchor(coded.data, coded.decode(), driving)
        return AnchorPacket(time_ms=round(time * 1000) & 0xFFFF, picture=coded.data), coded

    def make(
        self,
        picture: Image,
        look: Look,
        crop: SquareCrop,
        time: float,
        *,
        reference_bps: float,
        reason: ReferenceReason,
        scene: bool,
        keep_picture: bool,
        measure: Callable[[KeptPicture, Look], float] | None = None,
    ) -> ReferencePacket:
        """Code a reference, or name a kept picture that suits as well.

        The first one, and one that the receiver asked for, are coded against nothing: it may hold nothing. What it
        asked for is never a kept picture: it may have asked because it lacks one.

        Args:
            picture: uint8 [frame_px, frame_px, 3].
            look: of the picture.
            crop: where it lies in the image.
            time: of capture, seconds.
            reference_bps: rate of references, bits a second.
            reason: why it is sent.
            scene: it shows a place without a face.
            keep_picture: the closed loop will want it.
            measure: how well a kept picture rebuilds this frame, see `KeptReferences.best`.

        Raises:
            OSError: the picture's encoder is not there, or failed.
        """
        self.refuse_kept()
        # An unacknowledged reference is given up now: what comes after it in a chain cannot be decoded.
        anew = reason in _ANEW
        if anew or self._references.awaiting:
            self._pictures.break_chain()
        known = None
        if self._kept is not None and not scene and reason is not ReferenceReason.REQUESTED:
            known = self._kept.best(look, hurried=reason.hurried, in_use=self._references.kept, measure=measure)
        if known is None:
            coded = self._pictures.encode(picture, reference_bps=reference_bps, hurried=reason.hurried)
        else:
            kept, look = known
            coded = CodedPicture(PICTURE_KEPT, kept.name, True, self._frame_px, kept.picture)
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
                kept=None if known is None else coded.data,
            )
        )
        if self._kept is not None:
            self._to_keep = None if scene or known is not None else (slot, generation, coded, look.parameters)
        return packet

    def acknowledged(self, slot: int, generation: int) -> None:
        """The receiver holds this reference: if its picture is one to keep for later calls, it keeps it as well."""
        if self._kept is None or self._to_keep is None or self._to_keep[:2] != (slot, generation):
            return
        _, _, coded, parameters = self._to_keep
        self._to_keep = None
        self._kept.note_reference(coded.decode(), parameters)

    def refuse_kept(self) -> bool:
        """Never again name the picture that is on its way by name, if there is one; whether there was."""
        name = self._references.awaited_kept
        if name is None or self._kept is None:
            return False
        self._kept.refuse(name)
        return True
