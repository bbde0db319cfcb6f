"""From packets to frames: reference bank, playout, rebuilding. No clock, socket or thread in here."""

from receiver.playout import PlayoutConfig
from receiver.receiver import (
    MotionOutcome,
    Receiver,
    ReceiverConfig,
    ReceiverStatistics,
    ReferenceAcknowledgement,
    RenderedFrame,
)

__all__ = [
    "MotionOutcome",
    "PlayoutConfig",
    "Receiver",
    "ReceiverConfig",
    "ReceiverStatistics",
    "ReferenceAcknowledgement",
    "RenderedFrame",
]
