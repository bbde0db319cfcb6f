"""All that a run needs to go on exactly: tensors by name, and a few numbers. No pickle.

Names of tensors: ``networks/KEY`` (all weights), ``extra/KEY`` (discriminators), ``average/KEY`` (moving average of
the trained parts), ``optimizer/PHASE/INDEX/WHAT`` (AdamW), ``random/KIND/RANK`` (torch's generators, uint8). Samples
need no state: each is drawn from (seed, step, number).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adasr_core.networks import CheckpointedNetworks, FaceCodecNetworks, ModelConfig
from adasr_core.networks.checkpointed import NetworkConfig

FORMAT = 1
"""Version of the state's form."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Where a run stands."""

    stage: str
    architecture: dict[str, Any]
    """Of the networks; see `plain_architecture`."""
    step: int
    """Optimiser steps done."""
    spent_s: float
    """Wall-clock seconds spent."""
    batch: int
    seed: int
    world_size: int
    best: float | None = None
    """Best validation figure so far (the stage's `best_by`)."""
    exact: bool = True
    """False: averaged weights alone; a run goes on from them with fresh moments."""
    format: int = FORMAT

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Progress:
        """Rebuild from `to_json`. Raises ValueError for another form."""
        values = json.loads(text)
        known = {f.name for f in fields(cls)}
        if not isinstance(values, dict) or values.get("format") != FORMAT or set(values) != known:
            raise ValueError(
                f"training state: got format {values.get('format') if isinstance(values, dict) else '?'}, "
                f"expected {FORMAT}; go on with the version that wrote it, or start from a checkpoint"
            )
        return cls(**values)


@dataclass(frozen=True, slots=True)
class TrainingState:
    """Tensors by name, on the CPU, and where the run stands."""

    tensors: Mapping[str, Tensor]
    progress: Progress

    def under(self, prefix: str) -> dict[str, Tensor]:
        """Tensors whose name starts with ``prefix/``, by the rest of the name."""
        return {k[len(prefix) + 1 :]: t for k, t in self.tensors.items() if k.startswith(prefix + "/")}

    def networks(self) -> FaceCodecNetworks:
        """The networks with averaged weights, as a checkpoint holds them."""
        networks = FaceCodecNetworks(ModelConfig.from_dict(self.progress.architecture))
        networks.load_state_dict(self.under("networks") | self.under("average"))
        return networks.eval()

    def weights_only(self) -> TrainingState:
        """Averaged weights alone, in half precision where they were trained: an eighth of the size.

        What was not trained (a frozen detector) keeps its precision and so stays bit for bit what it was.
        """
        average = self.under("average")
        tensors = {
            f"networks/{k}": average[k].half() if k in average and t.is_floating_point() else average.get(k, t)
            for k, t in self.under("networks").items()
        }
        return TrainingState(tensors, replace(self.progress, exact=False))

    @classmethod
    def of_networks(cls, networks: CheckpointedNetworks, *, stage: str, batch: int, seed: int) -> TrainingState:
        """A state at step 0 from the weights of a checkpoint, in full precision."""
        tensors = {f"networks/{k}": t.detach().clone() for k, t in networks.state_dict().items()}
        progress = Progress(
            stage=stage,
            architecture=plain_architecture(networks.config),
            step=0,
            spent_s=0.0,
            batch=batch,
            seed=seed,
            world_size=1,
            exact=False,
        )
        return cls(tensors, progress)

    def check(self, *, stage: str, architecture: NetworkConfig, batch: int, seed: int, world_size: int) -> None:
        """Raises ValueError when a run with these settings would not go on where this state stopped."""
        p = self.progress
        compared: list[tuple[str, object, object]] = [
            ("architecture", plain_architecture(architecture), p.architecture),
        ]
        if p.exact:
            compared += [
                ("stage", stage, p.stage),
                ("batch", batch, p.batch),
                ("seed", seed, p.seed),
                ("world size", world_size, p.world_size),
            ]
        for name, got, expected in compared:
            if got != expected:
                raise ValueError(
                    f"{name}: got {got}, expected {expected} of the state that this run goes on from; "
                    "give the same, or start a new run from a checkpoint"
                )

    def save(self, path: Path) -> None:
        """Write as safetensors; an interrupted write leaves the file before it whole."""
        from safetensors.torch import save_file

        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        tensors = {k: t.contiguous() for k, t in self.tensors.items()}
        save_file(tensors, unfinished, {"training_state": self.progress.to_json()})
        unfinished.replace(path)

    @classmethod
    def load(cls, path: Path) -> TrainingState:
        """Read what `save` wrote. Raises ValueError when the file is no training state."""
        from safetensors import safe_open

        with safe_open(path, framework="pt") as file:
            notes = file.metadata() or {}
            if "training_state" not in notes:
                raise ValueError(f"{path}: holds no training state; a checkpoint starts a new run, see --resume")
            progress = Progress.from_json(notes["training_state"])
            return cls({key: file.get_tensor(key) for key in file.keys()}, progress)  # noqa: SIM118


def is_state(path: Path) -> bool:
    """Whether a safetensors file is a training state (and not a checkpoint). Raises OSError when it cannot be read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return "training_state" in (file.metadata() or {})
    except SafetensorError as error:
        raise ValueError(f"{path}: not a safetensors file ({error}); give a checkpoint or a training state") from error


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's moments and counters: ``INDEX/WHAT`` by the parameter's index."""
    state = optimizer.state_dict()["state"]
    return {f"{i}/{what}": t for i, entry in state.items() for what, t in entry.items() if isinstance(t, Tensor)}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` gave. Raises ValueError when it belongs to other parameters."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, what = name.split("/")
        state.setdefault(int(index), {})[what] = tensor
    groups = optimizer.state_dict()["param_groups"]
    if set(state) - {i for group in groups for i in group["params"]}:
        raise ValueError("training state: its optimiser has other parameters; give the stage's options that wrote it")
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def plain_architecture(config: NetworkConfig) -> dict[str, Any]:
    """The architecture as JSON gives it back: lists for tuples."""
    plain: dict[str, Any] = json.loads(json.dumps(config.to_dict()))
    return plain
