"""How a clip is encoded."""

from dataclasses import dataclass

from adasr.reference_trial import MAX_EFFORT
from adasr_core.bitstream import MAX_MESSAGE_FRAMES, MAX_QUALITY, REFERENCE_SLOTS
from sender.tracker import CropMode


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodeOptions:
    """How a clip is encoded."""

    references: int = 4
    """Key frames at most, 1 to 16; 1 is the single key frame mode: the first frame, nothing else."""
    picture_quality: int = 60
    """AVIF quality of the key frames, 1 (small) to 100."""
    motion_quality: int = 2
    """Quantiser index of the motion, 0 (finest) to 15: finer than a call's, because the motion is fitted."""
    frames_per_message: int = 4
    """Frames coded together at most, 1 to 8."""
    crop: CropMode | None = None
    """The whole square, a crop that follows the face, or None: whole where the clip is framed already."""
    keep_audio: bool = True
    """Whether the sound goes along."""
    candidates: int = 32
    """Frames considered as key frames, spread over the clip."""
    targets: int = 40
    """Frames on which candidates are tried, spread over the clip."""
    candidates_per_target: int = 32
    """Candidates tried on each target, those that look most like it."""
    rebuilds_per_frame: int = 4
    """Key frames tried for a frame at most, those that look most like it."""
    effort: int = MAX_EFFORT
    """How a frame's motion is found: 0 detected, 1 corrected by what the rebuild shows, 2 fitted to it as well."""

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        bounds = {
            "references": (1, REFERENCE_SLOTS),
            "picture_quality": (1, 100),
            "motion_quality": (0, MAX_QUALITY),
            "frames_per_message": (1, MAX_MESSAGE_FRAMES),
            "candidates": (1, 1000),
            "targets": (1, 1000),
            "candidates_per_target": (1, 1000),
            "rebuilds_per_frame": (1, REFERENCE_SLOTS),
            "effort": (0, MAX_EFFORT),
        }
        for name, (lowest, highest) in bounds.items():
            value = getattr(self, name)
            if not lowest <= value <= highest:
                raise ValueError(f"{name}: got {value}, expected {lowest} to {highest}")
