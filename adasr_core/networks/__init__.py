"""The networks in torch: training and export only. A call runs on exported graphs (`adasr_core.engines`)."""

from adasr_core.networks.checkpointed import CheckpointedNetworks
from adasr_core.networks.config import PRESETS, ModelConfig
from adasr_core.networks.detector import DetectorOutput, KeypointDetector
from adasr_core.networks.encoder import EncoderOutput, KeyFrameEncoder
from adasr_core.networks.generator import Generator
from adasr_core.networks.model import FaceCodecNetworks
from adasr_core.networks.motion import MotionField, MotionFieldOutput
from adasr_core.networks.refiner import Refiner, RefinerConfig

__all__ = [
    "PRESETS",
    "CheckpointedNetworks",
    "DetectorOutput",
    "EncoderOutput",
    "FaceCodecNetworks",
    "Generator",
    "KeyFrameEncoder",
    "KeypointDetector",
    "ModelConfig",
    "MotionField",
    "MotionFieldOutput",
    "Refiner",
    "RefinerConfig",
]
