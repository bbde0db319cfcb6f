"""Networks to start a stage from: fresh, of a checkpoint, or put together from several."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from adasr_core.networks import PRESETS, FaceCodecNetworks
from training.widen import widen


@dataclass(frozen=True, kw_only=True, slots=True)
class StartConfig:
    """Where the weights of a stage come from."""

    model: str = "edge"
    """Preset of fresh networks; a checkpoint given as `resume` brings its own architecture."""
    resume: Path | None = None
    """Checkpoint with all weights."""
    start_from: Path | None = None
    """Checkpoint of a smaller model: fresh networks of `model` that compute what it computes (`training.widen`)."""
    detector: Path | None = None
    """Checkpoint whose detector is taken over, so that the bitstream is that model's."""
    painter: Path | None = None
    """Checkpoint whose encoder and generator are taken over; not its context encoder, the motion field's part."""
    seed: int = 0
    """Seed of fresh weights."""

    def __post_init__(self) -> None:
        """Raises ValueError for an unknown preset or two starting points."""
        if self.model not in PRESETS:
            raise ValueError(f"model: got {self.model!r}, expected one of {tuple(PRESETS)}")
        if self.resume is not None and self.start_from is not None:
            raise ValueError(
                "resume and start-from: got both, expected one; resume keeps the checkpoint's architecture"
            )


def start_networks(config: StartConfig) -> FaceCodecNetworks:
    """Build the networks that `config` describes.

    Raises:
        ValueError: a file is no checkpoint, or its parts do not fit.
        OSError: a file cannot be read.
    """
    torch.manual_seed(config.seed)
    if config.resume is not None:
        networks = FaceCodecNetworks.load(config.resume)[0]
    elif config.start_from is not None:
        networks = widen(FaceCodecNetworks.load(config.start_from)[0], PRESETS[config.model])
    else:
        networks = FaceCodecNetworks(PRESETS[config.model])
    if config.detector is not None:
        take_detector(networks, FaceCodecNetworks.load(config.detector)[0])
    if config.painter is not None:
        take_painter(networks, FaceCodecNetworks.load(config.painter)[0])
    return networks


def take_detector(networks: FaceCodecNetworks, other: FaceCodecNetworks) -> None:
    """Take over another model's detector. Raises ValueError when it is of another kind."""
    fields = ("keypoints", "face_keypoints", "detector_px", "detector_widths")
    for name in fields:
        mine, theirs = getattr(networks.config, name), getattr(other.config, name)
        if mine != theirs:
            raise ValueError(f"detector: its {name} is {theirs}, expected {mine}; both must share one bitstream")
    networks.detector.load_state_dict(other.detector.state_dict())


def take_painter(networks: FaceCodecNetworks, other: FaceCodecNetworks) -> None:
    """Take over another checkpoint's encoder and generator; the context encoder stays.

    Raises:
        ValueError: it has another architecture.
    """
    if networks.config != other.config:
        raise ValueError(f"painter: got a checkpoint of {other.config.name}, expected {networks.config.name}")
    networks.generator.load_state_dict(other.generator.state_dict())
    context = {f"context.{k}": v for k, v in networks.encoder.context.state_dict().items()}
    networks.encoder.load_state_dict(other.encoder.state_dict() | context)
