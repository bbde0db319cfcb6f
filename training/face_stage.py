"""What all stages have in common: networks, launcher, compiled parts."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import nn

from adasr_core.networks import FaceCodecNetworks
from training.trainer.launcher import Launcher, PlainLauncher
from training.trainer.stage import Image


class FaceStage:
    """Base of the stages; see `training.trainer.stage.Stage` for what they offer the loop."""

    name: str
    best_by: str

    def __init__(self, networks: FaceCodecNetworks) -> None:
        """Train parts of `networks`."""
        self.networks, self.extra = networks, nn.ModuleDict()
        self.launcher: Launcher = PlainLauncher("cpu")

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.launcher.device

    def autocast(self) -> AbstractContextManager[None]:
        """The run's precision."""
        return self.launcher.autocast()

    def attach(self, launcher: Launcher) -> None:
        """Take the launcher."""
        self.launcher = launcher

    def compiled_parts(self) -> tuple[nn.Module, ...]:
        """Parts whose forward passes `compile` compiles."""
        networks = self.networks
        return networks.detector, networks.encoder.context, networks.motion

    def compile(self, on: bool) -> None:
        """Compile the heavy parts in place (their weights keep their names), or put the plain ones back."""
        for part in self.compiled_parts():
            if on:
                part.compile()
            else:
                # What nn.Module.compile sets; torch has no call that takes it back.
                part._compiled_call_impl = None

    def pictures(self, averaged: FaceCodecNetworks) -> list[list[Image]]:
        """A stage that makes no pictures shows none."""
        return []
