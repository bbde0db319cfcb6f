"""Damage to source pictures: Real-ESRGAN's two-stage chain and the codec's own key frames. See docs/losses.md.

Needs torch, numpy and OpenCV only; AVIF key frames need Pillow as well.
"""

from training.degradation.chain import MILD_CHAIN, ChainConfig, DegradationChain, StageConfig
from training.degradation.codec import CodecConfig, CodecDegradation, KeyFrameCoder
from training.degradation.kernels import BlurConfig
from training.degradation.key_frame import KeyFrameConfig, KeyFrameDegradation
from training.degradation.noise import NoiseConfig
from training.degradation.resize import ResizeConfig, ResizeMethod

__all__ = [
    "MILD_CHAIN",
    "BlurConfig",
    "ChainConfig",
    "CodecConfig",
    "CodecDegradation",
    "DegradationChain",
    "KeyFrameCoder",
    "KeyFrameConfig",
    "KeyFrameDegradation",
    "NoiseConfig",
    "ResizeConfig",
    "ResizeMethod",
    "StageConfig",
]
