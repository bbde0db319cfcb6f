"""Cross-quality training: what happens to a source picture before the networks see it; the target stays sharp.

    camera's damage (chain, or nothing) -> codec's damage (AVIF, or nothing) -> source picture

in the order of a real call. Source: AdaSR (arXiv 2403.15944) section 2.2, with the codec's own damage added.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from training.degradation.chain import ChainConfig, DegradationChain, draw_chain
from training.degradation.codec import CodecConfig, CodecDegradation, draw_codec
from training.degradation.draw import SampleRandom, check_pictures, check_probability, sample_seeds


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyFrameConfig:
    """How often each kind of damage happens, and how it is drawn."""

    chain: ChainConfig = field(default_factory=ChainConfig)
    chained: float = 0.25
    """Probability of the camera's damage."""
    codec: CodecConfig = field(default_factory=CodecConfig)
    coded: float = 0.75
    """Probability of the codec's damage."""

    def __post_init__(self) -> None:
        """Raises ValueError when a probability makes no sense."""
        check_probability("chained", self.chained)
        check_probability("coded", self.coded)


class KeyFrameDegradation:
    """Source pictures of cross-quality training, on whatever device they are."""

    def __init__(self, config: KeyFrameConfig = KeyFrameConfig()) -> None:
        """Build with `config`. Raises ValueError when it asks for AVIF and this machine cannot write it."""
        self.config = config
        self._chain, self._codec = DegradationChain(config.chain), None
        if config.coded > 0:
            self._codec = CodecDegradation(config.codec)

    @torch.no_grad()
    def __call__(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        """Degrade pictures [B, 3, S, S], RGB in [0, 1]: the same shape, float32. The argument is left as it is.

        `generator` (on the CPU) is advanced by one number a picture: the same generator state gives the same result,
        however the pictures are cut into batches, up to rounding.

        Raises:
            ValueError: pictures of another shape.
        """
        check_pictures(pictures)
        size = pictures.shape[-1]
        made = pictures.float().clone()
        draws = [SampleRandom(seed) for seed in sample_seeds(len(pictures), generator)]
        # Everything is drawn for every sample, so that one probability does not shift the other's choices.
        chained = [(d.chance(self.config.chained), draw_chain(self.config.chain, size, d.seed())) for d in draws]
        coded = [(d.chance(self.config.coded), draw_codec(self.config.codec, size, d.seed())) for d in draws]
        rows = [number for number, (chosen, _) in enumerate(chained) if chosen]
        if rows:
            made[rows] = self._chain.apply(made[rows], [chained[number][1] for number in rows])
        rows = [number for number, (chosen, _) in enumerate(coded) if chosen]
        if rows and self._codec is not None:
            made[rows] = self._codec.apply(made[rows], [coded[number][1] for number in rows])
        return made
