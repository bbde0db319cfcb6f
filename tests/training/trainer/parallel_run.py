"""What test_parallel runs under torchrun: ``parallel_run.py OUT`` trains the tiny generator for three steps."""

import sys
from pathlib import Path

import torch

from tests.training.portraits import tiny_generator, tiny_networks
from training.run import RunConfig
from training.trainer.fabric_launcher import FabricLauncher
from training.trainer.loop import Trainer


def train(out: Path) -> None:
    torch.set_num_threads(1)
    config = RunConfig(
        minutes=None, steps=3, batch=4, learning_rate=1e-3, warmup_steps=0, precision="32-true", device="cpu", out=out
    )
    launcher = FabricLauncher(config.device, config.precision)
    Trainer(tiny_generator(tiny_networks(seed=launcher.rank)), launcher, config).run()


if __name__ == "__main__":
    train(Path(sys.argv[1]))
