"""A checkpoint of half the size: encoder, motion field and generator in half precision.

What it holds is what the model computes with: the weights are rounded first, and the graphs are exported from the
rounded ones. The detector stays as it is, because its weights are the bitstream.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from adasr_core.networks import FaceCodecNetworks

_KEPT = "detector."


def rounded_to_half(networks: FaceCodecNetworks) -> FaceCodecNetworks:
    """A copy whose weights, but for the detector's, are numbers of half precision; still float32 tensors.

    Raises:
        ValueError: a weight is too large for half precision.
    """
    made = copy.deepcopy(networks)
    with torch.no_grad():
        for name, value in made.state_dict().items():
            if name.startswith(_KEPT) or not value.is_floating_point():
                continue
            half = value.half()
            if not torch.isfinite(half).all():
                raise ValueError(f"{name}: got a weight of {float(value.abs().max()):g}, expected at most 65504")
            value.copy_(half)
    return made


def save_half(networks: FaceCodecNetworks, path: Path, notes: dict[str, str]) -> None:
    """Write what `rounded_to_half` made, as `FaceCodecNetworks.load` reads it: float32 again, to the last bit."""
    tensors = {
        name: (value if name.startswith(_KEPT) or not value.is_floating_point() else value.half()).contiguous().cpu()
        for name, value in networks.state_dict().items()
    }
    save_file(tensors, path, {"architecture": json.dumps(networks.config.to_dict()), **notes})
