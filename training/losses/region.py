"""Where in a frame errors count: the face more than the room, eyes and the inside of the mouth more than the face.

Weights are maps [B, 1, S, S] from face keypoints [B, K, 2] in [-1, 1] (x right, y down, ``align_corners=False``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from training.teacher import LANDMARK_GROUPS

FACE_REACH = 0.02
"""Squared distance from the nearest keypoint, in [-1, 1] units, at which the face's weight has fallen to 1/e."""
EYE_LEAST_HEIGHT = 0.5
"""Half height of an eye's region over its half width, at least: lids and lashes of a closed eye stay inside."""
MOUTH_LEAST_HEIGHT = 0.25
"""The same for the mouth; closed lips are thin."""

_NAMES = tuple(LANDMARK_GROUPS)
_EYE = ("eye_outer", "eye_inner", "upper_lid", "lower_lid")
_MOUTH = ("right_mouth_corner", "left_mouth_corner", "upper_lip_inner", "lower_lip_inner")


def face_weight(keypoints: Tensor, size: int) -> Tensor:
    """1 on the face and 0 away from it, softly: exp(-min_k |z - p_k|^2 / 0.02).

    Args:
        keypoints: face keypoints [B, K, 2].
        size: S, pixels of the map's side.

    Returns:
        [B, 1, S, S] in 0..1.
    """
    axis = (torch.arange(size, device=keypoints.device) * 2 + 1) / size - 1
    dx = axis[None, None, :] - keypoints[..., 0, None]
    dy = axis[None, None, :] - keypoints[..., 1, None]
    nearest = (dx[:, :, None, :] ** 2 + dy[:, :, :, None] ** 2).amin(dim=1, keepdim=True)
    return torch.exp(-nearest / FACE_REACH)


@dataclass(frozen=True, kw_only=True, slots=True)
class RegionWeights:
    """How much more an error counts in each region; the room counts 1."""

    face: float = 3.0
    """Added on the face."""
    eyes: float = 4.0
    """Added, once more, over each eye: lids and iris."""
    mouth: float = 4.0
    """Added, once more, over the inside of the mouth and the lips' inner edges."""

    def __post_init__(self) -> None:
        """Raises ValueError when a weight is negative."""
        for name in self.__slots__:
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected a weight of 0 or more")


def region_weight(keypoints: Tensor, size: int, weights: RegionWeights = RegionWeights()) -> Tensor:
    """Weight of every pixel: 1 + face * F + eyes * E + mouth * M.

    F is `face_weight`; E and M are soft ellipses (`ellipse_weight`): E through the corners and lids of each eye, the
    larger value of both eyes, M through the corners and inner edges of the mouth.

    Args:
        keypoints: face keypoints [B, 34, 2] in the order of `training.teacher.LANDMARK_GROUPS`; no gradient flows back.
        size: S, pixels of the map's side.
        weights: what each region adds.

    Returns:
        [B, 1, S, S], 1 or more.

    Raises:
        ValueError: not 34 keypoints.
    """
    if keypoints.ndim != 3 or keypoints.shape[1:] != (len(_NAMES), 2):
        raise ValueError(f"keypoints: got {tuple(keypoints.shape)}, expected (B, {len(_NAMES)}, 2), the face's alone")
    points = keypoints.detach().float()
    by_name = dict(zip(_NAMES, points.unbind(1), strict=True))
    eyes = [
        ellipse_weight([by_name[f"{side}_{part}"] for part in _EYE], size, least_height=EYE_LEAST_HEIGHT)
        for side in ("right", "left")
    ]
    mouth = ellipse_weight([by_name[part] for part in _MOUTH], size, least_height=MOUTH_LEAST_HEIGHT)
    face = face_weight(points, size)
    return 1 + weights.face * face + weights.eyes * torch.maximum(*eyes) + weights.mouth * mouth


def ellipse_weight(points: Sequence[Tensor], size: int, *, least_height: float) -> Tensor:
    """A soft ellipse on four points: exp(-ln 2 (u^2 / a^2 + v^2 / b^2)^2), so 1/2 on the ellipse itself.

    u runs along the line of the corners, v across it, from the corners' middle along u and the lids' middle along v.
    a is half the corners' distance; b is half the lids' distance across, at least `least_height` * a (a closed eye or
    mouth still counts).

    Args:
        points: corner, other corner, upper and lower lid or lip, each [B, 2].
        size: pixels of the map's side.
        least_height: b / a at least.

    Returns:
        [B, 1, size, size] in 0..1.
    """
    corner, other_corner, upper, lower = points
    across = other_corner - corner
    a = across.norm(dim=-1).clamp(min=1e-3) / 2
    direction = across / (2 * a[:, None])
    normal = torch.stack((-direction[:, 1], direction[:, 0]), -1)
    middle = (corner + other_corner) / 2
    heights = torch.stack(((upper - middle) * normal, (lower - middle) * normal)).sum(-1)
    b = torch.maximum((heights[1] - heights[0]).abs() / 2, least_height * a)
    centre = middle + heights.mean(0)[:, None] * normal
    axis = (torch.arange(size, device=corner.device) * 2 + 1) / size - 1
    dx = (axis - centre[:, :1])[:, None, :]
    dy = (axis - centre[:, 1:])[:, :, None]
    u = dx * direction[:, 0, None, None] + dy * direction[:, 1, None, None]
    v = dx * normal[:, 0, None, None] + dy * normal[:, 1, None, None]
    radius = (u / a[:, None, None]) ** 2 + (v / b[:, None, None]) ** 2
    return torch.exp(-math.log(2) * radius**2).unsqueeze(1)
