"""Motion field, generator and conversion to bytes as one torch module: what a GPU runs for every frame, in one launch.

    parameters [N,12K] --> both sets of keypoints and Jacobians --+
    context [N,Cc,64,64] -----------------------------------------+--> motion field, float32 --> flow, occlusion
    picture uint8 [N,S,S,3] --> warp, float32 ------------------------------+                         |
    features [N,Cf,S/8,S/8], detail [N,Cd,S/4,S/4] --> warp, then `dtype` --+--> paint, in `dtype` <--+
                                                                                   |
                                                                       uint8 [N,S,S,3]

Coordinates stay in float32: bfloat16 is a pixel or two of 512 wrong in one. Tensors of channels lie channels last,
as tensor cores want them, which the picture's bytes do anyway.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from adasr_core.networks import FaceCodecNetworks
from adasr_core.networks.generator import full_grid
from adasr_core.networks.layers import warp
from adasr_core.networks.refiner import Refiner


class FrameNetwork(nn.Module):
    """One frame of each of N streams, bytes out."""

    def __init__(self, networks: FaceCodecNetworks, dtype: torch.dtype) -> None:
        """Copy motion field and generator; the generator computes in `dtype`, float32 or bfloat16."""
        super().__init__()
        self.dtype = dtype
        self.motion = copy.deepcopy(networks.motion)
        self.generator = copy.deepcopy(networks.generator).to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, picture: Tensor, features: Tensor, detail: Tensor, context: Tensor, parameters: Tensor) -> Tensor:
        """Rebuild; see the module's diagram. `parameters` as `pack_parameters` lays them out, float32."""
        flow, occlusion = self.field(context, parameters)
        planes = picture.permute(0, 3, 1, 2).float() * (1 / 255)
        warped = warp(planes, full_grid(flow, planes.shape[-1]))
        frame = self.generator.paint(
            warped,
            warp(features.float(), full_grid(flow, features.shape[-1])).to(self.dtype),
            warp(detail.float(), full_grid(flow, detail.shape[-1])).to(self.dtype),
            occlusion.to(self.dtype),
        )
        return _to_bytes(frame)

    def field(self, context: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Flow [N, 2, 64, 64] and occlusion [N, 1, 64, 64], float32."""
        k = self.motion.keypoints
        points, jacobians = parameters[:, : 4 * k], parameters[:, 4 * k :]
        out = self.motion(
            context,
            points[:, : 2 * k].reshape(-1, k, 2),
            jacobians[:, : 4 * k].reshape(-1, k, 2, 2),
            points[:, 2 * k :].reshape(-1, k, 2),
            jacobians[:, 4 * k :].reshape(-1, k, 2, 2),
        )
        return out.flow, out.occlusion


class KeyFrameNetwork(nn.Module):
    """The encoder from the bytes of a picture: features, detail (both in `dtype`) and context (float32)."""

    def __init__(self, networks: FaceCodecNetworks, dtype: torch.dtype) -> None:
        """Copy the encoder; it computes in `dtype`."""
        super().__init__()
        self.dtype = dtype
        self.encoder = copy.deepcopy(networks.encoder).to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Uint8 [N, S, S, 3] -> features, detail, context."""
        planes = picture.permute(0, 3, 1, 2).to(self.dtype) * (1 / 255)
        features, detail, context = self.encoder(planes)
        return features, detail, context.float()


class DetectorNetwork(nn.Module):
    """The detector from the bytes of a picture: keypoints, Jacobians, confidence. Float32."""

    def __init__(self, networks: FaceCodecNetworks) -> None:
        """Copy the detector."""
        super().__init__()
        self.detector = copy.deepcopy(networks.detector)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Uint8 [N, D, D, 3] -> keypoints [N, K, 2], Jacobians [N, K, 2, 2], confidence [N, K]."""
        out = self.detector(image.permute(0, 3, 1, 2).float() * (1 / 255))
        return out.keypoints, out.jacobians, torch.sigmoid(out.confidence_logits)


class RefinerNetwork(nn.Module):
    """The refiner from bytes to bytes. The convolutions run in `dtype`; the last sum stays in float32."""

    def __init__(self, refiner: Refiner, dtype: torch.dtype) -> None:
        """Copy the refiner; it computes in `dtype`."""
        super().__init__()
        self.dtype = dtype
        self.refiner = copy.deepcopy(refiner).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, earlier: Tensor, later: Tensor, weight: Tensor) -> tuple[Tensor]:
        """Uint8 [N, S, S, 3] twice, float32 [N, 1, 1, 1] -> the frame, uint8 [N, S, S, 3]."""
        planes = [picture.permute(0, 3, 1, 2).float() * (1 / 255) for picture in (earlier, later)]
        with torch.autocast(earlier.device.type, self.dtype, enabled=self.dtype is not torch.float32):
            frame = self.refiner(*planes, weight)
        return (_to_bytes(frame),)


def _to_bytes(frame: Tensor) -> Tensor:
    """[N, 3, S, S] in [0, 1] -> uint8 [N, S, S, 3]."""
    levels = torch.clamp(frame.float(), 0.0, 1.0) * 255 + 0.5
    return levels.to(torch.uint8).permute(0, 2, 3, 1).contiguous()
