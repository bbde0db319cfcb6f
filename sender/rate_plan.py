"""What the line affords, said to the sender: the rate control's answer, the sender's order."""

from __future__ import annotations

import math
from dataclasses import dataclass

from adasr_core.bitstream.motion_message import MAX_MESSAGE_FRAMES
from adasr_core.bitstream.packets import DEFAULT_QUALITY, MAX_QUALITY

MAX_ANCHOR_FRAMES = 64
DEFAULT_MOTION_QUALITY = DEFAULT_QUALITY
"""Quantiser index at which the shipped model's motion is meant to be sent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RatePlan:
    """How much of everything goes out from now on."""

    frames_per_message: int = 1
    """Frames that share one datagram, 1 to 8: every further one saves headers and waits one frame longer."""
    motion_quality: int = DEFAULT_MOTION_QUALITY
    """Quantiser of the motion parameters, 0 (finest) to 15."""
    redundant: bool = False
    """Each message repeats, coarser, the newest frames of the one before: for lossy lines."""
    reference_bps: float = 4000.0
    """Mean rate of references or anchors, bits a second, packet bytes without transport headers; 0 sends only what
    cannot wait."""
    anchor_frames: int = 0
    """An anchor every so many coded frames, 1 to 64, at the end of a message; references then go out only where the
    receiver needs one. 0: no anchors, references as they pay."""
    anchor_crf: float | None = None
    """Quality of anchors, 1 (best) to 70; None finds the one that the rate pays for."""
    frame_interval_s: float = 0.0
    """Least time between two frames that are coded, seconds; 0 codes every frame. Its caller skips the others."""

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        if not 1 <= self.frames_per_message <= MAX_MESSAGE_FRAMES:
            raise ValueError(f"frames_per_message: got {self.frames_per_message}, expected 1..{MAX_MESSAGE_FRAMES}")
        if not 0 <= self.motion_quality <= MAX_QUALITY:
            raise ValueError(f"motion_quality: got {self.motion_quality}, expected 0..{MAX_QUALITY}")
        if not 0 <= self.anchor_frames <= MAX_ANCHOR_FRAMES:
            raise ValueError(f"anchor_frames: got {self.anchor_frames}, expected 0..{MAX_ANCHOR_FRAMES}")
        if self.anchor_crf is not None and not 1 <= self.anchor_crf <= 70:
            raise ValueError(f"anchor_crf: got {self.anchor_crf}, expected 1..70 or None")
        for name in ("reference_bps", "frame_interval_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name}: got {value}, expected a finite number, 0 or more")
