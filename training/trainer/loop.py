"""The training loop: steps, moving average, validation, checkpoints, exact resume."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from adasr_core.networks import CheckpointedNetworks
from training.run import RunConfig
from training.trainer.average import MovingAverage
from training.trainer.compiling import compile_or_say_why_not
from training.trainer.feeder import Feeder, share_of
from training.trainer.keeper import FileKeeper, Keeper
from training.trainer.launcher import Launcher
from training.trainer.ledger import Ledger
from training.trainer.report import Report, Reporter
from training.trainer.schedule import Budget, learning_rate
from training.trainer.stage import Phase, PhaseLoss, Stage
from training.trainer.state import (
    Progress,
    TrainingState,
    optimizer_tensors,
    plain_architecture,
    restore_optimizer,
)
from training.trainer.timetable import TimeTable

Batch = TypeVar("Batch")
Networks = TypeVar("Networks", bound=CheckpointedNetworks)


def make_optimizer(phase: Phase[Batch], config: RunConfig, device: torch.device) -> torch.optim.AdamW:
    """AdamW over a phase's parts; weight decay on matrices and kernels alone."""
    parameters = [p for module in phase.trained for p in module.parameters()]
    return torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": 1e-2},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=config.learning_rate * phase.rate,
        betas=phase.betas,
        fused=device.type == "cuda",
    )


