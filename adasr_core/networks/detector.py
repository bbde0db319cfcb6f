"""Keypoint detector: where the face is and how it is deformed.

    image [B,3,256,256]
      | stem, 1/4         64x64   ------------------------------+
      | down              32x32   --------------------+         |
      | down              16x16   ----------+         |         |
      | down, 2 convs      8x8 -> up, add --+-> up, --+-> up, --+-> features [B,C,64,64]
      |                     |                                        |
      |             global mean [B,C8]                heat maps = softmax(conv 1x1) [B,K,64,64]
      v                                                              |
    keypoint = sum heat * grid ; pooled_k = sum heat * features ; Jacobian, confidence, depth = linear_k(pooled_k) +
    linear(global)

The Jacobian of the first-order motion model (Siarohin et al. 2019, eq. 4) is there a heat-weighted mean of Jacobian
maps; since
the weighted mean and the linear layer commute, features are pooled first, which is the same and far cheaper.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from adasr_core.networks.config import ModelConfig
from adasr_core.networks.layers import ConvNormAct, coordinate_grid, upsample2

# Where the free keypoints start to look: shoulders, sides of the neck, top of the hair, chest (x, y in [-1, 1]).
FREE_ANCHORS = ((-0.62, 0.82), (0.62, 0.82), (-0.3, 0.7), (0.3, 0.7), (0.0, -0.7), (0.0, 0.92))
FREE_ANCHOR_SPREAD = 0.3
# Numbers read for each keypoint: Jacobian (4), confidence logit, depth.
OUTPUTS = 6


class DetectorOutput(NamedTuple):
    """What the detector sees. Only the first three are exported.

    keypoints [B, K, 2] in [-1, 1]; jacobians [B, K, 2, 2]; confidence_logits [B, K]; depth [B, K] on x's scale, towards
    the camera negative; head_pose [B, 3] yaw, pitch, roll in radians.
    """

    keypoints: Tensor
    jacobians: Tensor
    confidence_logits: Tensor
    depth: Tensor
    head_pose: Tensor


class KeypointDetector(nn.Module):
    """U-Net with soft-argmax keypoints."""

    axis: Tensor
    anchors: Tensor

    def __init__(self, config: ModelConfig) -> None:
        """Build with the widths of `config`."""
        super().__init__()
        c4, c8, c16, c32 = config.detector_widths
        size = config.detector_px // 4
        self.keypoints = config.keypoints
        self.stem = nn.Sequential(ConvNormAct(3, 16, stride=2), ConvNormAct(16, c4, stride=2))
        self.down8 = nn.Sequential(ConvNormAct(c4, c8, stride=2), ConvNormAct(c8, c8))
        self.down16 = nn.Sequential(ConvNormAct(c8, c16, stride=2), ConvNormAct(c16, c16))
        self.down32 = nn.Sequential(ConvNormAct(c16, c32, stride=2), ConvNormAct(c32, c32), ConvNormAct(c32, c32))
        self.lateral16 = nn.Conv2d(c32, c16, 1)
        self.lateral8 = nn.Conv2d(c16, c8, 1)
        self.lateral4 = nn.Conv2d(c8, c4, 1)
        self.up16 = ConvNormAct(c16, c16)
        self.up8 = ConvNormAct(c8, c8)
        self.up4 = ConvNormAct(c4, c4)
        self.heat = nn.Conv2d(c4, config.keypoints, 1)
        self.local = nn.Parameter(torch.randn(config.keypoints, c4, OUTPUTS) * 0.01)
        self.overall = nn.Linear(c32, config.keypoints * OUTPUTS)
        self.pose = nn.Linear(c32, 3)
        nn.init.zeros_(self.overall.weight)
        nn.init.zeros_(self.overall.bias)
        with torch.no_grad():
            self.overall.bias.view(config.keypoints, OUTPUTS)[:, 0] = 1.0
            self.overall.bias.view(config.keypoints, OUTPUTS)[:, 3] = 1.0
        grid = coordinate_grid(size)
        anchors = torch.zeros(config.keypoints, size, size)
        for k in range(config.face_keypoints, config.keypoints):
            centre = torch.tensor(FREE_ANCHORS[(k - config.face_keypoints) % len(FREE_ANCHORS)])
            anchors[k] = -((grid - centre) ** 2).sum(-1) / (2 * FREE_ANCHOR_SPREAD**2)
        self.register_buffer("axis", grid[0, :, 0], persistent=False)
        self.register_buffer("anchors", anchors.reshape(1, config.keypoints, size * size), persistent=False)

    def forward(self, image: Tensor) -> DetectorOutput:
        """Detect in `image` [B, 3, 256, 256], RGB in [0, 1]."""
        x4 = self.stem(image - 0.5)
        x8 = self.down8(x4)
        x16 = self.down16(x8)
        x32 = self.down32(x16)
        y16 = self.up16(x16 + upsample2(self.lateral16(x32)))
        y8 = self.up8(x8 + upsample2(self.lateral8(y16)))
        y4 = self.up4(x4 + upsample2(self.lateral4(y8)))
        heat_logits = self.heat(y4).flatten(2).float() + self.anchors
        heat = torch.softmax(heat_logits, dim=-1)
        maps = heat.reshape(-1, self.keypoints, x4.shape[2], x4.shape[3])
        # Sums, not a matrix product: autocast would run that in bfloat16, which is a pixel wrong.
        x = (maps.sum(dim=2) * self.axis).sum(dim=-1)
        y = (maps.sum(dim=3) * self.axis).sum(dim=-1)
        pooled = torch.matmul(heat, y4.flatten(2).float().transpose(1, 2))
        summary = x32.float().mean(dim=(2, 3))
        values = torch.matmul(pooled.unsqueeze(2), self.local).squeeze(2)
        values = values + self.overall(summary).reshape(-1, self.keypoints, OUTPUTS)
        return DetectorOutput(
            keypoints=torch.stack((x, y), dim=-1),
            jacobians=values[..., :4].reshape(-1, self.keypoints, 2, 2),
            confidence_logits=values[..., 4],
            depth=values[..., 5],
            head_pose=self.pose(summary),
        )
