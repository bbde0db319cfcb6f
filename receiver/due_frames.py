"""Frames on their way through the playout: as they come in, as they are known, as they are due."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from receiver.timeline import Stamp

Payload = TypeVar("Payload")


class Arrival(Enum):
    """What became of a frame."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REPEAT = "repeat of a frame that is here"
    LATE = "late"


class Origin(Enum):
    """Where a frame to show comes from."""

    SENT = "sent"
    INTERPOLATED = "interpolated"
    EXTRAPOLATED = "extrapolated"


@dataclass(frozen=True, slots=True)
class Incoming(Generic[Payload]):
    """A decoded frame of a message.

    sequence: 0..255. time_ms: 0..65535. repeat: it was sent before, this is a coarser copy in case that one got lost.
    """

    sequence: int
    time_ms: int
    payload: Payload
    repeat: bool = False


@dataclass(frozen=True, slots=True)
class Known(Generic[Payload]):
    """A frame that came. arrival: seconds."""

    stamp: Stamp
    payload: Payload
    arrival: float
    repeat: bool


@dataclass(frozen=True, slots=True)
class DueFrame(Generic[Payload]):
    """A frame to show, and what is known around it.

    capture_ms: unwrapped capture time of what is shown. earlier: the last frames at or before it that are known, up to
    4, newest last; when `origin` is SENT, the newest is the frame itself. later: the first known one after it; None
    when none is there or none is needed. missed: frames before this one should have been shown and were not there.
    buffered_ms: since the newest frame that it needs arrived.
    """

    capture_ms: int
    origin: Origin
    earlier: tuple[Known[Payload], ...]
    later: Known[Payload] | None
    missed: bool
    buffered_ms: float
