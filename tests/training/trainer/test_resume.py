"""A run that stops and goes on equals one that does not, bit by bit."""

import json
from pathlib import Path

import pytest
import torch

from adasr_core.networks import FaceCodecNetworks
from tests.training.portraits import TINY, tiny_generator, tiny_motion, tiny_networks
from training.run import RunConfig
from training.trainer.launcher import PlainLauncher
from training.trainer.loop import Trainer
from training.trainer.schedule import Budget, learning_rate
from training.trainer.state import Progress, TrainingState, is_state


class Clock:
    """Seconds that pass by themselves: `step_s` at every look."""

    def __init__(self, step_s: float) -> None:
        self.seconds, self.step_s = 0.0, step_s

    def __call__(self) -> float:
        self.seconds += self.step_s
        return self.seconds


def losses_of(trainer: Trainer[object, FaceCodecNetworks], record: list[float]) -> None:
    """Note the exact loss of every step of a trainer."""
    enter = trainer.ledger.enter

    def noted(step: int, phase: str, loss: object, norm: torch.Tensor) -> None:
        record.append(loss.total().item())  # type: ignore[attr-defined]
        enter(step, phase, loss, norm)  # type: ignore[arg-type]

    trainer.ledger.enter = noted  # type: ignore[method-assign, assignment]


def same(a: TrainingState, b: TrainingState) -> None:
    assert set(a.tensors) == set(b.tensors)
    for name, tensor in a.tensors.items():
        assert torch.equal(tensor, b.tensors[name]), name


@pytest.mark.parametrize("kind", ["motion", "generator"])
def test_stopped_run_equals_the_whole(kind: str, tmp_path: Path) -> None:
    def trainer(
        out: str, *, sitting: int | None = None, resume: TrainingState | None = None
    ) -> Trainer[object, FaceCodecNetworks]:
        networks = tiny_networks(seed=0 if resume is None else 99)
        stage = tiny_motion(networks) if kind == "motion" else tiny_generator(networks)
        config = RunConfig(
            minutes=None,
            steps=4,
            sitting_steps=sitting,
            batch=3 if kind == "motion" else 1,
            warmup_steps=2,
            report_s=1e9,
            out=tmp_path / out,
        )
        return Trainer(stage, PlainLauncher("cpu"), config, resume=resume)  # type: ignore[arg-type]

    whole: list[float] = []
    first: list[float] = []
    second: list[float] = []
    one = trainer("one.safetensors")
    losses_of(one, whole)
    one.run()
    begun = trainer("two.safetensors", sitting=2)
    losses_of(begun, first)
    begun.run()
    assert len(first) == 2
    path = tmp_path / "two.state.safetensors"
    assert is_state(path)
    assert not is_state(tmp_path / "two.safetensors")
    # Whatever ran in between must not matter.
    torch.manual_seed(12345)
    gone_on = trainer("two.safetensors", resume=TrainingState.load(path))
    losses_of(gone_on, second)
    gone_on.run()
    assert first + second == whole
    assert len(set(whole)) == 4
    same(gone_on.state(), one.state())
    again, notes = FaceCodecNetworks.load(tmp_path / "two.safetensors")
    assert notes["steps"] == "4"
    for key, value in one.average.networks.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key


def test_time_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """By the clock: progress and learning rate of the second sitting follow on those of the first."""

    def trainer(sitting: float | None, resume: TrainingState | None) -> Trainer[object, FaceCodecNetworks]:
        config = RunConfig(
            minutes=1, sitting_minutes=sitting, batch=2, warmup_steps=0, report_s=1e9, out=tmp_path / "t.safetensors"
        )
        stage = tiny_generator(tiny_networks())
        return Trainer(stage, PlainLauncher("cpu"), config, resume=resume, now=Clock(2.0))  # type: ignore[arg-type]

    first = trainer(0.4, None)
    first.run()
    state = TrainingState.load(tmp_path / "t.state.safetensors")
    assert 24 <= state.progress.spent_s < 40
    second = trainer(None, state)
    assert second.step == first.step > 0
    assert second.budget.spent_s == state.progress.spent_s
    assert learning_rate(second.config, second.step, second._progress()) < 0.7 * second.config.learning_rate
    second.run()
    assert second.step > first.step
    assert second.budget.spent_s >= 60
    lines = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert lines[-1]["eta_s"] == 0
    assert lines[-1]["samples"] == second.step * 2
    assert abs(sum(lines[-1]["time"].values()) - 1) < 0.01
    assert set(lines[-1]["time"]) == {"sampling", "forward", "backward", "optimiser"}


