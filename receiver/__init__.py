"""From packets to frames: references, playout, concealment, rebuilding. No clock, socket or thread in here."""

from receiver.concealment import ConcealmentConfig
from receiver.due_frames import Origin
from receiver.playout_config import PlayoutConfig
from receiver.receiver import (
    MotionOutcome,
    Receiver,
    ReceiverConfig,
    ReceiverStatistics,
    ReferenceAcknowledgement,
    RenderedFrame,
)

__all__ = [
    "ConcealmentConfig",
    "MotionOutcome",
    "Origin",
    "PlayoutConfig",
    "Receiver",
    "ReceiverConfig",
    "ReceiverStatistics",
    "ReferenceAcknowledgement",
    "RenderedFrame",
]
