"""The loop's parts: batches by number, moving average, numbers that are none, reports."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.training.portraits import tiny_generator, tiny_networks
from training.run import RunConfig, pick_device
from training.trainer.average import MovingAverage
from training.trainer.feeder import Feeder, sample_generator, share_of
from training.trainer.launcher import PlainLauncher
from training.trainer.ledger import Ledger
from training.trainer.loop import Trainer
from training.trainer.report import picture_grid
from training.trainer.stage import LossTerm, PhaseLoss


def numbers(generators: Sequence[np.random.Generator]) -> list[float]:
    return [float(g.random()) for g in generators]


def test_batches_hang_on_seed_step_and_sample_alone() -> None:
    whole = Feeder(numbers, 7, range(4))
    batches = [whole.next() for _ in range(6)]
    assert len({x for b in batches for x in b}) == 24
    halves = [Feeder(numbers, 7, share_of(4, rank, 2)) for rank in (0, 1)]
    assert [halves[0].next() + halves[1].next() for _ in range(6)] == batches
    ahead = Feeder(numbers, 7, range(4), workers=3, first_step=2)
    assert [ahead.next() for _ in range(4)] == batches[2:]
    ahead.close()
    assert sample_generator(7, 0, 1).random() == batches[0][1]
    assert sample_generator(8, 0, 1).random() != batches[0][1]


def test_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(ValueError, match="batch: got 5, expected a multiple of the 2 processes"):
        share_of(5, 0, 2)


def test_moving_average_follows_the_weights() -> None:
    networks = tiny_networks()
    average = MovingAverage(networks, (networks.motion,), 0.998)
    before = average.networks.motion.prior_bias.clone()
    with torch.no_grad():
        for parameter in networks.parameters():
            parameter.add_(1.0)
    average.follow(10_000)
    after = average.networks.motion.prior_bias
    torch.testing.assert_close(after, before + 0.002)
    # Only what is trained follows.
    weight = average.networks.generator.leave.weight
    torch.testing.assert_close(weight, networks.generator.leave.weight - 1.0, atol=1e-5, rtol=0)
    average.follow(0)
    torch.testing.assert_close(average.networks.motion.prior_bias, before + 0.002 * 0.1 + 1.0 * 0.9, atol=1e-5, rtol=0)


def entry(**values: float) -> PhaseLoss:
    return PhaseLoss(tuple(LossTerm(name, torch.tensor(value)) for name, value in values.items()))


def test_loss_that_is_not_a_number_is_named_with_its_step() -> None:
    ledger = Ledger("motion", read_steps=3)
    ledger.enter(10, "motion", entry(photo=1.0, tied=2.0), torch.tensor(0.5))
    ledger.enter(11, "motion", entry(photo=1.0, tied=math.nan), torch.tensor(0.5))
    with pytest.raises(FloatingPointError, match=r"motion: tied is nan at step 11; lower --learning-rate"):
        ledger.enter(12, "motion", entry(photo=math.nan, tied=math.nan), torch.tensor(0.5))
    with pytest.raises(FloatingPointError, match="gradient of motion is inf at step 3"):
        Ledger("motion", read_steps=1).enter(3, "motion", entry(photo=1.0), torch.tensor(math.inf))


def test_running_means_start_at_the_first_value() -> None:
    ledger = Ledger("motion", read_steps=1)
    ledger.enter(0, "motion", entry(photo=1.0), torch.tensor(0.5))
    ledger.enter(1, "motion", entry(photo=2.0), torch.tensor(0.5))
    assert ledger.running["photo"] == pytest.approx(1.02)


def test_broken_weights_stop_a_run_before_anything_is_kept(tmp_path: Path) -> None:
    networks = tiny_networks()
    out = tmp_path / "x.safetensors"
    config = RunConfig(minutes=None, steps=3, batch=2, out=out)
    trainer = Trainer(tiny_generator(networks), PlainLauncher("cpu"), config)
    with torch.no_grad():
        networks.generator.enter.weight[0, 0, 0, 0] = math.nan
    with pytest.raises(FloatingPointError, match="generator: rebuild is nan at step 0"):
        trainer.run()
    kept = torch.cat([p.flatten() for p in trainer.average.networks.parameters()])
    assert torch.isfinite(kept).all()


def test_best_weights_are_kept_by_the_stages_figure(tmp_path: Path) -> None:
    out = tmp_path / "x.safetensors"
    stage = tiny_generator(tiny_networks())
    scores = iter([1.0, 3.0, 2.0, 0.5, 0.1])
    stage.validate = lambda averaged: {"score": next(scores)}  # type: ignore[method-assign]
    config = RunConfig(minutes=None, steps=3, batch=2, report_s=1e-9, out=out)
    Trainer(stage, PlainLauncher("cpu"), config).run()
    from adasr_core.networks import FaceCodecNetworks

    _, notes = FaceCodecNetworks.load(tmp_path / "x.best.safetensors")
    assert notes["score"] == "3.0000"
    assert notes["steps"] == "1"
    _, notes = FaceCodecNetworks.load(out)
    assert notes["steps"] == "3"
    assert (tmp_path / "x.grid.jpg").stat().st_size > 1000


def test_compiling_that_fails_is_said_and_training_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise RuntimeError("no compiler here\nat all")

    def refused(self: nn.Module, *_: object, **__: object) -> None:
        self._compiled_call_impl = failing

    monkeypatch.setattr(nn.Module, "compile", refused)
    stage = tiny_generator(tiny_networks())
    config = RunConfig(minutes=None, steps=2, batch=2, compile=True, out=tmp_path / "x.safetensors")
    trainer = Trainer(stage, PlainLauncher("cpu"), config)
    trainer.run()
    assert trainer.step == 2
    said = capsys.readouterr().out
    assert "torch.compile failed (RuntimeError: no compiler here); training goes on uncompiled" in said


def test_device_that_is_not_there_is_named() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ValueError, match="torch sees no GPU"):
        pick_device("cuda")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"minutes": None}, "minutes: got None, expected a budget"),
        ({"batch": 0}, "batch: got 0, expected above 0"),
        ({"precision": "16"}, "precision: got '16'"),
        ({"ema": 1.0}, "ema: got 1.0"),
    ],
)
def test_run_is_checked(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RunConfig(**change)  # type: ignore[arg-type]


def test_picture_grid() -> None:
    black, white = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    grid = picture_grid([[black, white], [white, black]])
    assert grid is not None
    assert grid.shape == (8, 8, 3)
    assert grid[0, 5, 0] == grid[5, 0, 0] == 255
    assert grid[0, 0, 0] == grid[5, 5, 0] == 0
    assert picture_grid([]) is None
