"""A model folder of a preset that nobody has trained yet: random weights, for speed and parity alone.

The detector and the tables are those of a trained model, so keypoints mean something and the bitstream is that
model's. Layers that start at zero get small random weights: zeros would hide faults and cost a GPU less power.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from adasr_core.bundle import ModelBundle
from adasr_core.networks import PRESETS, FaceCodecNetworks
from export.export_model import WEIGHTS, export_model
from export.parity import ParityRow

SEED = 2403
_ZERO_LAYERS_STD = 0.02


def random_preset(name: str, trained: ModelBundle, seed: int = SEED) -> FaceCodecNetworks:
    """Networks of a preset with `trained`'s detector and random weights for the rest, the same for the same seed.

    Raises:
        ValueError: no such preset, its detector is another, or `trained` has no weights beside its graphs.
    """
    if name not in PRESETS:
        raise ValueError(f"preset: got {name!r}, expected one of {', '.join(PRESETS)}")
    weights = trained.folder / WEIGHTS
    if not weights.is_file():
        raise ValueError(f"model {trained.folder}: has no {WEIGHTS}; presets are made in a checkout of the repository")
    detector = FaceCodecNetworks.load(weights)[0].detector.state_dict()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        networks = FaceCodecNetworks(PRESETS[name])
        with torch.no_grad():
            for parameter in networks.parameters():
                if parameter.dim() > 1 and not parameter.any():
                    parameter.normal_(std=_ZERO_LAYERS_STD)
    try:
        networks.detector.load_state_dict(detector)
    except RuntimeError as error:
        raise ValueError(f"preset {name}: its detector is another than {trained.manifest.name}'s ({error})") from error
    return networks.eval()


def export_preset(name: str, trained: ModelBundle, out: Path, clips: list[Path]) -> list[ParityRow]:
    """Export a preset with random weights into the folder `out`, through the same parity gate as a trained model.

    Raises:
        ParityError: a graph does not compute what torch computes.
        ValueError: see `random_preset`.
    """
    networks = random_preset(name, trained)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / WEIGHTS
        networks.save(checkpoint)
        return export_model(
            checkpoint,
            None,
            out,
            clips,
            name=f"{name}-untrained",
            version="0.0.0",
            training={"steps": 0, "seed": SEED},
            quality={},
            bitstream_of=trained.folder,
        )
