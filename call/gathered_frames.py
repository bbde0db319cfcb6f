"""Which captured frames a motion message takes along.

A sender gathers up to four frames before a message leaves, so what is known of a frame when it is captured has to wait
until its message does.

    coded  40 41 42 43      message of the newest sequence 41, the one before ended at 39 -> 40, 41
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from adasr_core.bitstream import MotionMessage


@dataclass(frozen=True, slots=True, eq=False)
class GatheredFrame:
    """A coded frame. time_s: of its capture, monotonic seconds. picture: uint8 [S, S, 3], when it is to be kept."""

    time_s: float
    picture: npt.NDArray[np.uint8] | None


class GatheredFrames:
    """Frames that were coded and whose message has not left."""

    def __init__(self) -> None:
        self._waiting: deque[GatheredFrame] = deque()
        self._sequence = 0xFF

    def __len__(self) -> int:
        """Frames waiting."""
        return len(self._waiting)

    def add(self, frame: GatheredFrame) -> None:
        """A frame was coded; it leaves with this or a later message."""
        self._waiting.append(frame)

    def take(self, message: MotionMessage) -> list[GatheredFrame]:
        """The new frames of a message that leaves, oldest first; repeats are not among them."""
        count = (message.sequence - self._sequence) & 0xFF
        self._sequence = message.sequence
        assert 1 <= count <= len(self._waiting), "a sender's messages hold the frames that it said it coded, in order"
        return [self._waiting.popleft() for _ in range(count)]
