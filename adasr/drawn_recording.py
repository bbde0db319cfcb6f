"""What the refiner learns from: a call's receiver is watched while it draws frames between anchors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from adasr_core.bitstream import MotionCodec
from adasr_core.engines import FaceModel
from benchmarks.anchor_call import run_anchor_call
from training.drawn_frames import DrawnFrame

Image = npt.NDArray[np.uint8]

_SETTLING_FRAMES = 8


@dataclass(frozen=True, slots=True, eq=False)
class Refined:
    """One call of `FaceModel.refine`: what went in and what came out, uint8 [S, S, 3]; weight: of the later one."""

    earlier: Image
    later: Image
    weight: float
    shown: Image


class WatchedModel(FaceModel):
    """A model whose refiner mixes by time, and notes everything; it needs none in its folder."""

    def watch(self) -> list[Refined]:
        """Start anew; returns the list that grows with every refined frame."""
        self._refined: list[Refined] = []
        return self._refined

    @property
    def refines(self) -> bool:
        """So that the receiver asks."""
        return True

    def refine(self, earlier: Image, later: Image, weight: float) -> Image:
        """The mix of both; see `FaceModel.refine`."""
        mixed = np.asarray(cv2.addWeighted(earlier, 1 - weight, later, weight, 0.0), np.uint8)
        self._refined.append(Refined(earlier, later, weight, mixed))
        return mixed


def record_drawn_frames(
    images: Sequence[Image],
    times: Sequence[float],
    model: WatchedModel,
    codec: MotionCodec,
    *,
    every: int,
    crf: float,
) -> list[DrawnFrame]:
    """Send frames through a call and pair what the receiver drew with what it should have drawn.

    Args:
        images: uint8 [H, W, 3] RGB, square.
        times: their capture times, seconds, rising.
        model: watched, with all parts but the refiner.
        codec: its motion codec.
        every: frames from one anchor to the next, 1 to 8.
        crf: of the anchors, 1 to 70.

    Raises:
        ValueError: times do not rise, or a number is out of its range.
        RuntimeError: nothing was shown: no face.
    """
    refined = model.watch()
    call = run_anchor_call(images, times, model, codec, every=every, crf=crf)
    drawn = {id(one.shown): one for one in refined}
    found = []
    for number, (truth, shown, fresh) in enumerate(zip(images, call.shown, call.fresh, strict=True)):
        one = drawn.get(id(shown))
        # The first pictures still come from the first reference; a picture that is held is another frame's.
        if one is not None and fresh and number >= _SETTLING_FRAMES:
            found.append(DrawnFrame(one.earlier, one.later, truth, one.weight))
    return found
