"""The sender's own decoder, at a reduced rate: how good is what the receiver shows?

    push(frame) ... the frame's packets leave ... step() -> Measurement | None

`push` only notes the frame; `step` works. Every step does one heavy thing at most, so that a frame's time stays
bounded: it encodes the features of one reference, or rebuilds the present frame with one reference. Most rebuilds use
the reference in use; every fourth tries the next best one. Frames are counted when they are pushed: a step that a busy
caller left out is made up for by the next one.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from adasr_core.bitstream.motion import MotionCodec
from adasr_core.engines import FaceModel
from adasr_core.geometry import FACE_KEYPOINTS, MotionParameters
from sender.look import Look
from sender.sent_references import SentReference, SentReferences

Image = npt.NDArray[np.uint8]

_COMPARED_PX = 256
_CHALLENGE_EVERY = 4
_PREPARATIONS_PER_MEASUREMENT = 3
_BEST_DB = 60.0


def picture_quality_db(rebuilt: Image, source: Image, parameters: MotionParameters) -> float:
    """PSNR of a rebuild with the face counting as much as all of the picture; dB, at most 60.

    rebuilt, source: uint8 [S, S, 3]. parameters: where the face is. Compared at 256x256, so that noise and the finest
    texture, which no rebuild can follow, do not rule the choice.
    """
    side = min(_COMPARED_PX, source.shape[0])
    error = cv2.absdiff(_shrink(rebuilt, side), _shrink(source, side))
    squared = np.square(error.astype(np.float32)).mean(axis=2)
    corners = (parameters.keypoints[:FACE_KEYPOINTS] + 1) * (side / 2)
    left, top = np.clip(corners.min(axis=0), 0, side - 1).astype(int)
    right, bottom = np.clip(corners.max(axis=0), 1, side).astype(int)
    face = squared[top : max(bottom, top + 1), left : max(right, left + 1)]
    mean_squared = 0.5 * float(squared.mean()) + 0.5 * float(face.mean())
    return min(_BEST_DB, 10 * float(np.log10(255.0**2 / max(mean_squared, 1e-9))))


def _shrink(picture: Image, side: int) -> Image:
    if picture.shape[0] == side:
        return picture
    return np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


@dataclass(frozen=True, slots=True)
class PushedFrame:
    """What packets were made of.

    picture: uint8 [512, 512, 3]. look: with its parameters before quantisation. time: of capture, seconds.
    """

    picture: Image
    look: Look
    time: float

    @property
    def driving(self) -> MotionParameters:
        """Its parameters before quantisation."""
        return self.look.parameters


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measured rebuild.

    quality_db: see `picture_quality_db`. time: of capture, seconds. of_current: with the reference in use.
    """

    quality_db: float
    time: float
    of_current: bool


class ClosedLoop:
    """Measures rebuilds for the reference policy and the choice of references."""

    def __init__(
        self, model: FaceModel, codec: MotionCodec, references: SentReferences, *, motion_quality: int, interval: int
    ) -> None:
        """Begin with no frame.

        motion_quality: quantiser of the packets, 0 to 15. interval: frames from one measurement to the next, 1 or more.
        """
        self._model = model
        self._codec = codec
        self._references = references
        self._motion_quality = motion_quality
        self._interval = interval
        self._frame: PushedFrame | None = None
        self._since_measurement = 0
        self._since_preparation = 0
        self._turn = 0

    def set_motion_quality(self, motion_quality: int) -> None:
        """Quantiser of the packets from now on, 0 to 15."""
        self._motion_quality = motion_quality

    def push(self, frame: PushedFrame | None) -> None:
        """Note what the next step may measure. None: the frame was none to measure, and the next step does nothing."""
        self._frame = frame
        if frame is not None:
            self._since_measurement += 1
            self._since_preparation += 1

    def step(self) -> Measurement | None:
        """Do what is due for the frame last pushed, once; None when that was no measurement."""
        frame, self._frame = self._frame, None
        if frame is None:
            return None
        # References are made ready faster than frames are measured: a new one should tell soon what it is worth.
        soon = max(1, self._interval // _PREPARATIONS_PER_MEASUREMENT)
        if self._since_preparation >= soon and self._prepare():
            self._since_preparation = 0
            return None
        if self._since_measurement < self._interval:
            return None
        return self._measure(frame)

    def _prepare(self) -> bool:
        """Make the features of one acknowledged reference. False when all have them."""
        for reference in self._references.usable():
            if reference.features is None and reference.coded is not None:
                reference.features = self._model.encode(reference.coded.decode())
                reference.coded = None
                return True
        return False

    def _measure(self, frame: PushedFrame) -> Measurement | None:
        """Rebuild the frame with one reference and compare; None, and due again, when none is ready."""
        ready = [reference for reference in self._references.ranked(frame.look) if reference.features is not None]
        if not ready:
            return None
        self._since_measurement = 0
        current = self._references.current
        reference = self._pick(ready, current)
        assert reference.features is not None  # all in `ready` have them
        received = self._codec.quantise(frame.driving, reference.parameters, self._motion_quality)
        rebuilt = self._model.rebuild(reference.features, reference.parameters, received)
        quality_db = picture_quality_db(rebuilt, frame.picture, frame.driving)
        self._references.measured(reference, frame.look, quality_db)
        return Measurement(quality_db=quality_db, time=frame.time, of_current=reference is current)

    def _pick(self, ready: list[SentReference], current: SentReference | None) -> SentReference:
        """A reference that was never measured, else the one in use, now and then the next best one."""
        self._turn += 1
        for reference in ready:
            if reference.own_db is None:
                return reference
        in_use = current if current is not None and current in ready else ready[0]
        if self._turn % _CHALLENGE_EVERY == 0:
            return next((other for other in ready if other is not in_use), in_use)
        return in_use
