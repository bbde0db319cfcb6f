"""Anchors: pictures of frames at even intervals, and the frames between them, drawn from both neighbours.

    before o---------x--------------o after          x: both warped to the motion of the moment, and made one
             flow <--+--> flow

The motion field says where every pixel comes from in either anchor, the anchors' own pixels are moved there; the
generator is not asked. Between anchors less than half a second apart that is as close to the source as two rebuilds
mixed, sharper, and takes a third of the time (docs/references.md).

Where the model has a refiner, that makes one picture of the two, and mends an anchor's own picture as well. What is
warped is the picture as it was decoded: a refined one would be refined twice. Without one the two are mixed by time and
sharpened, and a frame that is an anchor's own is that picture.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from adasr_core.bitstream import AnchorPacket, CodedFrame, unwrap_u16
from adasr_core.engines import FaceModel, ReferenceFeatures
from adasr_core.geometry import MotionParameters
from adasr_core.picture_quality import sharpness_of
from receiver.concealment import Sample, interpolate_at

Image = npt.NDArray[np.uint8]

LONGEST_BETWEEN_MS = 1200
"""Anchors farther apart are no neighbours: what lies between them is rebuilt from one."""

_LONGEST_AFTER_MS = 1000
_HELD = 6
_FRAMES_KEPT = 64
_SHARPEN_SIGMA_PX = 1.0
_PROBED = 0.3
_MOST_SHARPENED = 0.8
_SHARPNESS_KEPT = 0.93
"""Share of its anchors' sharpness that a frame between them is brought back to: all of it would cost SSIM 0.004."""


@dataclass(slots=True, eq=False)
class HeldAnchor:
    """A picture with the motion parameters of its frame.

    time_ms: capture time modulo 65536. picture: uint8 [S, S, 3] RGB. alone: it came as a reference, and stands at an
    end of a row of anchors at most. parameters: None until a message with its frame came. sharpness: what frames
    drawn from it are brought back to, mean absolute Laplacian; None until it is needed. refined: its own frame, once it
    was shown.
    """

    time_ms: int
    picture: Image
    alone: bool
    parameters: MotionParameters | None
    features: ReferenceFeatures | None = None
    sharpness: float | None = None
    refined: Image | None = None


