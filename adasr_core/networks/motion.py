"""Motion field: from two sets of keypoints and Jacobians to a dense backward flow and an occlusion map.

    keypoints, Jacobians of both frames --> K motions T_k(z) = p_ref + J_ref J_drv^-1 (z - p_drv), "still"
                                        --> analytic prior logits  -|z - p_drv|^2 / variance
    softmax(prior) --> prior flow --> context of the key frame, warped
    [prior masks, prior flow, context, warped context] --> U-Net --> logit residuals, flow residual, occlusion
    flow = sum_k softmax(prior + residual)_k T_k + flow residual

First-order motion: Siarohin et al. 2019, eq. 4; dense motion and occlusion: eq. 6 and 7 there. The residuals start
at zero, so an
untrained network already is the analytic prior. All runs at 64x64. The 2x2 inverse is written out (TensorRT has none).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from adasr_core.networks.config import ModelConfig
from adasr_core.networks.layers import ConvAct, coordinate_grid, upsample2, warp, zero_conv

FIELD_PX = 64
MIN_DETERMINANT = 0.05


class MotionFieldOutput(NamedTuple):
    """flow [B, 2, 64, 64]: where in the key frame a pixel comes from, minus where it is, in [-1, 1] units (x, y).

    occlusion [B, 1, 64, 64] in 0..1: 1 where the key frame shows what is needed. masks [B, K+1, 64, 64]: who moves a
    pixel, the last being "stands still".
    """

    flow: Tensor
    occlusion: Tensor
    masks: Tensor


def inverse_2x2(matrix: Tensor) -> Tensor:
    """Inverse of [..., 2, 2]; a determinant below MIN_DETERMINANT (a folded or vanishing face) is held there."""
    a, b, c, d = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 1, 0], matrix[..., 1, 1]
    determinant = torch.clamp(a * d - b * c, min=MIN_DETERMINANT)
    rows = torch.stack((torch.stack((d, -b), -1), torch.stack((-c, a), -1)), -2)
    return rows / determinant[..., None, None]


class MotionField(nn.Module):
    """Sparse motions, analytic prior and a U-Net that corrects it."""

    grid: Tensor

    def __init__(self, config: ModelConfig) -> None:
        """Build with the widths of `config`."""
        super().__init__()
        w64, w32, w16, w8 = config.motion_widths
        self.keypoints = config.keypoints
        # A free keypoint starts with a wide reach and hardly a voice: its logit starts below "stands still".
        bias = torch.zeros(config.keypoints + 1)
        bias[config.face_keypoints : -1] = config.prior_background_logit - 1.0
        bias[-1] = config.prior_background_logit
        self.prior_bias = nn.Parameter(bias)
        variance = torch.full((config.keypoints, 1), config.prior_variance)
        variance[config.face_keypoints :] = config.prior_free_variance
        self.prior_log_precision = nn.Parameter(-torch.log(variance))
        channels = config.keypoints + 1 + 2 + 2 * config.context_channels
        self.enter = ConvAct(channels, w64, size=1)
        self.same64 = ConvAct(w64, w64)
        self.down32 = nn.Sequential(ConvAct(w64, w32, stride=2), ConvAct(w32, w32))
        self.down16 = nn.Sequential(ConvAct(w32, w16, stride=2), ConvAct(w16, w16))
        self.down8 = nn.Sequential(ConvAct(w16, w8, stride=2), ConvAct(w8, w8))
        self.lateral16 = nn.Conv2d(w8, w16, 1)
        self.lateral32 = nn.Conv2d(w16, w32, 1)
        self.lateral64 = nn.Conv2d(w32, w64, 1)
        self.up16 = ConvAct(w16, w16)
        self.up32 = ConvAct(w32, w32)
        self.up64 = ConvAct(w64, w64)
        self.head = zero_conv(w64, config.keypoints + 1 + 2 + 1, size=1)
        assert self.head.bias is not None
        with torch.no_grad():
            self.head.bias[-1] = 3.0
        self.register_buffer("grid", coordinate_grid(FIELD_PX).reshape(1, 1, FIELD_PX * FIELD_PX, 2), persistent=False)

    def forward(
        self,
        context: Tensor,
        keypoints_reference: Tensor,
        jacobians_reference: Tensor,
        keypoints_driving: Tensor,
        jacobians_driving: Tensor,
    ) -> MotionFieldOutput:
        """Flow from the driving frame to the key frame.

        context [B, C, 64, 64] of the key frame; keypoints [B, K, 2]; Jacobians [B, K, 2, 2].
        """
        batch, count = context.shape[0], self.keypoints
        offset = self.grid - keypoints_driving.unsqueeze(2)
        # Products of 2x2 matrices are written out: autocast would run them in bfloat16, which is a pixel wrong.
        inverse = inverse_2x2(jacobians_driving)
        relative = (
            jacobians_reference[..., :1] * inverse[..., :1, :] + jacobians_reference[..., 1:] * inverse[..., 1:, :]
        )
        # T_k(z) - z, so that "stands still" is zero. [B, K, H*W, 2]
        turned = offset[..., :1] * relative[..., 0].unsqueeze(2) + offset[..., 1:] * relative[..., 1].unsqueeze(2)
        motions = turned + keypoints_reference.unsqueeze(2) - self.grid
        prior = -(offset**2).sum(-1) * torch.exp(self.prior_log_precision)
        prior = torch.cat((prior, torch.zeros_like(prior[:, :1])), dim=1) + self.prior_bias[:, None]
        masks = torch.softmax(prior, dim=1)
        # [B, 1, H*W, 2]: weighted sum over keypoints; "stands still" adds nothing.
        flow = (masks[:, :-1].unsqueeze(-1) * motions).sum(dim=1)
        moved = warp(context, (flow + self.grid[0]).reshape(batch, FIELD_PX, FIELD_PX, 2))
        x = torch.cat(
            (
                masks.reshape(batch, count + 1, FIELD_PX, FIELD_PX),
                flow.transpose(1, 2).reshape(batch, 2, FIELD_PX, FIELD_PX),
                context,
                moved,
            ),
            dim=1,
        )
        x64 = self.same64(self.enter(x))
        x32 = self.down32(x64)
        x16 = self.down16(x32)
        x8 = self.down8(x16)
        y16 = self.up16(x16 + upsample2(self.lateral16(x8)))
        y32 = self.up32(x32 + upsample2(self.lateral32(y16)))
        y64 = self.up64(x64 + upsample2(self.lateral64(y32)))
        out = self.head(y64).float()
        masks = torch.softmax(prior + out[:, : count + 1].flatten(2), dim=1)
        flow = (masks[:, :-1].unsqueeze(-1) * motions).sum(dim=1)
        field = flow.transpose(1, 2).reshape(batch, 2, FIELD_PX, FIELD_PX)
        return MotionFieldOutput(
            flow=field + 0.1 * out[:, count + 1 : count + 3],
            occlusion=torch.sigmoid(out[:, count + 3 :]),
            masks=masks.reshape(batch, count + 1, FIELD_PX, FIELD_PX),
        )
