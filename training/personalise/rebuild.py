"""The decoder in torch: whole frames, or patches of them, from one key frame."""

from __future__ import annotations

import torch
from torch import Tensor

from adasr_core.networks import FaceCodecNetworks, MotionFieldOutput
from adasr_core.networks.generator import full_grid
from adasr_core.networks.layers import warp
from training.personalise.samples import Parameters, Sample


def estimate_field(
    networks: FaceCodecNetworks, context: Tensor, reference: Parameters, driving: Parameters
) -> MotionFieldOutput:
    """Motion field of a batch of frames against one key frame; context [1, C, 64, 64]."""
    count = len(driving.keypoints)
    at = reference.expand(count)
    field: MotionFieldOutput = networks.motion(
        context.float().expand(count, -1, -1, -1), at.keypoints, at.jacobians, driving.keypoints, driving.jacobians
    )
    return field


def cut(grid: Tensor, origins: list[tuple[int, int]], patch_px: int, shrink: int) -> Tensor:
    """Cut each sample's patch from [B, H, W, C] at 1/`shrink` of the frame."""
    n = patch_px // shrink
    return torch.stack(
        [
            g[y // shrink : y // shrink + n, x // shrink : x // shrink + n]
            for g, (x, y) in zip(grid, origins, strict=True)
        ]
    )


def rebuild_patches(
    networks: FaceCodecNetworks, sample: Sample, origins: list[tuple[int, int]], patch_px: int
) -> Tensor:
    """One patch of each frame of the sample: [B, 3, patch_px, patch_px], gradients through all three networks."""
    count, frame_px = len(origins), sample.picture.shape[-1]
    features, detail, context = networks.encoder(sample.picture)
    field = estimate_field(networks, context, sample.reference, sample.driving)
    flow, occlusion = field.flow.float(), field.occlusion.float()
    grids = {s: cut(full_grid(flow, frame_px // s), origins, patch_px, s) for s in (1, 4, 8)}
    seen = cut(occlusion.permute(0, 2, 3, 1), origins, patch_px, 8).permute(0, 3, 1, 2)
    picture, moved_features, moved_detail = (
        warp(x.float().expand(count, -1, -1, -1), grids[s])
        for x, s in ((sample.picture, 1), (features, 8), (detail, 4))
    )
    frame: Tensor = networks.generator.paint(picture, moved_features, moved_detail, seen)
    return frame


@torch.no_grad()
def rebuild_frames(networks: FaceCodecNetworks, sample: Sample) -> Tensor:
    """The whole frames of a sample: [B, 3, S, S] in [0, 1]."""
    features, detail, context = networks.encoder(sample.picture)
    frames = []
    for n in range(len(sample.truth)):
        one = Parameters(sample.driving.keypoints[n : n + 1], sample.driving.jacobians[n : n + 1])
        field = estimate_field(networks, context, sample.reference, one)
        made = networks.generator(sample.picture, features.float(), detail.float(), field.flow, field.occlusion)
        frames.append(made.float().clamp(0, 1))
    return torch.cat(frames)