def test_pauses_do_not_count() -> None:
    times = iter([0.0, 5.0, 6.0, 1000.0, 1001.0, 1100.0])
    budget = Budget(RunConfig(minutes=1), lambda: next(times))
    for working in (False, False, False, False, True):
        budget.tick(working=working)
    # 5 + 1, a pause of 994, 1, and 99 of work.
    assert budget.spent_s == 5 + 1 + 1 + 99


def test_learning_rate_rises_and_falls() -> None:
    config = RunConfig(minutes=None, steps=100, warmup_steps=10, learning_rate=1.0)
    rates = [learning_rate(config, s, s / 100) for s in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(rates[9], rel=0.02)
    assert rates[50] == pytest.approx(0.5)
    assert rates[-1] == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"batch": 4}, "batch: got 4, expected 3"), ({"seed": 5}, "seed: got 5, expected 0")],
)
def test_state_of_another_run_is_refused(change: dict[str, int], message: str, tmp_path: Path) -> None:
    values: dict[str, object] = {"minutes": None, "steps": 2, "batch": 3, "out": tmp_path / "x.safetensors"}
    stage = tiny_generator(tiny_networks())
    state = Trainer(stage, PlainLauncher("cpu"), RunConfig(**values)).state()  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message):
        Trainer(
            tiny_generator(tiny_networks()),
            PlainLauncher("cpu"),
            RunConfig(**(values | change)),  # type: ignore[arg-type]
            resume=state,
        )


def test_state_of_another_stage_or_form_is_refused(tmp_path: Path) -> None:
    config = RunConfig(minutes=None, steps=2, batch=3, out=tmp_path / "x.safetensors")
    state = Trainer(tiny_generator(tiny_networks()), PlainLauncher("cpu"), config).state()
    with pytest.raises(ValueError, match="stage: got motion, expected generator"):
        Trainer(tiny_motion(tiny_networks()), PlainLauncher("cpu"), config, resume=state)
    with pytest.raises(ValueError, match="it trained other parts"):
        Trainer(tiny_generator(tiny_networks(), joint=True), PlainLauncher("cpu"), config, resume=state)
    with pytest.raises(ValueError, match="training state: got format 7"):
        Progress.from_json(json.dumps(json.loads(state.progress.to_json()) | {"format": 7}))
    tiny_networks().save(tmp_path / "checkpoint.safetensors")
    with pytest.raises(ValueError, match="holds no training state"):
        TrainingState.load(tmp_path / "checkpoint.safetensors")


def test_weights_only_keeps_the_frozen_detector_bit_by_bit(tmp_path: Path) -> None:
    config = RunConfig(minutes=None, steps=2, batch=2, out=tmp_path / "x.safetensors")
    networks = tiny_networks()
    detector = {k: v.clone() for k, v in networks.detector.state_dict().items()}
    trainer = Trainer(tiny_motion(networks, train_detector=False), PlainLauncher("cpu"), config)
    trainer.run()
    light = trainer.state().weights_only()
    made = light.networks()
    for key, value in made.detector.state_dict().items():
        assert torch.equal(value, detector[key]), key
    for key, value in trainer.average.networks.state_dict().items():
        torch.testing.assert_close(made.state_dict()[key], value, atol=5e-3, rtol=1e-3)
    assert light.tensors["networks/motion.head.weight"].dtype == torch.float16
    assert {name.partition("/")[0] for name in light.tensors} == {"networks"}
    again = Trainer(tiny_motion(tiny_networks(3), train_detector=False), PlainLauncher("cpu"), config, resume=light)
    assert again.step == 2
    assert made.config == TINY
