"""What a sender gives for a frame, and what it counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from adasr_core.bitstream.anchor import AnchorPacket
from adasr_core.bitstream.motion_message import MotionMessage
from adasr_core.bitstream.packets import ReferencePacket
from adasr_core.geometry import SquareCrop
from sender.reference_policy import ReferenceReason

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class SenderOutput:
    """What one frame gave.

    reference: to be sent reliably and in order, before `messages` where both are there; reason: why. anchor: likewise,
    in the company of the last of `messages`, whose newest frame it shows. messages: to be sent at once, oldest first;
    often none, while frames are gathered. coded: whether the frame's motion is in one of
    them or will be in a later one. picture: uint8 [512, 512, 3], what the packets describe; None when there is nothing
    to show. `close_loop` still reads it. crop: where it lies in the image. confidence: of the face, 0 to 1.
    """

    reference: ReferencePacket | None
    reason: ReferenceReason | None
    anchor: AnchorPacket | None
    messages: tuple[MotionMessage, ...]
    coded: bool
    face_found: bool
    confidence: float
    crop: SquareCrop | None
    picture: Image | None


@dataclass(frozen=True, slots=True)
class SenderStatistics:
    """Counts since the start. Sizes are packed packets without any transport header. motion_frames: in messages.

    quality_db: the latest rebuild with the reference in use; fresh_quality_db: what a fresh reference should give.
    Without a closed loop both are guesses from the pose. references_in_use: acknowledged ones that show a face.
    """

    frames: int
    frames_with_face: int
    motion_frames: int
    motion_messages: int
    motion_bytes: int
    references: int
    reference_bytes: int
    anchors: int
    anchor_bytes: int
    references_in_use: int
    quality_db: float | None
    fresh_quality_db: float | None
