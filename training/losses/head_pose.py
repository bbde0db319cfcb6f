"""Head pose: L1 on the angles, or on the rotation itself.

Angles are yaw, pitch and roll in radians, read as Rz(roll) Ry(yaw) Rx(pitch) with x right, y down and z away from the
camera, as `training.teacher.Teacher.head_pose` measures them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class HeadPoseLoss(nn.Module):
    """L1 of the angles, summed over the three, mean over the batch: L = (1/B) sum_b f_b |angles_b - angles*_b|_1.

    Source: AdaSR (arXiv 2403.15944) section 2.4; face-vid2vid (arXiv 2011.15126) appendix A.3, head pose loss. A
    picture without a face (f = 0) counts in the mean with 0.
    """

    def forward(self, found: Tensor, truth: Tensor, face: Tensor | None = None) -> Tensor:
        """found, truth [B, 3] radians; face [B] bool or 0..1, None for all -> scalar."""
        error = (found - truth).abs().sum(-1)
        return error.mean() if face is None else (error * face).mean()


class RotationLoss(nn.Module):
    """L1 of the nine entries of the rotations, mean over the batch: L = (1/B) sum_b f_b |R_b - R*_b|_1.

    For heads that turn far: angles jump by 2 pi where a roll passes pi and lose meaning at 90 degrees of yaw, rotations
    do neither. For a small turn by t about one axis, |R - R*|_1 is 4 |sin(t / 2)| (|sin(t/2)| + |cos(t/2)|), about 2 t.
    """

    def forward(self, found: Tensor, truth: Tensor, face: Tensor | None = None) -> Tensor:
        """found, truth [B, 3] radians (angles); face [B], None for all -> scalar."""
        error = (rotation_matrix(found) - rotation_matrix(truth)).abs().sum((-1, -2))
        return error.mean() if face is None else (error * face).mean()


def rotation_matrix(angles: Tensor) -> Tensor:
    """Rz(roll) Ry(yaw) Rx(pitch) of angles [..., 3] (yaw, pitch, roll): [..., 3, 3].

    The product is written out: autocast would run a matrix product in bfloat16.
    """
    (cy, cp, cr), (sy, sp, sr) = angles.cos().unbind(-1), angles.sin().unbind(-1)
    rows = (
        torch.stack((cr * cy, cr * sy * sp - sr * cp, cr * sy * cp + sr * sp), -1),
        torch.stack((sr * cy, sr * sy * sp + cr * cp, sr * sy * cp - cr * sp), -1),
        torch.stack((-sy, cy * sp, cy * cp), -1),
    )
    return torch.stack(rows, -2)
