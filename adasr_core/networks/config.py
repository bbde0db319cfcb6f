"""Sizes of the networks: one architecture, two presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

_BESIDE_SIZES = ("cost", "precision", "refiner")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """Widths and depths of the four networks. The detector's must agree wherever a bitstream is shared."""

    name: str
    """Preset this configuration started from."""
    keypoints: int = 40
    """K: keypoints a frame. The first `face_keypoints` follow face landmarks, the rest are free (shoulders, hair)."""
    face_keypoints: int = 34
    """Keypoints distilled from landmarks."""
    frame_px: int = 512
    """Side of the key frame and of the rebuilt frame, pixels; a multiple of 64."""
    detector_px: int = 256
    """Side of the detector's input, pixels."""
    detector_widths: tuple[int, int, int, int] = (28, 56, 96, 128)
    """Channels of the detector's U-Net at 1/4, 1/8, 1/16 and 1/32 of its input."""
    prior_variance: float = 0.01
    """Kernel of the analytic prior: logit of face keypoint k at z starts as -|z - p_k|^2 / prior_variance."""
    prior_free_variance: float = 0.08
    """The same for free keypoints."""
    prior_background_logit: float = -10.0
    """Logit of "stands still" in the analytic prior."""
    context_channels: int = 16
    """Channels of the key frame's context that the motion field reads, at 64x64."""
    motion_widths: tuple[int, int, int, int] = (32, 48, 64, 96)
    """Channels of the motion field's U-Net at 64, 32, 16 and 8 pixels."""
    feature_channels: int = 48
    """Channels of the encoder's features at 1/8 of the frame."""
    detail_channels: int = 16
    """Channels of the encoder's features at 1/4 of the frame; the first three are the picture itself."""
    encoder_blocks: int = 2
    """Residual blocks of the encoder at 1/8."""
    generator_blocks: int = 2
    """SPADE residual blocks of the generator at 1/8."""
    generator_detail_width: int = 24
    """Channels of the generator at 1/4."""
    generator_detail_blocks: int = 0
    """SPADE residual blocks of the generator at 1/4."""

    def __post_init__(self) -> None:
        """Raise ValueError for sizes that the networks cannot have."""
        if not 0 < self.face_keypoints <= self.keypoints:
            raise ValueError(f"face_keypoints: got {self.face_keypoints}, expected 1 to keypoints ({self.keypoints})")
        for name in ("frame_px", "detector_px"):
            if getattr(self, name) % 64:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected a multiple of 64")
        if self.detail_channels < 4:
            raise ValueError(f"detail_channels: got {self.detail_channels}, expected at least 4")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelConfig:
        """Rebuild from `to_dict`. Raises ValueError for an unknown key."""
        unknown = set(values) - {f.name for f in fields(cls)}
        if unknown:
            raise ValueError(f"architecture: unknown keys {sorted(unknown)}; this model needs a newer adasr")
        typed: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**typed)

    @classmethod
    def of_architecture(cls, architecture: Mapping[str, Any]) -> ModelConfig:
        """From a manifest's architecture field, which says more than these sizes. Raises ValueError as `from_dict`."""
        return cls.from_dict({key: value for key, value in architecture.items() if key not in _BESIDE_SIZES})


PRESETS: dict[str, ModelConfig] = {
    "edge": ModelConfig(name="edge"),
    "base": ModelConfig(
        name="base",
        context_channels=32,
        motion_widths=(64, 96, 128, 192),
        feature_channels=128,
        detail_channels=32,
        encoder_blocks=4,
        generator_blocks=4,
        generator_detail_width=64,
        generator_detail_blocks=1,
    ),
}
