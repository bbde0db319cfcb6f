"""From camera frames to packets: face tracker, reference policy, closed loop. No clock, socket or thread in here."""

from sender.reference_policy import ReferencePolicyConfig, ReferenceReason
from sender.sender import Sender, SenderConfig, SenderOutput, SenderStatistics
from sender.sent_references import BankConfig
from sender.tracker import CropMode, FaceTracker, TrackedFace, TrackerConfig

__all__ = [
    "BankConfig",
    "CropMode",
    "FaceTracker",
    "ReferencePolicyConfig",
    "ReferenceReason",
    "Sender",
    "SenderConfig",
    "SenderOutput",
    "SenderStatistics",
    "TrackedFace",
    "TrackerConfig",
]
