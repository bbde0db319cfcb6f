"""Adapters with random differences for the shipped model, for tests that need one without training."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from adasr_core.adapter import Adapter, base_sha256_of, initializer_name
from adasr_core.bundle import ModelBundle, open_bundle
from adasr_core.graph_weights import read_weights
from adasr_core.weight_difference import ByteDifference, Difference, HalfDifference, LowRankDifference

ADAPTED = (
    "encoder.blocks.0.first.weight",
    "motion.head.weight",
    "generator.leave.weight",
    "generator.grow.weight",
    "generator.grow.bias",
)
"""Weights that `random_adapter` changes: a bias in float16, one matrix of low rank, the others in int8."""


def base_weights(bundle: ModelBundle) -> dict[str, npt.NDArray[np.float32]]:
    """The weights of ADAPTED in the exported graphs."""
    graphs = {part: read_weights(bundle.path(part).read_bytes()) for part in ("encoder", "motion", "generator")}
    return {name: graphs[name.partition(".")[0]][initializer_name(name)] for name in ADAPTED}


def random_adapter(bundle: ModelBundle | None = None, *, seed: int = 0, strength: float = 0.2) -> Adapter:
    """Differences of about `strength` times each weight's own size."""
    bundle = bundle or open_bundle("edge")
    rng = np.random.default_rng(seed)
    differences: dict[str, Difference] = {}
    for name, base in base_weights(bundle).items():
        noise = rng.normal(0, strength * base.std(), base.shape).astype(np.float32)
        if base.ndim == 1:
            differences[name] = HalfDifference(noise.astype(np.float16))
        elif name == "generator.grow.weight":
            up, down = rng.normal(0, 0.1, (len(base), 4)), rng.normal(0, 0.1, (4, base[0].size))
            differences[name] = LowRankDifference(up.astype(np.float16), down.astype(np.float16))
        else:
            differences[name] = ByteDifference.quantize(noise)
    return Adapter(
        model=bundle.manifest.name,
        codec_id=bundle.codec_id,
        base_sha256=base_sha256_of(bundle),
        differences=differences,
        person="test",
        steps=3,
        gain_db=0.25,
        face_gain_db=0.5,
    )
