"""Exponential moving average of the weights: what is validated and exported."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from adasr_core.networks import CheckpointedNetworks

Networks = TypeVar("Networks", bound=CheckpointedNetworks)


class MovingAverage(Generic[Networks]):
    """A copy of the networks whose trained parts follow at a distance.

        w <- d w + (1 - d) w_trained,  d = min(decay, (1 + step) / (10 + step))

    The ramp lets the average forget the start quickly. Batch norm statistics follow alike, counters are copied.
    """

    def __init__(self, networks: Networks, trained: tuple[nn.Module, ...], decay: float) -> None:
        """`trained`: the parts of `networks` that training changes; the rest of the copy stays as it is."""
        self.decay = decay
        self.networks = copy.deepcopy(networks).eval().requires_grad_(False)
        names = {id(t): name for name, t in networks.state_dict(keep_vars=True).items()}
        theirs = {names[id(t)]: t for module in trained for t in module.state_dict(keep_vars=True).values()}
        mine = self.networks.state_dict(keep_vars=True)
        self.names = tuple(theirs)
        floats = [name for name in theirs if theirs[name].is_floating_point()]
        self._floats = [mine[n] for n in floats], [theirs[n].detach() for n in floats]
        self._counts = [(mine[n], theirs[n]) for n in theirs if n not in set(floats)]

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Move towards the trained weights after step `step`."""
        mine, theirs = self._floats
        torch._foreach_lerp_(mine, theirs, 1 - min(self.decay, (1 + step) / (10 + step)))
        for value, other in self._counts:
            value.copy_(other)

    def tensors(self) -> dict[str, Tensor]:
        """The averaged weights of the trained parts by their names in the networks' state."""
        state = self.networks.state_dict()
        return {name: state[name] for name in self.names}
