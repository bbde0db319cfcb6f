"""The refiner's stage: what it draws, that it learns, that a run goes on exactly."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from adasr.cli import main
from adasr_core.networks import Refiner, RefinerConfig
from tests.training.drawn import SIDE, drawn_frames
from training.drawn_frames import DrawnFrames
from training.refiner_stage import RefinerStage, RefinerStageConfig
from training.run import RunConfig
from training.trainer.feeder import sample_generator
from training.trainer.launcher import PlainLauncher
from training.trainer.loop import Trainer

SMALL = RefinerConfig(frame_px=SIDE, width=8, deep_width=8, deep_blocks=1)


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> DrawnFrames:
    return drawn_frames(tmp_path_factory.mktemp("drawn"))


def stage_of(frames: DrawnFrames, **weights: float) -> RefinerStage:
    torch.manual_seed(2)
    config = RefinerStageConfig(patch_px=64, **{"structure": 0.0, **weights})
    return RefinerStage(Refiner(SMALL), frames, frames, config)


def test_it_learns_to_undo_softness(frames: DrawnFrames, tmp_path: Path) -> None:
    run = RunConfig(
        minutes=None, steps=60, batch=8, learning_rate=1e-2, warmup_steps=5, ema=0.9, device="cpu", report_s=1e9,
        precision="32-true", out=tmp_path / "r.safetensors",
    )  # fmt: skip
    Trainer(stage_of(frames), PlainLauncher("cpu", "32-true"), run).run()
    lines = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert lines[0]["psnr_db"] == pytest.approx(lines[0]["mixed_psnr_db"], abs=1e-3)
    assert lines[-1]["psnr_db"] > lines[-1]["mixed_psnr_db"] + 1
    assert lines[-1]["ssim"] > lines[-1]["mixed_ssim"]
    assert abs(1 - lines[-1]["sharpness"]) < abs(1 - lines[-1]["mixed_sharpness"])
    assert Refiner.load(tmp_path / "r.safetensors")[0].config == SMALL


def test_patches_lie_on_the_codecs_grid_and_agree(frames: DrawnFrames) -> None:
    batch = stage_of(frames).batch([sample_generator(0, 0, i) for i in range(24)])
    assert batch.earlier.shape == (24, 3, 64, 64)
    for number in range(24):
        truth = batch.truth[number].permute(1, 2, 0).numpy()
        # Squares of eight pixels, flipped or not: a patch off the grid would cut them.
        assert np.array_equal(truth[::8], truth[7::8])
        assert np.array_equal(truth[:, ::8], truth[:, 7::8])
        for drawn in (batch.earlier, batch.later):
            assert np.abs(drawn[number].permute(1, 2, 0).numpy().astype(int) - truth).mean() < 40
    assert 0 <= float(batch.weight.min()) < float(batch.weight.max()) <= 1


def test_share_of_anchors_own_frames(frames: DrawnFrames) -> None:
    for own, expected in ((0.0, 0), (1.0, 24)):
        batch = stage_of(frames, own=own).batch([sample_generator(1, 0, i) for i in range(24)])
        same = [torch.equal(a, b) for a, b in zip(batch.earlier, batch.later, strict=True)]
        assert sum(same) == expected


def test_command_goes_on_exactly_from_a_state(tmp_path: Path) -> None:
    for name in ("drawn-train", "drawn-val"):
        drawn_frames(tmp_path / name)
    shared = ["train", "refiner", "--drawn", str(tmp_path), "--patch", "64", "--batch", "2", "--device", "cpu"]
    shared += ["--no-tensorboard", "--width", "4", "--deep-width", "4", "--deep-blocks", "1", "--steps", "4"]
    shared += ["--precision", "32-true"]
    whole, half = tmp_path / "whole.safetensors", tmp_path / "half.safetensors"
    assert main([*shared, "--out", str(whole)]) == 0
    assert main([*shared, "--out", str(half), "--sitting-minutes", "1e-9"]) == 0
    assert Refiner.load(half)[1]["steps"] == "1"
    assert main([*shared, "--out", str(half), "--resume", str(half.with_suffix(".state.safetensors"))]) == 0
    assert Refiner.load(half)[1]["steps"] == "4"
    expected, found = Refiner.load(whole)[0].state_dict(), Refiner.load(half)[0].state_dict()
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name


@pytest.mark.parametrize(
    ("values", "message"), [({"patch_px": 100}, "patch_px"), ({"own": 1.5}, "own"), ({"sharpness": -1.0}, "sharpness")]
)
def test_settings_that_cannot_be(values: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RefinerStageConfig(**values)  # type: ignore[arg-type]


def test_command_says_where_frames_come_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", "refiner", "--drawn", str(tmp_path), "--out", str(tmp_path / "r.safetensors")]
    assert main(arguments) != 0
    assert "record them with adasr train drawn" in capsys.readouterr().err
