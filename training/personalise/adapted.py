"""Which weights an adapter changes, and how they are trained and written: whole differences, or of low rank.

`edge` is small: int8 differences of all its decoder weights are 0.63 MB. `base` is not: there each matrix gets a
difference of low rank (LoRA, Hu et al. 2021).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from adasr_core.adapter import (
    ADAPTED_PARTS,
    MAX_ADAPTER_BYTES,
    AdaptedPart,
    initializer_name,
)
from adasr_core.bundle import ModelBundle
from adasr_core.graph_weights import read_weights
from adasr_core.networks import FaceCodecNetworks, ModelConfig
from adasr_core.weight_difference import ByteDifference, Difference, HalfDifference, LowRankDifference

Array = npt.NDArray[np.float32]

WEIGHTS_FILE = "weights.safetensors"
_HEADER_BYTES = 200  # of one weight in the file, about
_MAX_RANK = 8


def open_networks(bundle: ModelBundle) -> FaceCodecNetworks:
    """The networks of a model in torch, frozen, checked to hold the weights of its exported graphs.

    Raises:
        ValueError: the folder holds no weights to train on, or they are not those of the graphs.
    """
    path = bundle.folder / WEIGHTS_FILE
    if not path.is_file():
        raise ValueError(
            f"{path}: not there; an installed model comes without it: give a checkout's folder with --model models/"
            f"{bundle.manifest.name}"
        )
    networks, _ = FaceCodecNetworks.load(path)
    state = networks.state_dict()
    for name, exported in adaptable_weights(bundle).items():
        if name not in state or not np.array_equal(state[name].numpy(), exported):
            raise ValueError(f"{path}: {name} is not what the exported graphs hold; export the model again")
    networks.requires_grad_(False)
    return networks.eval()


def adaptable_weights(bundle: ModelBundle) -> dict[str, Array]:
    """Weights and biases of the decoder that its exported graphs hold under their own names.

    The scales of the analytic prior are folded into constants on export and stay as they are.
    """
    with torch.device("meta"):
        networks = FaceCodecNetworks(ModelConfig.of_architecture(bundle.manifest.architecture))
    shapes = {name: tuple(p.shape) for name, p in networks.named_parameters()}
    weights = {}
    for part in ADAPTED_PARTS:
        held = read_weights(bundle.path(part).read_bytes())
        for name, shape in shapes.items():
            initializer = initializer_name(name)
            if name.partition(".")[0] == part and initializer in held and held[initializer].shape == shape:
                weights[name] = held[initializer]
    return weights


class LowRank(nn.Module):
    """Parametrization weight + up @ down; starts at the weight itself."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        """Build for a weight [O, ...]."""
        super().__init__()
        inner = weight[0].numel()
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank))
        self.down = nn.Parameter(torch.randn(rank, inner) / inner**0.5)

    def forward(self, weight: Tensor) -> Tensor:
        """The changed weight."""
        return weight + (self.up @ self.down).reshape(weight.shape)


@dataclass(frozen=True, slots=True)
class Adapted:
    """Networks whose decoder is being fitted, and what it started from.

    base: every adapted weight as it was, by name. rank: None for whole differences.
    """

    networks: FaceCodecNetworks
    base: Mapping[str, Tensor]
    rank: int | None

    @classmethod
    def prepare(
        cls,
        networks: FaceCodecNetworks,
        names: Iterable[str],
        rank: int | None,
        parts: Sequence[AdaptedPart] = ADAPTED_PARTS,
    ) -> Adapted:
        """Copy `networks` and make the weights `names` of `parts` trainable."""
        networks = copy.deepcopy(networks)
        base = {n: networks.get_parameter(n).detach().clone() for n in names if n.partition(".")[0] in parts}
        for name, value in base.items():
            owner, _, leaf = name.rpartition(".")
            if rank is None or value.ndim < 2 or rank >= min(value.shape[0], value[0].numel()):
                networks.get_parameter(name).requires_grad_(True)
            else:
                parametrize.register_parametrization(networks.get_submodule(owner), leaf, LowRank(value, rank))
        return cls(networks, base, rank)

    def trained(self) -> list[nn.Parameter]:
        """What the optimiser changes."""
        return [p for p in self.networks.parameters() if p.requires_grad]

    def differences(self) -> dict[str, Difference]:
        """The trained weights minus the base, as the file stores them."""
        found: dict[str, Difference] = {}
        for name, base in self.base.items():
            owner, _, leaf = name.rpartition(".")
            module = self.networks.get_submodule(owner)
            if parametrize.is_parametrized(module, leaf):
                low = module.get_submodule(f"parametrizations.{leaf}.0")
                assert isinstance(low, LowRank), "prepare registers no other"
                up, down = (factor.detach().numpy().astype(np.float16) for factor in (low.up, low.down))
                found[name] = LowRankDifference(up, down)
                continue
            difference = (getattr(module, leaf).detach() - base).numpy()
            if base.ndim == 1:
                found[name] = HalfDifference(difference.astype(np.float16))
            else:
                found[name] = ByteDifference.quantize(difference)
        return found


def fitting_rank(shapes: Mapping[str, tuple[int, ...]]) -> int | None:
    """None where int8 differences of all weights fit into an adapter, else the largest rank that does, at most 8.

    Raises:
        ValueError: not even rank 1 fits.
    """
    ranks: list[int | None] = [None, *range(_MAX_RANK, 0, -1)]
    for rank in ranks:
        if sum(_bytes_of(shape, rank) + _HEADER_BYTES for shape in shapes.values()) <= MAX_ADAPTER_BYTES:
            return rank
    raise ValueError(f"model: {len(shapes)} weights do not fit into an adapter of {MAX_ADAPTER_BYTES} bytes")


def _bytes_of(shape: tuple[int, ...], rank: int | None) -> int:
    count, inner = shape[0], int(np.prod(shape[1:]))
    if len(shape) == 1:
        return 2 * count
    if rank is None or rank >= min(count, inner):
        return count * inner + 4 * count
    return 2 * rank * (count + inner)
