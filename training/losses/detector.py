"""The detector's losses put together: distillation from face mesh landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from adasr_core.geometry import FACE_KEYPOINTS
from training.losses.head_pose import HeadPoseLoss
from training.losses.keypoint import ConfidenceLoss, DepthLoss, JacobianLoss, KeypointLoss, visibility

if TYPE_CHECKING:
    from adasr_core.networks import DetectorOutput


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectorTargets:
    """What the landmarks say about a batch of pictures; K = 34 face keypoints.

    keypoints [B, K, 2] and jacobians [B, K, 2, 2] as `training.teacher.Teacher` gives them; depth [B, K] relative to
    the face's middle; head_pose [B, 3] yaw, pitch, roll in radians; face: bool [B], False where no face is shown.
    """

    keypoints: Tensor
    jacobians: Tensor
    depth: Tensor
    head_pose: Tensor
    face: Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectorWeights:
    """Weight of each part of `DetectorLoss`; 0 leaves a part out."""

    keypoint: float = 10.0
    jacobian: float = 1.0
    depth: float = 0.5
    confidence: float = 0.3
    head_pose: float = 0.5

    def __post_init__(self) -> None:
        """Raises ValueError when a weight is negative."""
        for name in self.__slots__:
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected a weight of 0 or more")


class DetectorLoss(nn.Module):
    """All that the landmarks teach the detector from single pictures.

    L = 10 keypoint + 1 Jacobian + 0.5 depth + 0.3 confidence + 0.5 head pose
    """

    def __init__(self, weights: DetectorWeights = DetectorWeights()) -> None:
        """Build with the given weights."""
        super().__init__()
        self.weights = weights
        self.keypoint, self.jacobian, self.depth = KeypointLoss(), JacobianLoss(), DepthLoss()
        self.confidence, self.head_pose = ConfidenceLoss(), HeadPoseLoss()

    def forward(self, out: DetectorOutput, targets: DetectorTargets) -> Tensor:
        """Detector's output for B pictures, and what it should have been -> scalar."""
        weights, visible = self.weights, visibility(targets.keypoints, targets.face)
        found = out.keypoints[:, :FACE_KEYPOINTS]
        total: Tensor = (
            weights.keypoint * self.keypoint(found, targets.keypoints, visible)
            + weights.jacobian * self.jacobian(out.jacobians[:, :FACE_KEYPOINTS], targets.jacobians, visible)
            + weights.depth * self.depth(out.depth[:, :FACE_KEYPOINTS], targets.depth, visible)
            + weights.confidence
            * self.confidence(out.confidence_logits[:, :FACE_KEYPOINTS], found, targets.keypoints, visible)
            + weights.head_pose * self.head_pose(out.head_pose, targets.head_pose, targets.face)
        )
        return total


class DistillationLoss(nn.Module):
    """Ties the face keypoints and Jacobians to the teacher's while the warp trains the detector on.

    L = 10 keypoint + 1 Jacobian, over the keypoints inside the picture
    """

    def __init__(self, keypoint: float = 10.0, jacobian: float = 1.0) -> None:
        """Build with the given weights."""
        super().__init__()
        self.keypoint_weight, self.jacobian_weight = keypoint, jacobian
        self.keypoint, self.jacobian = KeypointLoss(), JacobianLoss()

    def forward(self, out: DetectorOutput, keypoints: Tensor, jacobians: Tensor) -> Tensor:
        """Detector's output, teacher's keypoints [B, K, 2] and Jacobians [B, K, 2, 2] (K = 34) -> scalar."""
        visible = visibility(keypoints)
        points = self.keypoint(out.keypoints[:, :FACE_KEYPOINTS], keypoints, visible)
        shapes = self.jacobian(out.jacobians[:, :FACE_KEYPOINTS], jacobians, visible)
        total: Tensor = self.keypoint_weight * points + self.jacobian_weight * shapes
        return total
