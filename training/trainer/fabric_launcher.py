"""Lightning Fabric as launcher: one GPU, many GPUs, many nodes by torchrun; gloo between processes on a CPU.

The networks have 1 to 5 million parameters, so the gradients of a phase are averaged in one piece after its backward
pass instead of inside it (DDP's buckets): all phases and partial forward passes then work without a wrapper around the
networks, and an idle parameter is no error.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Literal, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from training.run import pick_device


class FabricLauncher:
    """A `Launcher` by Fabric."""

    def __init__(
        self,
        device: str = "auto",
        precision: str = "bf16-mixed",
        *,
        devices: int = 1,
        nodes: int = 1,
    ) -> None:
        """Start (or join, under torchrun) `devices` processes on each of `nodes`.

        Raises:
            ValueError: a GPU was asked for and is not there.
        """
        kind = pick_device(device).type
        # torchrun has started the processes and says how many there are.
        if "TORCHELASTIC_RUN_ID" in os.environ:
            devices = int(os.environ["LOCAL_WORLD_SIZE"])
            nodes = int(os.environ["WORLD_SIZE"]) // devices
        strategy = "ddp" if devices * nodes > 1 else "auto"
        as_fabric_names_it = cast("Literal['bf16-mixed', '32-true']", precision)
        self.fabric = Fabric(
            accelerator=kind, devices=devices, num_nodes=nodes, strategy=strategy, precision=as_fabric_names_it
        )
        self.fabric.launch()
        self.device = self.fabric.device
        self.rank, self.world_size = self.fabric.global_rank, self.fabric.world_size

    def setup(self, module: nn.Module) -> None:
        """Move a module to the device, channels last, with the weights of rank 0; batch norms see all processes."""
        if self.world_size > 1 and self.device.type == "cuda":
            nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
        module.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.world_size > 1:
            for tensor in module.state_dict().values():
                tensor.copy_(self.fabric.broadcast(tensor))

    def autocast(self) -> AbstractContextManager[None]:
        """The run's precision for forward passes."""
        return self.fabric.autocast()

    def backward(self, loss: Tensor) -> None:
        """Gradients of a scalar."""
        self.fabric.backward(loss)

    def mean_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their mean over the processes."""
        if self.world_size > 1:
            self.mean_tensors([p.grad for p in parameters if p.grad is not None])

    def mean_tensors(self, tensors: Iterable[Tensor]) -> None:
        """Replace float tensors by their mean over the processes."""
        listed = list(tensors)
        if self.world_size == 1 or not listed:
            return
        flat = torch.cat([t.detach().reshape(-1) for t in listed])
        mean = self.fabric.all_reduce(flat, reduce_op="mean")
        assert isinstance(mean, Tensor)
        at = 0
        with torch.no_grad():
            for tensor in listed:
                tensor.copy_(mean[at : at + tensor.numel()].view_as(tensor))
                at += tensor.numel()

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """The same tensor of every process, by rank."""
        if self.world_size == 1:
            return [tensor]
        gathered = self.fabric.all_gather(tensor.to(self.device))
        assert isinstance(gathered, Tensor)
        return [part.to(tensor.device) for part in gathered]

    def from_first(self, values: list[float]) -> list[float]:
        """Rank 0's values, on every process."""
        return values if self.world_size == 1 else self.fabric.broadcast(values)

    def barrier(self) -> None:
        """Wait for all processes."""
        self.fabric.barrier()

    def print(self, text: str) -> None:
        """Print on rank 0."""
        self.fabric.print(text, flush=True)
