"""The four networks together, and their weights as safetensors."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from adasr_core.networks.config import ModelConfig
from adasr_core.networks.detector import DetectorOutput, KeypointDetector
from adasr_core.networks.encoder import KeyFrameEncoder
from adasr_core.networks.generator import Generator
from adasr_core.networks.motion import MotionField


class FaceCodecNetworks(nn.Module):
    """Detector, encoder, motion field and generator of one configuration."""

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

    def save(self, path: Path, extra: dict[str, str] | None = None) -> None:
        """Write the weights with their configuration (and `extra` notes) as safetensors."""
        # Imported here: training in slices runs these networks where nothing but torch, numpy and OpenCV is installed.
        from safetensors.torch import save_file

        metadata = {"architecture": json.dumps(self.config.to_dict()), **(extra or {})}
        save_file({k: v.detach().contiguous().cpu() for k, v in self.state_dict().items()}, path, metadata)

    @classmethod
    def load(cls, path: Path, device: str = "cpu") -> tuple[FaceCodecNetworks, dict[str, str]]:
        """Rebuild from `save`: the networks and the notes. Raises ValueError when the file is not such a checkpoint."""
        from safetensors import safe_open

        with safe_open(path, framework="pt", device=device) as file:
            notes = dict(file.metadata() or {})
            if "architecture" not in notes:
                raise ValueError(
                    f"{path}: no 'architecture' in its metadata; expected a checkpoint of adasr's training"
                )
            networks = cls(ModelConfig.from_dict(json.loads(notes.pop("architecture"))))
            networks.load_state_dict({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118
        return networks.to(torch.device(device)), notes
