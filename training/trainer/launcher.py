"""Where a run happens: device, precision, processes. The loop knows no more about them than `Launcher` says."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Protocol

import torch
from torch import Tensor, nn

from training.run import autocast, pick_device


class Launcher(Protocol):
    """One process of a run. rank: 0 to world_size - 1; only rank 0 prints and writes files."""

    device: torch.device
    rank: int
    world_size: int

    def setup(self, module: nn.Module) -> None:
        """Move a module to the device, channels last, with the weights of rank 0."""

    def autocast(self) -> AbstractContextManager[None]:
        """The run's precision for forward passes."""

    def backward(self, loss: Tensor) -> None:
        """Gradients of a scalar."""

    def mean_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their mean over the processes."""

    def mean_tensors(self, tensors: Iterable[Tensor]) -> None:
        """Replace float tensors by their mean over the processes."""

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """The same tensor of every process, by rank."""

    def from_first(self, values: list[float]) -> list[float]:
        """Rank 0's values, on every process."""

    def barrier(self) -> None:
        """Wait for all processes."""

    def print(self, text: str) -> None:
        """Print on rank 0."""


class PlainLauncher:
    """One device in this process, with torch alone."""

    def __init__(self, device: str = "auto", precision: str = "bf16-mixed") -> None:
        """`device` and `precision` as in `RunConfig`. Raises ValueError for a GPU that is not there."""
        self.device, self.precision = pick_device(device), precision
        self.rank, self.world_size = 0, 1

    def setup(self, module: nn.Module) -> None:
        """Move a module to the device, channels last."""
        module.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def autocast(self) -> AbstractContextManager[None]:
        """The run's precision for forward passes."""
        return autocast(self.device, self.precision)

    def backward(self, loss: Tensor) -> None:
        """Gradients of a scalar."""
        loss.backward()  # type: ignore[no-untyped-call]

    def mean_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """One process: they are the mean."""

    def mean_tensors(self, tensors: Iterable[Tensor]) -> None:
        """One process: they are the mean."""

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """One process: itself."""
        return [tensor]

    def from_first(self, values: list[float]) -> list[float]:
        """One process: its own."""
        return values

    def barrier(self) -> None:
        """One process: nobody to wait for."""

    def print(self, text: str) -> None:
        """Print at once."""
        print(text, flush=True)
