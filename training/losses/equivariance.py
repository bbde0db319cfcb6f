"""Equivariance: a bent picture must show bent keypoints, by exactly as much.

T is a backward map (`thin_plate_spline`): the second picture is I'(z) = I(T(z)), so a keypoint p' of I' shows what
T(p') shows in I. Shapes: B batch, K keypoints.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.losses.keypoint import weighted_mean
from training.losses.thin_plate_spline import ThinPlateSpline

LEAST_DETERMINANT = 0.05
"""A Jacobian's determinant is held here when it is inverted, as the motion field does."""


class EquivarianceLoss(nn.Module):
    """Keypoints: L = mean_bk |p_bk - T_b(p'_bk)|_1, |.|_1 the sum over x and y.

    Source: FOMM (Siarohin et al. 2019) eq. 9 and 11, in face-vid2vid and AdaSR (section 2.4) alike.
    """

    def forward(
        self, transform: ThinPlateSpline, keypoints: Tensor, transformed: Tensor, weight: Tensor | None = None
    ) -> Tensor:
        """Keypoints of I and of I' [B, K, 2], weight [B, K] or None for all alike -> scalar."""
        error = (keypoints - transform(transformed)).abs().sum(-1)
        return error.mean() if weight is None else weighted_mean(error, weight)


class JacobianEquivarianceLoss(nn.Module):
    """Jacobians: L = mean_bk |1 - J_bk^-1 T_b'(p'_bk) J'_bk|_1, |.|_1 the sum of the four entries.

    T' is taken at where p' is, without gradient to p'. Source: FOMM eq. 10 and 12.
    """

    def forward(
        self,
        transform: ThinPlateSpline,
        jacobians: Tensor,
        transformed_keypoints: Tensor,
        transformed_jacobians: Tensor,
        weight: Tensor | None = None,
    ) -> Tensor:
        """J of I and J' of I' [B, K, 2, 2], p' [B, K, 2], weight [B, K] or None -> scalar."""
        bent = _product(transform.jacobian(transformed_keypoints.detach()), transformed_jacobians)
        identity = torch.eye(2, device=jacobians.device, dtype=jacobians.dtype)
        error = (identity - _product(_inverse(jacobians), bent)).abs().sum((-1, -2))
        return error.mean() if weight is None else weighted_mean(error, weight)


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Product of 2x2 matrices, written out: autocast would run it in bfloat16."""
    return a[..., :1] * b[..., :1, :] + a[..., 1:] * b[..., 1:, :]


def _inverse(matrix: Tensor) -> Tensor:
    a, b, c, d = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 1, 0], matrix[..., 1, 1]
    determinant = (a * d - b * c).clamp(min=LEAST_DETERMINANT)
    rows = torch.stack((torch.stack((d, -b), -1), torch.stack((-c, a), -1)), -2)
    return rows / determinant[..., None, None]
