"""Networks that carry their configuration: weights as safetensors, rebuilt without knowing what they are."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import torch
from torch import nn


class NetworkConfig(Protocol):
    """Sizes of networks."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""


class CheckpointedNetworks(nn.Module, ABC):
    """Base of what a stage trains.

    config: its sizes. NOTE: key of a checkpoint's metadata that holds them, and so tells what is inside.
    """

    NOTE: ClassVar[str]
    config: NetworkConfig

    @classmethod
    @abstractmethod
    def from_plain(cls, values: dict[str, Any]) -> Self:
        """Fresh networks of a configuration's `to_dict`. Raises ValueError for an unknown key."""

    def save(self, path: Path, extra: dict[str, str] | None = None) -> None:
        """Write the weights with their configuration (and `extra` notes) as safetensors."""
        # Imported here: training in slices runs these networks where nothing but torch, numpy and OpenCV is installed.
        from safetensors.torch import save_file

        metadata = {self.NOTE: json.dumps(self.config.to_dict()), **(extra or {})}
        save_file({k: v.detach().contiguous().cpu() for k, v in self.state_dict().items()}, path, metadata)

    @classmethod
    def load(cls, path: Path, device: str = "cpu") -> tuple[Self, dict[str, str]]:
        """Rebuild from `save`: the networks and the notes. Raises ValueError when the file is not such a checkpoint."""
        from safetensors import safe_open

        with safe_open(path, framework="pt", device=device) as file:
            notes = dict(file.metadata() or {})
            if cls.NOTE not in notes:
                raise ValueError(
                    f"{path}: no {cls.NOTE!r} in its metadata; expected a checkpoint of {cls.__name__}, "
                    "as adasr's training writes it"
                )
            networks = cls.from_plain(json.loads(notes.pop(cls.NOTE)))
            networks.load_state_dict({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118
        return networks.to(torch.device(device)), notes
