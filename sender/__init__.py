"""From camera frames to packets: face tracker, reference policy, closed loop. No clock, socket or thread in here."""

from sender.rate_plan import DEFAULT_MOTION_QUALITY, RatePlan
from sender.reference_pictures import PictureCoding, PictureConfig
from sender.reference_policy import ReferencePolicyConfig, ReferenceReason
from sender.sender import Sender, SenderConfig
from sender.sender_output import SenderOutput, SenderStatistics
from sender.sent_references import BankConfig
from sender.tracker import CropMode, FaceTracker, TrackedFace, TrackerConfig

__all__ = [
    "DEFAULT_MOTION_QUALITY",
    "BankConfig",
    "CropMode",
    "FaceTracker",
    "PictureCoding",
    "PictureConfig",
    "RatePlan",
    "ReferencePolicyConfig",
    "ReferenceReason",
    "Sender",
    "SenderConfig",
    "SenderOutput",
    "SenderStatistics",
    "TrackedFace",
    "TrackerConfig",
]
