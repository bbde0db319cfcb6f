"""The ablation of AdaSR's two claims: the adaptive encoder and cross-quality training (arXiv 2403.15944, section 2.2).

Every variant trains a fresh encoder and generator by the generator stage, on the same frozen detector and motion
field, with the same convolutions at the start, the same pairs in the same order and the same number of steps:

    variant                      encoder, generator    key frame in training
    full                         no batch norm         worsened, target sharp
    without_adaptive_encoder     batch norm            as it is
    without_cross_quality        no batch norm         as it is
    with_batch_norm              batch norm            worsened, target sharp

The paper's adaptive encoder is both things at once, an encoder without batch norm that learns to restore what the
source lost; its baseline has neither, which is `without_adaptive_encoder`. The other two take away one thing each.

The generator stage's losses alone paint soft whatever they are unsure of. `AblationConfig.adversarial_steps` goes on
against discriminators (section 2.4), again equally long and on the same samples for every variant.

A variant stops at its number of steps or at the end of a sitting, and goes on from its state when it is run again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from adasr_core.networks import FaceCodecNetworks
from training.ablation_networks import batch_norms, fresh_painter, with_batch_norm
from training.ablation_scores import SCORED, RebuildScore, score_variant
from training.adversarial_stage import AdversarialStage, AdversarialStageConfig
from training.frame_cache import FrameCache
from training.generator_stage import GeneratorStage, GeneratorStageConfig
from training.rebuild_source import PatchConfig
from training.run import RunConfig
from training.trainer.launcher import PlainLauncher
from training.trainer.loop import Trainer
from training.trainer.state import TrainingState


@dataclass(frozen=True, slots=True)
class Variant:
    """One row of the ablation. batch_norm: in encoder and generator. cross_quality: key frames are worsened."""

    title: str
    batch_norm: bool
    cross_quality: bool

    def networks(self, checkpoint: FaceCodecNetworks, seed: int) -> FaceCodecNetworks:
        """Networks to start from: detector and motion field of `checkpoint`, fresh encoder and generator."""
        fresh = fresh_painter(checkpoint, seed)
        return with_batch_norm(fresh) if self.batch_norm else fresh

    def patches(self) -> PatchConfig:
        """Samples of the generator stage."""
        return PatchConfig() if self.cross_quality else PatchConfig(shrunk=0.0, compressed=0.0, chain=0.0)


VARIANTS = {
    "full": Variant("full method", batch_norm=False, cross_quality=True),
    "without_adaptive_encoder": Variant("without the adaptive encoder", batch_norm=True, cross_quality=False),
    "without_cross_quality": Variant("without cross-quality training", batch_norm=False, cross_quality=False),
    "with_batch_norm": Variant("with batch norm, cross-quality training", batch_norm=True, cross_quality=True),
}
"""The ablation's rows by name."""

DEFAULT_VARIANTS = ("full", "without_adaptive_encoder", "without_cross_quality")


@dataclass(frozen=True, kw_only=True, slots=True)
class AblationConfig:
    """What is run, for how long, and where it goes."""

    out: Path
    """Folder for checkpoints, states, ``table.md`` and ``ablation.json``."""
    variants: tuple[str, ...] = DEFAULT_VARIANTS
    """Names out of `VARIANTS`."""
    run: RunConfig = field(default_factory=RunConfig)
    """Length and pace of each variant; its steps must be set, its `out` is replaced."""
    adversarial_steps: int = 0
    """Steps against discriminators after those; 0 leaves them out."""
    sharpness: float = 0.0
    """Weight of local sharpness that differs (`SharpnessLoss`) in those. A fresh generator would learn to leave the
    warped key frame as it is: nothing else is as sharp yet."""
    val_stride: int = 3
    """Every so many frames of the validation cache is scored."""

    def __post_init__(self) -> None:
        """Raises ValueError for an unknown variant, or a run without a number of steps."""
        for name in self.variants:
            if name not in VARIANTS:
                raise ValueError(f"variant: got {name!r}, expected one of {', '.join(VARIANTS)}")
        if self.run.steps is None:
            raise ValueError("steps: got none, expected a number: variants compare at equal steps only")
        if not self.sharpness >= 0:
            raise ValueError(f"sharpness: got {self.sharpness}, expected a weight of 0 or more")
        if self.adversarial_steps < 0:
            raise ValueError(f"adversarial_steps: got {self.adversarial_steps}, expected 0 or more")
        if self.val_stride < 1:
            raise ValueError(f"val_stride: got {self.val_stride}, expected at least 1")

    def checkpoint(self, name: str) -> Path:
        """Averaged weights of a variant."""
        return self.out / f"{name}.safetensors"

    def state(self, name: str) -> Path:
        """State from which a variant goes on."""
        return self.out / f"{name}.state.safetensors"

    @property
    def total_steps(self) -> int:
        """Steps that a finished variant has behind it."""
        assert self.run.steps is not None
        return self.run.steps + self.adversarial_steps


class AblationStage(GeneratorStage):
    """The generator stage of one variant. Batch norms, where it has any, learn from the batch."""

    def __init__(
        self, name: str, networks: FaceCodecNetworks, cache: FrameCache, val: FrameCache, config: GeneratorStageConfig
    ) -> None:
        """Name of the variant, its networks, and data at the frame's own size."""
        super().__init__(networks, cache, val, config)
        self.name = f"ablation_{name}"

    def train_mode(self) -> None:
        """Batch norms of encoder and generator train; the detector's stay as they are."""
        super().train_mode()
        for norm in batch_norms(self.networks):
            norm.train()


