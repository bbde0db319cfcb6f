"""Keypoints in the head's own frame: what is left when turn, size and place are taken out.

    x_k = s R (c_k + delta_k) + t        x: keypoint with depth, c: neutral face, delta: deformation

The similarity (s, R, t) is the one that fits best (Umeyama 1991), so that delta holds what no head movement explains:
expression, and how this person differs from the neutral face. Shapes: B batch, K keypoints, coordinates of `keypoint`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from training.teacher import Teacher

LEAST_SCALE = 0.1
"""Faces below a tenth of the neutral face are measured as if they had that size: an untrained detector sees a point."""
RIDGE = 1e-6
"""Added to a sum of two singular values (about 0.1 for a face) before it divides."""
LEAST_VISIBLE = 4
"""A fit needs this many visible keypoints; with fewer the picture teaches nothing about deformation."""


@dataclass(frozen=True, slots=True, eq=False)
class HeadFrame:
    """A similarity for each picture: rotation [B, 3, 3], scale [B], translation [B, 3]."""

    rotation: Tensor
    scale: Tensor
    translation: Tensor

    def deformation(self, points: Tensor, neutral: Tensor) -> Tensor:
        """Delta [B, K, 3] of points [B, K, 3] against the neutral face [K, 3] or [B, K, 3]."""
        away = (points - self.translation[:, None]) / self.scale[:, None, None]
        # R^T x, written out as a sum: autocast would run a matrix product in bfloat16.
        return (away[..., :, None] * self.rotation[:, None]).sum(-2) - neutral


def neutral_keypoints(teacher: Teacher) -> Tensor:
    """Keypoints with depth of the mean face at head pose zero: float32 [K, 3], centred as the mean shape is."""
    return torch.from_numpy(teacher.keypoint_weights @ teacher.mean_shape)


def with_depth(keypoints: Tensor, depth: Tensor) -> Tensor:
    """[B, K, 2] and [B, K] -> [B, K, 3], float32."""
    return torch.cat((keypoints, depth.unsqueeze(-1)), dim=-1).float()


def fit_head_frame(points: Tensor, neutral: Tensor, weight: Tensor) -> HeadFrame:
    """The similarity that takes the neutral face closest to the points, by weighted least squares.

        R = argmax tr(R^T M), M = sum_k w_k x'_k c'_k^T;  s = tr(R^T M) / sum_k w_k |c'_k|^2;  t = mean x - s R mean c

    Differentiable in `points` without the unstable gradient of a singular value decomposition (it divides by
    differences of singular values, and a face is about as wide as it is high): R is found without gradient and one
    Newton step on the rotation, zero in value, carries the exact derivative; that divides by sums of singular values.

    Args:
        points: [B, K, 3].
        neutral: [K, 3] or [B, K, 3].
        weight: [B, K], 0 or more. A picture with fewer than `LEAST_VISIBLE` above 0 gives the neutral face's own frame
            and no gradient.
    """
    usable = (weight > 0).sum(-1) >= LEAST_VISIBLE
    neutral = neutral.expand_as(points)
    points = torch.where(usable[:, None, None], points, neutral)
    weight = torch.where(usable[:, None], weight, torch.ones_like(weight))
    share = (weight / weight.sum(-1, keepdim=True)).unsqueeze(-1)
    middle, neutral_middle = (points * share).sum(1), (neutral * share).sum(1)
    away, shape = points - middle[:, None], neutral - neutral_middle[:, None]
    moment = (share[..., None] * away[..., :, None] * shape[..., None, :]).sum(1)
    with torch.no_grad():
        left, _, right = torch.linalg.svd(moment.double())
        flip = torch.ones_like(left[:, 0])
        flip[:, 2] = torch.linalg.det(left @ right).sign()
        rotation = ((left * flip[:, None]) @ right).to(points.dtype)
    turned = (rotation[..., :, :, None] * moment[..., :, None, :]).sum(1)
    rotation = rotation + (rotation[..., :, :, None] * _newton_step(turned)[:, None]).sum(2)
    spread = (share * shape**2).sum((1, 2))
    scale = ((rotation * moment).sum((1, 2)) / spread).clamp(min=LEAST_SCALE)
    moved = (rotation * neutral_middle[:, None]).sum(-1)
    return HeadFrame(rotation, scale, middle - scale[:, None] * moved)


def _newton_step(turned: Tensor) -> Tensor:
    """[omega]x with [omega]x S + S [omega]x = A - A^T for A [B, 3, 3], S its symmetric part; zero where A = A^T.

    In terms of axial vectors: (tr(S) I - S) omega = axial(A - A^T).
    """
    skew = turned - turned.transpose(-1, -2)
    axial = torch.stack((skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]), -1)
    symmetric = ((turned + turned.transpose(-1, -2)) / 2).detach()
    identity = torch.eye(3, device=turned.device, dtype=turned.dtype)
    trace = symmetric.diagonal(dim1=-2, dim2=-1).sum(-1)[:, None, None]
    # A flat or vanished face has no turn about some axis; RIDGE keeps its gradient finite.
    system = trace * identity - symmetric + RIDGE * identity
    x, y, z = torch.linalg.solve(system, axial).unbind(-1)
    zero = torch.zeros_like(x)
    rows = (torch.stack((zero, -z, y), -1), torch.stack((z, zero, -x), -1), torch.stack((-y, x, zero), -1))
    return torch.stack(rows, -2)
