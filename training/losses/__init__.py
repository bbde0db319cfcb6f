"""Losses of AdaSR's section 2.4 and the pixel terms beside them; docs/losses.md lists formulas and sources.

Needs torch, numpy and OpenCV only.
"""

from training.losses.adversarial import DiscriminatorHingeLoss, FeatureMatchingLoss, GeneratorHingeLoss
from training.losses.detector import DetectorLoss, DetectorTargets, DetectorWeights, DistillationLoss
from training.losses.discriminator import DiscriminatorConfig, MultiScaleDiscriminator, PatchJudgement
from training.losses.equivariance import EquivarianceLoss, JacobianEquivarianceLoss
from training.losses.expression import DeformationPrior, ExpressionLoss
from training.losses.head_frame import HeadFrame, fit_head_frame, neutral_keypoints, with_depth
from training.losses.head_pose import HeadPoseLoss, RotationLoss, rotation_matrix
from training.losses.keypoint import ConfidenceLoss, DepthLoss, JacobianLoss, KeypointLoss, visibility
from training.losses.perceptual import PerceptualLoss
from training.losses.pixel import CharbonnierLoss, PhotometricLoss, RebuildLoss
from training.losses.region import RegionWeights, face_weight, region_weight
from training.losses.structure import EdgeLoss, SharpnessLoss, StructureLoss, ssim_map
from training.losses.thin_plate_spline import ThinPlateSpline, TransformConfig
from training.losses.vgg import Vgg19Features, find_vgg19_weights, load_vgg19

__all__ = [
    "CharbonnierLoss",
    "ConfidenceLoss",
    "DeformationPrior",
    "DepthLoss",
    "DetectorLoss",
    "DetectorTargets",
    "DetectorWeights",
    "DiscriminatorConfig",
    "DiscriminatorHingeLoss",
    "DistillationLoss",
    "EdgeLoss",
    "EquivarianceLoss",
    "ExpressionLoss",
    "FeatureMatchingLoss",
    "GeneratorHingeLoss",
    "HeadFrame",
    "HeadPoseLoss",
    "JacobianEquivarianceLoss",
    "JacobianLoss",
    "KeypointLoss",
    "MultiScaleDiscriminator",
    "PatchJudgement",
    "PerceptualLoss",
    "PhotometricLoss",
    "RebuildLoss",
    "RegionWeights",
    "RotationLoss",
    "SharpnessLoss",
    "StructureLoss",
    "ThinPlateSpline",
    "TransformConfig",
    "Vgg19Features",
    "face_weight",
    "find_vgg19_weights",
    "fit_head_frame",
    "load_vgg19",
    "neutral_keypoints",
    "region_weight",
    "rotation_matrix",
    "ssim_map",
    "visibility",
    "with_depth",
]