class Anchors:
    """The latest anchors of one sender, and what is drawn from them."""

    def __init__(self, model: FaceModel, *, refine: bool = True) -> None:
        """Hold none. refine: paint frames with the refiner that `model` was loaded with, if it was."""
        self._model = model
        self._refines = refine and model.refines
        self._held: deque[HeldAnchor] = deque(maxlen=_HELD)
        self._frames: deque[tuple[int, MotionParameters]] = deque(maxlen=_FRAMES_KEPT)

    def add(self, packet: AnchorPacket, picture: Image) -> None:
        """Hold an anchor; picture: decoded, uint8 [frame_px, frame_px, 3]."""
        same = (parameters for time_ms, parameters in reversed(self._frames) if time_ms == packet.time_ms)
        known = next(same, None)
        self._hold(HeldAnchor(packet.time_ms, picture, False, known))

    def add_reference(
        self, time_ms: int, picture: Image, parameters: MotionParameters, features: ReferenceFeatures
    ) -> None:
        """A reference may be the neighbour of an anchor."""
        self._hold(HeldAnchor(time_ms, picture, True, parameters, features))

    def note_frames(self, frames: Iterable[CodedFrame]) -> None:
        """Motion of frames that came: an anchor takes its parameters from its own frame."""
        for frame in frames:
            self._frames.append((frame.time_ms, frame.parameters))
            for anchor in self._held:
                if anchor.time_ms == frame.time_ms and not anchor.alone:
                    anchor.parameters = frame.parameters

    def forget(self) -> None:
        """The sender began anew."""
        self._held.clear()
        self._frames.clear()

    def draw(self, capture_ms: int, driving: MotionParameters) -> Image | None:
        """The frame of a moment from the anchors around it; None where there is none on either side.

        capture_ms: unwrapped. driving: parameters of the moment. uint8 [frame_px, frame_px, 3] RGB.
        """
        before, after = self._around(capture_ms)
        if before is None or (before[1].alone and after is None):
            return None
        if before[0] == capture_ms:
            return None if before[1].alone else self._own(before[1])
        if after is None or (before[1].alone and after[1].alone) or after[0] - before[0] > LONGEST_BETWEEN_MS:
            return None
        earlier, later = self._warped(before[1], driving), self._warped(after[1], driving)
        if earlier is None or later is None:
            return None
        weight = (capture_ms - before[0]) / (after[0] - before[0])
        if self._refines:
            return self._model.refine(earlier, later, weight)
        mixed = np.asarray(cv2.addWeighted(earlier, 1 - weight, later, weight, 0.0), np.uint8)
        return _sharpened(mixed, (1 - weight) * _sharpness(before[1]) + weight * _sharpness(after[1]))

    def rebuild(self, capture_ms: int, driving: MotionParameters) -> Image | None:
        """The frame of a moment, rebuilt by the generator from the last anchor before it; None where that is too old.

        Arguments and result as those of `draw`.
        """
        before, _ = self._around(capture_ms)
        if before is None or before[1].alone or capture_ms - before[0] > _LONGEST_AFTER_MS:
            return None
        anchor = before[1]
        parameters = self._parameters(anchor)
        if parameters is None:
            return None
        return _sharpened(self._model.rebuild(self._features(anchor), parameters, driving), _sharpness(anchor))

    def _hold(self, anchor: HeldAnchor) -> None:
        for same in [held for held in self._held if held.time_ms == anchor.time_ms]:
            self._held.remove(same)
        self._held.append(anchor)

    def _around(self, capture_ms: int) -> tuple[tuple[int, HeldAnchor] | None, tuple[int, HeldAnchor] | None]:
        """The last anchor up to a moment and the first one after it, with their times, unwrapped."""
        timed = [(unwrap_u16(anchor.time_ms, capture_ms), anchor) for anchor in self._held]
        before = max((one for one in timed if one[0] <= capture_ms), key=lambda one: one[0], default=None)
        after = min((one for one in timed if one[0] > capture_ms), key=lambda one: one[0], default=None)
        return before, after

    def _own(self, anchor: HeldAnchor) -> Image:
        """What is shown as an anchor's own frame."""
        if not self._refines:
            return anchor.picture
        if anchor.refined is None:
            anchor.refined = self._model.refine(anchor.picture, anchor.picture, 0.0)
        return anchor.refined

    def _warped(self, anchor: HeldAnchor, driving: MotionParameters) -> Image | None:
        """An anchor's pixels, moved to another moment."""
        parameters = self._parameters(anchor)
        if parameters is None:
            return None
        side = self._model.frame_px
        flow_px = self._model.flow(self._features(anchor), parameters, driving) * np.float32(side / 2)
        x, y = (cv2.resize(plane, (side, side)) for plane in flow_px)
        # Bilinear softens, which `_sharpened` mends; bicubic takes twice the time for the same picture in the end.
        how = cv2.INTER_LINEAR | cv2.WARP_RELATIVE_MAP
        warped = cv2.remap(anchor.picture, x, y, how, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(warped, np.uint8)

    def _features(self, anchor: HeldAnchor) -> ReferenceFeatures:
        if anchor.features is None:
            anchor.features = self._model.encode(anchor.picture)
        return anchor.features

    def _parameters(self, anchor: HeldAnchor) -> MotionParameters | None:
        """Those of its frame; when its message was lost, between the frames around it that came."""
        if anchor.parameters is not None:
            return anchor.parameters
        offsets = sorted(
            (
                (unwrap_u16(time_ms, anchor.time_ms) - anchor.time_ms, parameters)
                for time_ms, parameters in self._frames
            ),
            key=lambda one: one[0],
        )
        earlier = [one for one in offsets if -LONGEST_BETWEEN_MS <= one[0] < 0][-1:]
        later = [one for one in offsets if 0 < one[0] <= LONGEST_BETWEEN_MS][:1]
        if not earlier or not later:
            return None
        (left_ms, left), (right_ms, right) = earlier[0], later[0]
        around = [Sample(left_ms, left.vector(), None), Sample(right_ms, right.vector(), None)]
        return MotionParameters.from_vector(interpolate_at(around, 0)).clamped()


def _sharpness(anchor: HeldAnchor) -> float:
    if anchor.sharpness is None:
        anchor.sharpness = _SHARPNESS_KEPT * sharpness_of(anchor.picture)
    return anchor.sharpness


def _sharpened(picture: Image, sharpness: float) -> Image:
    """As sharp as that, or nearly: a mix of two warped pictures is softer than they were."""
    present = sharpness_of(picture)
    if present >= sharpness or present <= 0:
        return picture
    soft = cv2.GaussianBlur(picture, (0, 0), _SHARPEN_SIGMA_PX)
    probe = cv2.addWeighted(picture, 1 + _PROBED, soft, -_PROBED, 0.0)
    gained = sharpness_of(np.asarray(probe, np.uint8)) - present
    amount = min(_PROBED * (sharpness - present) / max(gained, 1e-3), _MOST_SHARPENED)
    return np.asarray(cv2.addWeighted(picture, 1 + amount, soft, -amount, 0.0), np.uint8)