class Trainer(Generic[Batch, Networks]):
    """Runs one stage from where it stands to its end, or to the end of a sitting."""

    def __init__(
        self,
        stage: Stage[Batch, Networks],
        launcher: Launcher,
        config: RunConfig,
        *,
        resume: TrainingState | None = None,
        keeper: Keeper | None = None,
        now: Callable[[], float] = time.monotonic,
        on_first_step: Callable[[], None] | None = None,
    ) -> None:
        """Set up on the launcher's device, from fresh moments or exactly from `resume`.

        `keeper` takes checkpoints and states; None: safetensors files at `config.out`. `now`: the clock, in
        seconds. `on_first_step` is called after the first step.

        Raises:
            ValueError: the state belongs to another run, or the batch does not divide among the processes.
        """
        self.stage, self.launcher, self.config, self.now = stage, launcher, config, now
        self._on_first_step = on_first_step
        self.keeper = FileKeeper(config.out) if keeper is None else keeper
        networks = stage.networks
        samples = share_of(config.batch, launcher.rank, launcher.world_size)
        if resume is not None:
            resume.check(
                stage=stage.name,
                architecture=networks.config,
                batch=config.batch,
                seed=config.seed,
                world_size=launcher.world_size,
            )
            networks.load_state_dict(resume.under("networks"))
            if resume.progress.exact:
                stage.extra.load_state_dict(resume.under("extra"))
        torch.manual_seed(config.seed)
        launcher.setup(networks)
        launcher.setup(stage.extra)
        stage.attach(launcher)
        self.phases = stage.phases()
        networks.requires_grad_(False)
        self.trained = [[p for m in phase.trained for p in m.parameters()] for phase in self.phases]
        for parameters in self.trained:
            for parameter in parameters:
                parameter.requires_grad_(True)
        own = {id(m) for m in networks.modules()}
        parts = tuple(m for phase in self.phases for m in phase.trained if id(m) in own)
        self.average = MovingAverage(networks, parts, config.ema)
        self.optimizers = [make_optimizer(phase, config, launcher.device) for phase in self.phases]
        self.step, self._first_step, self._reported_step = 0, 0, -1
        self.best: float | None = None
        self.budget = Budget(config, now)
        if resume is not None:
            self._restore(resume)
        # What rank 0's clock says, for all: seconds of the run and of this sitting, and whether a report is due.
        self._clock = (self.budget.spent_s, 0.0, False)
        self._mark, self._next_report_s = (now(), self.step), now() + config.report_s
        self.ledger = Ledger(stage.name, config.read_steps if launcher.device.type == "cuda" else 1)
        self.times = TimeTable(launcher.device)
        self.feeder = Feeder(stage.batch, config.seed, samples, workers=config.workers, first_step=self.step)
        self._statistics = [b for m in parts for b in m.buffers() if b.is_floating_point()]

    def run(self) -> Networks:
        """Train until time or steps are spent; returns the networks with averaged weights.

        Raises:
            FloatingPointError: a loss or gradient is not a number; names the term and the step.
        """
        launcher, config = self.launcher, self.config
        reporter = Reporter(config.out, tensorboard=config.tensorboard) if launcher.rank == 0 else None
        self.stage.train_mode()
        if config.compile:
            launcher.print(compile_or_say_why_not(self.stage, self.phases, self._probe_batch(), launcher))
        if self.step == 0:
            self._report(reporter)
        self._start_interval()
        while not self._over():
            self._step()
            if self._on_first_step is not None:
                self._on_first_step()
                self._on_first_step = None
            self._look_at_clock()
            if self._clock[2]:
                self._report(reporter)
                self._start_interval()
        if self._reported_step != self.step:
            self._report(reporter)
        self.feeder.close()
        if reporter is not None:
            reporter.close()
        launcher.barrier()
        return self.average.networks

    def _probe_batch(self) -> Batch:
        feeder = Feeder(self.stage.batch, self.config.seed, self.feeder.samples, first_step=self.step)
        return feeder.next()

    def _start_interval(self) -> None:
        """Start the time until the next report; what came before was work, however long it took."""
        self.budget.tick(working=True)
        self._mark, self._next_report_s = (self.now(), self.step), self.now() + self.config.report_s
        self._clock = (self._clock[0], self._clock[1], False)

    def _look_at_clock(self) -> None:
        """Let the time pass; several processes agree on it every few steps, as their learning rate hangs on it."""
        self.budget.tick()
        if self.launcher.world_size == 1 or self.step % self.config.read_steps == 0:
            due = self.now() >= self._next_report_s
            spent_s, sitting_s, report = self.launcher.from_first(
                [self.budget.spent_s, self.budget.sitting_s, float(due)]
            )
            self._clock = (spent_s, sitting_s, bool(report))

    def _progress(self) -> float:
        return self.budget.progress(self.step, self._clock[0])

    def _over(self) -> bool:
        done = self.step - self._first_step
        return self._progress() >= 1 or self.budget.sitting_over(done, self._clock[1])

    def _step(self) -> None:
        """One optimiser step of every phase."""
        times = self.times
        times.begin(self.step)
        with times.part("sampling"):
            batch = self.feeder.next()
        rate = learning_rate(self.config, self.step, self._progress())
        made: Tensor | None = None
        for phase, optimizer, parameters in zip(self.phases, self.optimizers, self.trained, strict=True):
            if len(self.phases) > 1:
                # The generator's loss runs through the discriminator but must not train it.
                for others in self.trained:
                    for parameter in others:
                        parameter.requires_grad_(others is parameters)
            for group in optimizer.param_groups:
                group["lr"] = rate * phase.rate
            with times.part("forward"):
                loss: PhaseLoss = phase.loss(batch, made)
                total = loss.total()
            optimizer.zero_grad(set_to_none=True)
            with times.part("backward"):
                self.launcher.backward(total)
                self.launcher.mean_gradients(parameters)
            with times.part("optimiser"):
                norm = nn.utils.clip_grad_norm_(parameters, self.config.clip_norm)
                self.ledger.enter(self.step, phase.name, loss, norm)
                optimizer.step()
            made = loss.made
        with times.part("optimiser"):
            self.launcher.mean_tensors(self._statistics)
            self.average.follow(self.step)
        self.step += 1

    def _report(self, reporter: Reporter | None) -> None:
        """Validate on rank 0, write scalars, checkpoint, best checkpoint and state."""
        self.ledger.read()
        started, at = self._mark
        samples_per_s = (self.step - at) * self.config.batch / max(self.now() - started, 1e-9)
        randoms = self._random_states()
        if reporter is not None:
            averaged, validation_started = self.average.networks, self.now()
            figures = self.stage.validate(averaged)
            rows = self.stage.pictures(averaged)
            self.stage.train_mode()
            self.budget.tick(working=True)
            progress = self.budget.progress(self.step, self.budget.spent_s)
            report = Report(
                stage=self.stage.name,
                step=self.step,
                samples=self.step * self.config.batch,
                seconds=self.budget.spent_s,
                eta_s=self.budget.eta_s(progress),
                samples_per_s=samples_per_s,
                learning_rate=learning_rate(self.config, self.step, progress),
                losses=dict(self.ledger.running),
                figures=figures,
                shares=self.times.shares(),
                validation_s=self.now() - validation_started,
            )
            self.launcher.print(report.to_line())
            reporter.write(report, rows)
            self._keep(figures[self.stage.best_by], averaged, randoms)
        self._reported_step = self.step
        self.launcher.barrier()

    def _keep(self, figure: float, averaged: Networks, randoms: dict[str, Tensor]) -> None:
        best = self.best is None or figure > self.best
        if best:
            self.best = figure
        notes = {"stage": self.stage.name, "steps": str(self.step), self.stage.best_by: f"{figure:.4f}"}
        self.keeper.checkpoint(averaged, notes, best=best)
        self.keeper.state(self.state(randoms))

    def _random_states(self) -> dict[str, Tensor]:
        """Torch's generators of every process."""
        kinds = {"cpu": torch.get_rng_state()}
        if self.launcher.device.type == "cuda":
            kinds["cuda"] = torch.cuda.get_rng_state(self.launcher.device)
        gathered = {kind: self.launcher.gather(state) for kind, state in kinds.items()}
        return {f"random/{kind}/{rank}": s for kind, states in gathered.items() for rank, s in enumerate(states)}

    def state(self, randoms: dict[str, Tensor] | None = None) -> TrainingState:
        """All that `resume` needs, copied to the CPU."""
        tensors = {f"networks/{k}": t for k, t in self.stage.networks.state_dict().items()}
        tensors |= {f"extra/{k}": t for k, t in self.stage.extra.state_dict().items()}
        tensors |= {f"average/{k}": t for k, t in self.average.tensors().items()}
        for phase, optimizer in zip(self.phases, self.optimizers, strict=True):
            tensors |= {f"optimizer/{phase.name}/{k}": t for k, t in optimizer_tensors(optimizer).items()}
        tensors |= self._random_states() if randoms is None else randoms
        progress = Progress(
            stage=self.stage.name,
            architecture=plain_architecture(self.stage.networks.config),
            step=self.step,
            spent_s=self.budget.spent_s,
            batch=self.config.batch,
            seed=self.config.seed,
            world_size=self.launcher.world_size,
            best=self.best,
        )
        # Copied, or training on would change a state that is kept.
        return TrainingState({k: t.detach().to("cpu", copy=True) for k, t in tensors.items()}, progress)

    def _restore(self, state: TrainingState) -> None:
        self.best = state.progress.best
        same_stage = state.progress.stage == self.stage.name
        if same_stage:
            self.step = self._first_step = state.progress.step
            self.budget = Budget(self.config, self.now, spent_s=state.progress.spent_s)
        if not state.progress.exact:
            self.best = self.best if same_stage else None
            return
        average = self.average.tensors()
        saved = state.under("average")
        if set(saved) != set(average):
            raise ValueError("training state: it trained other parts; give the stage's options that wrote it")
        for name, tensor in average.items():
            tensor.copy_(saved[name])
        for phase, optimizer in zip(self.phases, self.optimizers, strict=True):
            restore_optimizer(optimizer, state.under(f"optimizer/{phase.name}"))
        torch.set_rng_state(state.tensors[f"random/cpu/{self.launcher.rank}"])
        if self.launcher.device.type == "cuda":
            torch.cuda.set_rng_state(state.tensors[f"random/cuda/{self.launcher.rank}"], self.launcher.device)
