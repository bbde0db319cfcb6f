"""An int8 variant of the shipped model, calibrated on a few frames of the sample clip, for tests."""

from __future__ import annotations

from pathlib import Path

from adasr.sample import sample_clip_path
from adasr_core.bundle import ModelBundle, open_bundle
from export.calibration import Calibration, CalibrationConfig, record_inputs
from export.quantise import QuantiseConfig, quantise_model


def sample_calibration(frames: int = 3) -> Calibration:
    """Inputs of the shipped model's graphs on the sample clip."""
    return record_inputs(
        open_bundle("edge"),
        [sample_clip_path()],
        CalibrationConfig(frames_per_clip=frames, within_frames=60),
        threads=1,
    )


def make_int8(folder: Path, calibration: Calibration | None = None) -> ModelBundle:
    """Write the variant into `folder`, which must not exist."""
    return quantise_model(open_bundle("edge"), calibration or sample_calibration(), folder, QuantiseConfig())
