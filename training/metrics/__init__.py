"""Metrics of rebuilt pictures that need more than numpy: similarity, keypoint distance, published networks.

PSNR and sharpness are in `adasr_core.picture_quality` and `benchmarks.rebuild_quality`; they need no torch.
"""

from training.metrics.frechet import FrechetDistance
from training.metrics.identity import IdentityDistance
from training.metrics.keypoint_distance import DLIB_68, KeypointDistance
from training.metrics.lpips import PerceptualDistance
from training.metrics.similarity import ms_ssim, ssim, ssimulacra2
from training.metrics.weights import WeightsMissingError, find_weights

__all__ = [
    "DLIB_68",
    "FrechetDistance",
    "IdentityDistance",
    "KeypointDistance",
    "PerceptualDistance",
    "WeightsMissingError",
    "find_weights",
    "ms_ssim",
    "ssim",
    "ssimulacra2",
]
