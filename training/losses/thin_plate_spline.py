"""Random smooth transforms of the picture plane with exact Jacobians, for the equivariance losses.

    T(z) = A z + b + sum_n w_n U(|z - c_n|^2),   U(q) = q log(q + e)

c_n is a fixed lattice of control points; A, b and w interpolate given displacements of them (Bookstein 1989). T is
a backward map: the transformed picture is I'(z) = I(T(z)). Coordinates are (x, y) in [-1, 1], align_corners=False.

Source: FOMM (Siarohin et al. 2019) section 3.1 and appendix; there the weights are drawn, here the displacements, whose
size has a meaning.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

SOFTENING = 1e-6
"""e in U: keeps the logarithm finite at a control point."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TransformConfig:
    """How far random transforms go."""

    affine: float = 0.05
    """Standard deviation of each entry of A - I and of b."""
    displacement: float = 0.03
    """Standard deviation of the control points' displacement, in [-1, 1] units, on top of the affine part."""
    points: int = 5
    """Control points along each side of the lattice, 2 or more."""

    def __post_init__(self) -> None:
        """Raises ValueError when a deviation is negative or the lattice is too small."""
        for name in ("affine", "displacement"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected 0 or more")
        if self.points < 2:
            raise ValueError(f"points: got {self.points}, expected 2 or more")


@dataclass(frozen=True, slots=True, eq=False)
class ThinPlateSpline:
    """A batch of transforms: affine [B, 2, 3], centres [N, 2], weights [B, N, 2]."""

    affine: Tensor
    centres: Tensor
    weights: Tensor

    @classmethod
    def through(cls, centres: Tensor, targets: Tensor) -> ThinPlateSpline:
        """The spline that takes centres [N, 2] exactly to targets [B, N, 2]; solved in float64, kept in float32.

        Raises:
            RuntimeError: the centres lie on one line or coincide (torch's linear solver says so).
        """
        source = centres.double()
        count = len(source)
        kernel = _kernel(((source[:, None] - source[None]) ** 2).sum(-1))
        plane = torch.cat((source.new_ones(count, 1), source), dim=1)
        system = torch.cat(
            (
                torch.cat((kernel, plane), dim=1),
                torch.cat((plane.T, source.new_zeros(3, 3)), dim=1),
            )
        )
        wanted = functional.pad(targets.double(), (0, 0, 0, 3))
        solved = torch.linalg.solve(system.expand(len(wanted), -1, -1), wanted).float()
        constant, linear = solved[:, count : count + 1], solved[:, count + 1 :]
        affine = torch.cat((linear, constant), dim=1).transpose(1, 2)
        return cls(affine.contiguous(), centres.float(), solved[:, :count])

    @classmethod
    def random(
        cls,
        batch: int,
        generator: torch.Generator,
        config: TransformConfig = TransformConfig(),
        device: torch.device | None = None,
    ) -> ThinPlateSpline:
        """`batch` random transforms; numbers come from `generator` on the CPU, so every device gets the same."""
        axis = torch.linspace(-1, 1, config.points)
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        centres = torch.stack((x, y), -1).reshape(-1, 2)
        affine = torch.eye(2, 3) + config.affine * torch.randn(batch, 2, 3, generator=generator)
        targets = centres @ affine[..., :2].transpose(1, 2) + affine[:, None, :, 2]
        noise = torch.randn(batch, len(centres), 2, generator=generator)
        made = cls.through(centres, targets + config.displacement * noise)
        return cls(made.affine.to(device), made.centres.to(device), made.weights.to(device))

    def __call__(self, points: Tensor) -> Tensor:
        """T of points [B, M, 2]: [B, M, 2]."""
        # Sums, not matrix products: autocast would run those in bfloat16, which is a pixel wrong.
        linear = (points.unsqueeze(-2) * self.affine[:, None, :, :2]).sum(-1)
        bent = _kernel(((points.unsqueeze(-2) - self.centres) ** 2).sum(-1))
        moved = torch.stack([(bent * self.weights[:, None, :, axis]).sum(-1) for axis in (0, 1)], dim=-1)
        return linear + self.affine[:, None, :, 2] + moved

    def jacobian(self, points: Tensor) -> Tensor:
        """dT/dz at points [B, M, 2]: [B, M, 2, 2], row the image of T, column the direction moved in."""
        away = points.unsqueeze(-2) - self.centres
        squared = (away**2).sum(-1, keepdim=True)
        # dU/dq = log(q + e) + q / (q + e), dq/dz = 2 (z - c)
        slope = 2 * away * (torch.log(squared + SOFTENING) + squared / (squared + SOFTENING))
        bent = (self.weights[:, None, :, :, None] * slope.unsqueeze(-2)).sum(2)
        return self.affine[:, None, :, :2] + bent

    def warp(self, pictures: Tensor) -> Tensor:
        """I'(z) = I(T(z)) of pictures [B, C, S, S]: the same shape, border repeated."""
        size = pictures.shape[-1]
        axis = (torch.arange(size, dtype=torch.float32, device=pictures.device) * 2 + 1) / size - 1
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        grid = torch.stack((x, y), -1).reshape(1, -1, 2)
        # Two sums over the control points keep memory at [B, S*S, N].
        where = self(grid.expand(len(pictures), -1, -1)).reshape(len(pictures), size, size, 2)
        return functional.grid_sample(pictures, where, mode="bilinear", padding_mode="border", align_corners=False)


def _kernel(squared: Tensor) -> Tensor:
    """U(q) = q log(q + e) of squared distances q."""
    return squared * torch.log(squared + SOFTENING)