class AdversarialAblationStage(AdversarialStage):
    """The adversarial stage of one variant."""

    def __init__(
        self, name: str, networks: FaceCodecNetworks, cache: FrameCache, val: FrameCache, config: GeneratorStageConfig
    ) -> None:
        """As `AblationStage`; on patches, which a CPU affords."""
        super().__init__(networks, cache, val, AdversarialStageConfig(generator=config))
        self.name = f"ablation_adversarial_{name}"

    def train_mode(self) -> None:
        """Batch norms of encoder and generator train on."""
        super().train_mode()
        for norm in batch_norms(self.networks):
            norm.train()


def train_variant(
    name: str, start: FaceCodecNetworks, cache: FrameCache, val: FrameCache, config: AblationConfig
) -> tuple[FaceCodecNetworks, int]:
    """Train one variant to its steps, or to the end of the sitting, from its state if there is one.

    Returns:
        Networks with averaged weights, and the steps they have behind them, those against discriminators included.

    Raises:
        ValueError: a state is there, but of another run.
    """
    variant = VARIANTS[name]
    generator = GeneratorStageConfig(patches=variant.patches())
    stage = AblationStage(name, variant.networks(start, config.run.seed), cache, val, generator)
    networks, steps = _train(stage, name, config, config.run)
    if not config.adversarial_steps or steps < (config.run.steps or 0):
        return networks, steps
    generator = replace(generator, sharpness=config.sharpness)
    sharpened = AdversarialAblationStage(name, networks, cache, val, generator)
    run = replace(config.run, steps=config.adversarial_steps)
    networks, more = _train(sharpened, f"{name}.adversarial", config, run)
    return networks, steps + more


def _train(stage: GeneratorStage, name: str, config: AblationConfig, run: RunConfig) -> tuple[FaceCodecNetworks, int]:
    """One stage of a variant: averaged weights, and the steps that it has done."""
    path = config.state(name)
    resume = TrainingState.load(path) if path.is_file() else None
    trainer = Trainer(
        stage,
        PlainLauncher(run.device, run.precision),
        replace(run, out=config.checkpoint(name)),
        resume=resume,
    )
    return trainer.run(), trainer.step


@dataclass(frozen=True, slots=True)
class VariantResult:
    """A scored variant. steps: done. scores: by `SCORED`, and "mean"."""

    name: str
    steps: int
    scores: dict[str, RebuildScore]
    networks: FaceCodecNetworks


def run_ablation(
    start: FaceCodecNetworks, cache: FrameCache, val: FrameCache, config: AblationConfig
) -> list[VariantResult]:
    """Train and score the variants one after the other.

    Variants that a sitting left unfinished are scored where they stand; the table names their steps.

    Raises:
        ValueError: a variant's state belongs to another run.
        OSError: the folder cannot be written.
    """
    config.out.mkdir(parents=True, exist_ok=True)
    results = []
    for name in config.variants:
        networks, steps = train_variant(name, start, cache, val, config)
        scores = score_variant(networks, val, config.val_stride)
        results.append(VariantResult(name, steps, scores, networks))
        write_results(results, config)
    return results


def write_results(results: Sequence[VariantResult], config: AblationConfig) -> None:
    """Write ``ablation.json`` and ``table.md`` into the folder; every variant that is there so far."""
    run = config.run
    report = {
        "steps": run.steps,
        "sharpness": config.sharpness,
        "adversarial_steps": config.adversarial_steps,
        "batch": run.batch,
        "learning_rate": run.learning_rate,
        "seed": run.seed,
        "val_stride": config.val_stride,
        "variants": {
            result.name: {
                "title": VARIANTS[result.name].title,
                "batch_norm": VARIANTS[result.name].batch_norm,
                "cross_quality": VARIANTS[result.name].cross_quality,
                "steps": result.steps,
                "scores": {kind: score.to_json() for kind, score in result.scores.items()},
            }
            for result in results
        },
    }
    (config.out / "ablation.json").write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    (config.out / "table.md").write_text(markdown_table(results), encoding="utf-8")


_HEADINGS = ("PSNR dB", "face PSNR dB", "SSIM", "SSIMULACRA2", "sharpness", "sharpness error")


def _cells(score: RebuildScore) -> tuple[str, ...]:
    return (
        f"{score.psnr_db:.2f}",
        f"{score.face_psnr_db:.2f}",
        f"{score.ssim:.4f}",
        f"{score.ssimulacra2:.2f}",
        f"{score.sharpness:.3f}",
        f"{score.sharpness_error:.3f}",
    )


def markdown_table(results: Sequence[VariantResult]) -> str:
    """One row for each variant and kind of key frame, the means last."""
    lines = [f"| key frame | variant | steps | {' | '.join(_HEADINGS)} |", "|---|---|--:|--:|--:|--:|--:|--:|--:|"]
    for kind in (*SCORED, "mean"):
        for result in results:
            cells = " | ".join(_cells(result.scores[kind]))
            lines.append(f"| {kind} | {VARIANTS[result.name].title} | {result.steps} | {cells} |")
    return "\n".join(lines) + "\n"


def print_results(results: Sequence[VariantResult]) -> None:
    """Print the table."""
    table = Table(title="Rebuilt validation clips, first frame as key frame, as it arrives", title_justify="left")
    for heading in ("key frame", "variant"):
        table.add_column(heading)
    for heading in ("steps", *_HEADINGS):
        table.add_column(heading, justify="right")
    for kind in (*SCORED, "mean"):
        for result in results:
            cells = _cells(result.scores[kind])
            table.add_row(kind, VARIANTS[result.name].title, str(result.steps), *cells)
        table.add_section()
    Console(highlight=False, width=140).print(table)
