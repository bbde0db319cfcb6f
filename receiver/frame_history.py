"""The frames that were decoded lately: what later messages may be coded against, and what the sender is told of.

    decoded   ... 40 41 .  43 44          find_base(43) -> the coded frame
    feedback  newest 44, mask 1011...     42 is given up as lost when it has not come 200 ms after 43

Only frames as they were first sent count. A repeat is coded coarser than the frame that it repeats, so the sender could
not know which of the two a message that builds on it would meet here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adasr_core.bitstream import CodedFrame, MotionFeedback
from adasr_core.bitstream.feedback import MASK_FRAMES, MAX_HELD_MS
from receiver.timeline import Stamp

HISTORY_FRAMES = 64
"""So many frames back from the newest one are held: the farthest that a message can name."""

HISTORY_S = 15.0
"""Older ones are forgotten: longer than 64 frames take at 5 frames/s. A sender builds on nothing that it was not told
is here, so it cannot mean another frame by the same number."""

GIVEN_UP_AFTER_S = 0.2
"""A missing frame is lost when a newer one has been here for so long."""

_MOST_MISSING = 512


@dataclass(frozen=True, slots=True)
class _Held:
    stamp: Stamp
    frame: CodedFrame
    arrival: float


class FrameHistory:
    """Decoded frames of one sender, at most 64, by their sequence numbers."""

    def __init__(self) -> None:
        self._held: dict[int, _Held] = {}  # by sequence modulo 256
        self._newest: _Held | None = None
        self._missing: dict[int, float] = {}  # unwrapped sequence -> when a newer one came
        self._news = False
        self.lost = 0

    def __len__(self) -> int:
        return len(self._held)

    def restart(self) -> None:
        """The sender began anew: nothing of before can be built on. What is missing of it is lost."""
        self._held.clear()
        self.lost += len(self._missing)
        self._missing.clear()
        self._newest = None

    def add(self, frames: Sequence[tuple[Stamp, CodedFrame]], now: float) -> None:
        """Hold a message's frames, oldest first, without repeats, that arrived at `now` (seconds)."""
        self._news = True
        for stamp, frame in frames:
            self._note_missing(stamp.sequence, now)
            held = _Held(stamp, frame, now)
            if self._newest is None or stamp.sequence > self._newest.stamp.sequence:
                self._newest = held
            same = self._held.get(frame.sequence)
            if same is None or same.stamp != stamp:
                self._held[frame.sequence] = held
        self._forget(now)

    def find_base(self, sequence: int, now: float) -> CodedFrame | None:
        """The frame with this sequence number (0..255), if it is held."""
        held = self._held.get(sequence)
        return held.frame if held is not None and now - held.arrival <= HISTORY_S else None

    def base_was_missing(self) -> None:
        """A message could not be decoded: the sender should hear at once what is held."""
        self._news = True

    def feedback(self, now: float) -> MotionFeedback | None:
        """What the sender should know at `now`, or None when nothing happened since the last call."""
        self._forget(now)
        newest = self._newest
        if newest is None or not self._held or not self._news:
            return None
        self._news = False
        received = 0
        for held in self._held.values():
            behind = newest.stamp.sequence - held.stamp.sequence
            if 1 <= behind <= MASK_FRAMES:
                received |= 1 << behind - 1
        return MotionFeedback(
            sequence=newest.frame.sequence,
            received=received,
            time_ms=newest.frame.time_ms,
            transit_ms=(round(newest.arrival * 1000) - newest.frame.time_ms) & 0xFFFF,
            held_ms=min(max(round((now - newest.arrival) * 1000), 0), MAX_HELD_MS),
            lost=self.lost & 0xFFFF,
        )

    def _note_missing(self, sequence: int, now: float) -> None:
        """Between the newest frame and this one some are missing; or this one was."""
        self._missing.pop(sequence, None)
        if self._newest is None:
            return
        before = self._newest.stamp.sequence
        # A jump by more than a cycle is a sender that began anew, not loss.
        if 1 < sequence - before <= 0x100:
            self._missing.update(dict.fromkeys(range(before + 1, sequence), now))
        while len(self._missing) > _MOST_MISSING:
            self._missing.pop(next(iter(self._missing)))
            self.lost += 1

    def _forget(self, now: float) -> None:
        """Drop what is too old to be built on, and give up what is overdue."""
        newest = self._newest
        if newest is not None:
            self._held = {
                key: held
                for key, held in self._held.items()
                if newest.stamp.sequence - held.stamp.sequence < HISTORY_FRAMES and now - held.arrival <= HISTORY_S
            }
        overdue = [sequence for sequence, since in self._missing.items() if now - since > GIVEN_UP_AFTER_S]
        for sequence in overdue:
            del self._missing[sequence]
        self.lost += len(overdue)
