"""Parameters and multiply-accumulates of each part, counted on the real graph."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from adasr_core.networks.config import ModelConfig
from adasr_core.networks.model import FaceCodecNetworks


@dataclass(frozen=True, slots=True)
class PartCost:
    """parameters: weights and biases. gmac: 1e9 multiply-accumulates of one run."""

    parameters: int
    gmac: float


@dataclass(frozen=True, slots=True)
class ModelCost:
    """Cost of each part for one 512x512 frame; encoder once per key frame, the others for every frame."""

    detector: PartCost
    encoder: PartCost
    motion: PartCost
    generator: PartCost

    @property
    def gmac_per_frame(self) -> float:
        """What a receiver runs for every frame: motion field and generator."""
        return self.motion.gmac + self.generator.gmac


def count(module: nn.Module, *inputs: Tensor) -> PartCost:
    """Cost of one run of `module` on `inputs` (meta tensors will do), by torch's own operator counter."""
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        module(*inputs)
    return PartCost(sum(p.numel() for p in module.parameters()), counter.get_total_flops() / 2e9)


def model_cost(config: ModelConfig) -> ModelCost:
    """Cost of every part of `config`, without allocating weights."""
    with torch.device("meta"):
        networks = FaceCodecNetworks(config).eval()
        size, k = config.frame_px, config.keypoints
        picture = torch.empty(1, 3, size, size)
        points, jacobians = torch.empty(1, k, 2), torch.empty(1, k, 2, 2)
        features = torch.empty(1, config.feature_channels, size // 8, size // 8)
        detail = torch.empty(1, config.detail_channels, size // 4, size // 4)
        context = torch.empty(1, config.context_channels, 64, 64)
        flow, occlusion = torch.empty(1, 2, 64, 64), torch.empty(1, 1, 64, 64)
        return ModelCost(
            detector=count(networks.detector, torch.empty(1, 3, config.detector_px, config.detector_px)),
            encoder=count(networks.encoder, picture),
            motion=count(networks.motion, context, points, jacobians, points, jacobians),
            generator=count(networks.generator, picture, features, detail, flow, occlusion),
        )
