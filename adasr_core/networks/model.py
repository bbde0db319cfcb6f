"""The four networks together, and their weights as safetensors."""

from __future__ import annotations

from typing import Any, Self

from torch import Tensor, nn

from adasr_core.networks.checkpointed import CheckpointedNetworks
from adasr_core.networks.config import ModelConfig
from adasr_core.networks.detector import DetectorOutput, KeypointDetector
from adasr_core.networks.encoder import KeyFrameEncoder
from adasr_core.networks.generator import Generator
from adasr_core.networks.motion import MotionField


class FaceCodecNetworks(CheckpointedNetworks):
    """Detector, encoder, motion field and generator of one configuration."""

    NOTE = "architecture"
    config: ModelConfig

    def __init__(self, config: ModelConfig) -> None:
        """Build all four with fresh weights."""
        super().__init__()
        self.config = config
        self.detector = KeypointDetector(config)
        self.encoder = KeyFrameEncoder(config)
        self.motion = MotionField(config)
        self.generator = Generator(config)

    def forward(self, reference: Tensor, driving: Tensor) -> Tensor:
        """Rebuild `driving` from `reference`, both [B, 3, 512, 512] in [0, 1]; no bitstream between."""
        size = (self.config.detector_px, self.config.detector_px)
        source: DetectorOutput = self.detector(nn.functional.interpolate(reference, size=size, mode="area"))
        target: DetectorOutput = self.detector(nn.functional.interpolate(driving, size=size, mode="area"))
        features, detail, context = self.encoder(reference)
        field = self.motion(context, source.keypoints, source.jacobians, target.keypoints, target.jacobians)
        frame: Tensor = self.generator(reference, features, detail, field.flow, field.occlusion)
        return frame

    @classmethod
    def from_plain(cls, values: dict[str, Any]) -> Self:
        """See `CheckpointedNetworks`."""
        return cls(ModelConfig.from_dict(values))
