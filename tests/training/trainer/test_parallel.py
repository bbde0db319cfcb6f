"""Two processes on gloo train as one does with the same batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from adasr_core.networks import FaceCodecNetworks
from tests.training.trainer.parallel_run import train
from training.trainer.state import TrainingState

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    train(tmp_path / "one.safetensors")
    torch.set_num_threads(threads)
    script = Path(__file__).with_name("parallel_run.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    finished = subprocess.run(
        [*command, str(script), str(tmp_path / "two.safetensors")],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    one, two = (FaceCodecNetworks.load(tmp_path / f"{n}.safetensors")[0].state_dict() for n in ("one", "two"))
    start = FaceCodecNetworks.load(tmp_path / "one.best.safetensors")[1]
    assert start["stage"] == "generator"
    moved = 0.0
    for key, value in one.items():
        assert torch.allclose(two[key], value, atol=2e-5, rtol=1e-4), key
    first, second = (TrainingState.load(tmp_path / f"{n}.state.safetensors") for n in ("one", "two"))
    for key, tensor in first.under("networks").items():
        moved = max(moved, float((tensor - one[key]).abs().max())) if tensor.is_floating_point() else moved
    # The weights have moved by far more than the tolerance.
    assert moved > 1e-4
    assert first.progress.world_size == 1
    assert second.progress.world_size == 2
    assert "random/cpu/1" in second.tensors
    losses = [json.loads((tmp_path / f"{n}.jsonl").read_text().splitlines()[-1]) for n in ("one", "two")]
    assert losses[0]["samples"] == losses[1]["samples"] == 12
    assert losses[0]["psnr_db"] == pytest.approx(losses[1]["psnr_db"], abs=0.01)
