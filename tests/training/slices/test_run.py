"""Slices: exact across calls, and with nothing installed but torch, numpy and OpenCV."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from adasr.commands.train import TRAIN_COMMANDS
from adasr_core.networks import FaceCodecNetworks
from tests.training.portraits import tiny_networks, write_data_set
from training.commands import slice as slice_command
from training.slices.packs import pack
from training.slices.parts import read_parts, write_parts
from training.slices.run import main as main_of_module
from training.trainer.state import TrainingState

ROOT = Path(__file__).parents[3]

BARE = """
import importlib.abc, sys
import torch, numpy, cv2
# The first optimiser has torch load its own compiler, which probes for many optional packages.
torch.optim.AdamW([torch.zeros(1, requires_grad=True)])

class Blocker(importlib.abc.MetaPathFinder):
    # What torch itself brings along; everything else that is not Python's own must not be needed.
    allowed = set(sys.stdlib_module_names) | {"torch", "torchgen", "functorch", "numpy", "cv2"}
    allowed |= {"adasr_core", "training", "typing_extensions", "sympy", "mpmath", "networkx", "jinja2"}
    allowed |= {"markupsafe", "fsspec", "filelock"}
    refused = []

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in self.allowed and not name.startswith("_sysconfigdata"):
            self.refused.append(name)
            raise ModuleNotFoundError(f"blocked: {name}", name=name)

sys.meta_path.insert(0, Blocker())
for gone in ("safetensors", "lightning_fabric", "av", "PIL"):
    assert gone not in sys.modules
    try:
        __import__(gone)
    except ModuleNotFoundError:
        continue
    raise SystemExit("the blocker does not block")
from training.slices.run import main
sys.exit(main(sys.argv[1:]))
"""


def main(arguments: list[str]) -> int:
    """A slice whose time runs from now; by itself `main` counts from when its module was imported."""
    return main_of_module(arguments, started=time.monotonic())


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Packs and a state at step 0 of the tiny networks."""
    write_data_set(tmp_path / "data", train=3)
    pack(tmp_path / "data", tmp_path / "packs")
    state = TrainingState.of_networks(tiny_networks(), stage="motion", batch=3, seed=0)
    write_parts(state, tmp_path / "start")
    return tmp_path


def options(tiny: Path, out: str, resume: str, *more: str) -> list[str]:
    common = ["--packs", str(tiny / "packs"), "--work", str(tiny / "work"), "--stage", "motion", "--size", "64"]
    pace = ["--batch", "3", "--total-steps", "4", "--device", "cpu", "--reserve-s", "1", "--minutes", "5"]
    return [*common, *pace, "--out", str(tiny / out), "--resume", str(tiny / resume), *more]


def test_two_slices_equal_one(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(options(tiny, "whole", "start")) == 0
    assert main(options(tiny, "first", "start", "--slice-steps", "2")) == 0
    half = read_parts(tiny / "first")
    assert half.progress.step == 2
    assert half.progress.exact
    assert main(options(tiny, "second", "first")) == 0
    whole, second = read_parts(tiny / "whole"), read_parts(tiny / "second")
    assert whole.progress.step == second.progress.step == 4
    assert set(whole.tensors) == set(second.tensors)
    for name, tensor in whole.tensors.items():
        assert torch.equal(tensor, second.tensors[name]), name
    assert not torch.equal(half.tensors["networks/motion.head.weight"], whole.tensors["networks/motion.head.weight"])
    assert (tiny / "second/slice.jsonl").read_text().count("\n") >= 1
    assert (tiny / "second/slice.grid.jpg").stat().st_size > 1000
    said = capsys.readouterr().out
    assert "unpacked pack-000.tar" in said
    assert "first step done" in said


def test_slice_on_a_bare_machine(tiny: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", BARE, *options(tiny, "bare", "start", "--slice-steps", "2")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert read_parts(tiny / "bare").progress.step == 2


def test_state_becomes_a_checkpoint_and_back(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import argparse

    parser = argparse.ArgumentParser()
    slice_command.add_arguments(parser)
    out = tiny / "x.safetensors"
    assert slice_command.run(parser.parse_args(["--export", str(tiny / "start"), "--out", str(out)])) == 0
    networks, notes = FaceCodecNetworks.load(out)
    assert notes == {"stage": "motion", "steps": "0"}
    for key, value in tiny_networks().state_dict().items():
        assert torch.equal(networks.state_dict()[key], value), key
    arguments = ["--import", str(out), "--out", str(tiny / "again"), "--stage", "generator"]
    assert slice_command.run(parser.parse_args(arguments)) == 0
    again = read_parts(tiny / "again")
    assert again.progress.stage == "generator"
    assert again.progress.architecture["name"] == "tiny"
    assert "MiB" in capsys.readouterr().out


def test_mistakes_are_one_line(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(options(tiny, "o", "start", "--minutes", "0.02", "--reserve-s", "0")) == 2
    assert "minutes: got 0.02, of which getting ready took" in capsys.readouterr().err
    assert main(options(tiny, "o", "nowhere")) == 2
    assert "state.json: not there" in capsys.readouterr().err
    next((tiny / "start").glob("*.part")).unlink()
    assert main(options(tiny, "o", "start")) == 2
    error = capsys.readouterr().err
    assert "part missing" in error
    assert error.count("\n") == 1


def test_command_is_listed() -> None:
    assert TRAIN_COMMANDS["slice"] == "training.commands.slice"
