"""Stage 4: encoder and generator against discriminators at several resolutions, at the frame's full size.

Two phases a step: the generator (its own losses, hinge, feature matching), then the discriminators on what it made.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from torch import Tensor, nn

from adasr_core.networks import FaceCodecNetworks
from training.frame_cache import FrameCache
from training.generator_stage import GeneratorStage, GeneratorStageConfig, cut
from training.losses import (
    DiscriminatorConfig,
    DiscriminatorHingeLoss,
    FeatureMatchingLoss,
    GeneratorHingeLoss,
    MultiScaleDiscriminator,
)
from training.pair_source import as_pictures
from training.rebuild_source import PatchConfig, RebuildBatch
from training.trainer.stage import LossTerm, Phase, PhaseLoss


@dataclass(frozen=True, kw_only=True, slots=True)
class AdversarialStageConfig:
    """What adversarial training weighs how much."""

    generator: GeneratorStageConfig = field(
        default_factory=lambda: GeneratorStageConfig(patches=PatchConfig(patch_px=512))
    )
    """Samples and losses beside the discriminators'; the paper's patches are whole frames of 512 pixels."""
    discriminator: DiscriminatorConfig = field(default_factory=lambda: DiscriminatorConfig(width=32, widest=256))
    """Size of the discriminators."""
    hinge: float = 0.01
    """Weight of the generator's hinge."""
    matching: float = 0.2
    """Weight of feature matching."""
    generator_rate: float = 0.25
    """Learning rate of the generator as a share of the discriminators'."""

    def __post_init__(self) -> None:
        """Raises ValueError when a weight is negative or the rate is not above 0."""
        for name in ("hinge", "matching"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected a weight of 0 or more")
        if not self.generator_rate > 0:
            raise ValueError(f"generator_rate: got {self.generator_rate}, expected above 0")


class AdversarialStage(GeneratorStage):
    """Fine-tunes encoder and generator. Best by the mean PSNR minus what the rebuild lacks in sharpness."""

    name = "adversarial"

    def __init__(
        self,
        networks: FaceCodecNetworks,
        cache: FrameCache,
        val: FrameCache,
        config: AdversarialStageConfig = AdversarialStageConfig(),
        stills: FrameCache | None = None,
    ) -> None:
        """As `GeneratorStage`."""
        super().__init__(networks, cache, val, config.generator, stills)
        self.adversarial = config
        self.extra["discriminator"] = MultiScaleDiscriminator(config.discriminator)
        self.hinge, self.matching = GeneratorHingeLoss(), FeatureMatchingLoss()
        self.judging = DiscriminatorHingeLoss()

    @property
    def discriminator(self) -> MultiScaleDiscriminator:
        """The discriminators."""
        return cast(MultiScaleDiscriminator, self.extra["discriminator"])

    def phases(self) -> tuple[Phase[RebuildBatch], ...]:
        """The generator, then the discriminators; both without momentum, as is usual for adversaries."""
        betas = (0.0, 0.99)
        return (
            Phase(
                name="generator",
                trained=self.trained(),
                loss=self.loss,
                rate=self.adversarial.generator_rate,
                betas=betas,
            ),
            Phase(name="discriminator", trained=(self.discriminator,), loss=self.judge, betas=betas),
        )

    def train_mode(self) -> None:
        """Discriminators go on estimating their spectral norms."""
        super().train_mode()
        self.extra.train()

    def compiled_parts(self) -> tuple[nn.Module, ...]:
        """Those of the generator's stage, and the discriminators."""
        return (*super().compiled_parts(), self.discriminator)

    def loss(self, batch: RebuildBatch, _: object) -> PhaseLoss:
        """Generator: its own terms, hinge and feature matching."""
        patches = self.rebuild_batch(batch)
        with self.autocast():
            fake, real = self.discriminator(patches.found), self.discriminator(patches.truth)
        terms = [
            *self.terms(patches),
            LossTerm("hinge", self.hinge(fake), self.adversarial.hinge),
            LossTerm("matching", self.matching(real, fake), self.adversarial.matching),
        ]
        return PhaseLoss(tuple(terms), made=patches.found.detach())

    def judge(self, batch: RebuildBatch, made: Tensor | None) -> PhaseLoss:
        """Discriminators: tell the truths from what the generator made in this step."""
        assert made is not None
        patch_px = self.config.patches.patch_px
        truths = as_pictures(batch.truths, self.device).permute(0, 2, 3, 1)
        inner = self.inner()
        truth = cut(truths, batch.origins, patch_px, 1).permute(0, 3, 1, 2)[..., inner, inner]
        with self.autocast():
            real, fake = self.discriminator(truth), self.discriminator(made)
        return PhaseLoss((LossTerm("judging", self.judging(real, fake)),))

    def validate(self, averaged: FaceCodecNetworks) -> dict[str, float]:
        """`validate_rebuild`; ``score`` takes 2 dB off for each unit of sharpness that is missing or too much."""
        figures = super().validate(averaged)
        return figures | {"score": figures["score"] - 2 * abs(1 - figures["sharpness"])}
