"""Real-ESRGAN's two-stage degradation chain, as AdaSR uses it on the source picture.

    512 px -> blur -> resize -> noise -> JPEG                          first stage
           -> blur -> resize -> noise -> [JPEG] resize to 256, sinc [JPEG]   second stage, JPEG before or after
           -> 8 bits -> 512 px

Every sample draws its own parameters; the whole batch runs at once (`canvas`). Source: Real-ESRGAN (arXiv 2107.10833)
section 3.3 and its published settings; AdaSR (arXiv 2403.15944) section 2.2.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from training.degradation.blur import blur
from training.degradation.canvas import Canvas
from training.degradation.draw import SampleRandom, check_pictures, check_probability, check_range, sample_seeds
from training.degradation.jpeg import jpeg
from training.degradation.kernels import BlurConfig, KernelShape, draw_kernel, draw_sinc
from training.degradation.noise import NoiseConfig, NoiseDraw, add_noise, draw_noise
from training.degradation.resize import METHODS, ResizeConfig, ResizeMethod, draw_size, resize


@dataclass(frozen=True, kw_only=True, slots=True)
class StageConfig:
    """One stage: blur, resize, noise, JPEG. Defaults: Real-ESRGAN's first."""

    blur: BlurConfig = field(default_factory=BlurConfig)
    resize: ResizeConfig = field(default_factory=ResizeConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    jpeg: tuple[int, int] = (30, 95)
    """Lowest and highest quality."""

    def __post_init__(self) -> None:
        """Raises ValueError when the qualities make no sense."""
        check_range("jpeg", self.jpeg, 1, 100)


SECOND_STAGE = StageConfig(
    blur=BlurConfig(probability=0.8, sigma_px=(0.2, 1.5)),
    resize=ResizeConfig(weights=(0.3, 0.4, 0.3), factor=(0.3, 1.2)),
    noise=NoiseConfig(sigma=(1.0, 25.0), scale=(0.05, 2.5)),
)
"""Real-ESRGAN's second stage; its sizes are factors of the final small size."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChainConfig:
    """The whole chain. Defaults: Real-ESRGAN's published settings at a factor of two."""

    first: StageConfig = field(default_factory=StageConfig)
    second: StageConfig = field(default=SECOND_STAGE)
    final_sinc: float = 0.8
    """Probability of the sinc filter at the end."""
    small: float = 0.5
    """The small size that the chain ends at, as a share of the picture: 512 -> 256."""
    enlarge: ResizeMethod = ResizeMethod.BICUBIC
    """How the small picture gets back to its size."""

    def __post_init__(self) -> None:
        """Raises ValueError when a probability or the size makes no sense."""
        check_probability("final_sinc", self.final_sinc)
        if not 0.05 <= self.small <= 1:
            raise ValueError(f"small: got {self.small}, expected 0.05 to 1")


MILD_CHAIN = ChainConfig(
    first=StageConfig(
        blur=BlurConfig(probability=0.6, sinc=0.05, sigma_px=(0.2, 1.5)),
        resize=ResizeConfig(factor=(0.5, 1.2)),
        noise=NoiseConfig(sigma=(0.5, 8.0), scale=(0.05, 0.8)),
        jpeg=(60, 95),
    ),
    second=StageConfig(
        blur=BlurConfig(probability=0.4, sinc=0.05, sigma_px=(0.2, 1.0)),
        resize=ResizeConfig(weights=(0.3, 0.4, 0.3), factor=(0.7, 1.2)),
        noise=NoiseConfig(probability=0.5, sigma=(0.5, 5.0), scale=(0.05, 0.5)),
        jpeg=(60, 95),
    ),
    final_sinc=0.3,
)
"""What a webcam and one careless resize leave: half the noise deviations and blurs of the published chain or less."""


@dataclass(frozen=True, slots=True)
class StageDraw:
    """Parameters of one sample in one stage."""

    kernel: KernelShape | None
    size_px: int
    method: ResizeMethod
    noise: NoiseDraw | None
    quality: int


@dataclass(frozen=True, slots=True)
class ChainDraw:
    """Parameters of one sample."""

    first: StageDraw
    second: StageDraw
    final_method: ResizeMethod
    final_sinc: KernelShape | None
    jpeg_last: bool


def draw_chain(config: ChainConfig, size_px: int, seed: int) -> ChainDraw:
    """The parameters of the sample with this seed."""
    rng = SampleRandom(seed)
    first = _draw_stage(config.first, size_px, rng)
    second = _draw_stage(config.second, _small_px(config, size_px), rng)
    low, high = config.second.blur.size_px
    sinc_size = rng.choose([n for n in range(low, high + 1) if n % 2])
    sinc = draw_sinc(sinc_size, rng) if rng.chance(config.final_sinc) else None
    return ChainDraw(first, second, rng.choose(METHODS), sinc, rng.chance(0.5))


class DegradationChain:
    """The chain on batches of pictures, on whatever device they are."""

    def __init__(self, config: ChainConfig = ChainConfig()) -> None:
        """Build with `config`."""
        self.config = config

    @torch.no_grad()
    def __call__(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        """Degrade pictures [B, 3, S, S], RGB in [0, 1]: the same shape, float32.

        `generator` (on the CPU) is advanced by one number a picture: the same generator state gives the same result,
        however the pictures are cut into batches, up to rounding.

        Raises:
            ValueError: pictures of another shape.
        """
        check_pictures(pictures)
        return self.apply(
            pictures,
            [draw_chain(self.config, pictures.shape[-1], seed) for seed in sample_seeds(len(pictures), generator)],
        )

    @torch.no_grad()
    def apply(self, pictures: Tensor, draws: list[ChainDraw]) -> Tensor:
        """Degrade pictures [B, 3, S, S] by these parameters, one for each.

        On a CPU one after the other: a canvas that is as large as the largest costs more there than a batch gains.
        """
        if pictures.device.type == "cpu":
            return torch.cat([self.apply_at_once(pictures[i : i + 1], [draw]) for i, draw in enumerate(draws)])
        return self.apply_at_once(pictures, draws)

    @torch.no_grad()
    def apply_at_once(self, pictures: Tensor, draws: list[ChainDraw]) -> Tensor:
        """`apply`, all pictures on one canvas."""
        size = pictures.shape[-1]
        small = _small_px(self.config, size)
        with torch.autocast(pictures.device.type, enabled=False):
            canvas = Canvas.of(pictures.float())
            first, second = [d.first for d in draws], [d.second for d in draws]
            canvas = jpeg(_blur_resize_noise(canvas, first), [s.quality for s in first])
            canvas = _blur_resize_noise(canvas, second)
            canvas = jpeg(canvas, [None if d.jpeg_last else d.second.quality for d in draws])
            canvas = resize(canvas, [small] * len(draws), [d.final_method for d in draws])
            canvas = blur(canvas, [d.final_sinc for d in draws])
            canvas = jpeg(canvas, [d.second.quality if d.jpeg_last else None for d in draws])
            stored = canvas.with_pixels((canvas.pixels * 255).round() / 255)
            enlarged = resize(stored, [size] * len(draws), [self.config.enlarge] * len(draws))
            return enlarged.pixels[..., :size, :size]


def _small_px(config: ChainConfig, size_px: int) -> int:
    return max(16, round(size_px * config.small))


def _draw_stage(config: StageConfig, base_px: int, rng: SampleRandom) -> StageDraw:
    shape = draw_kernel(config.blur, rng)
    size, method = draw_size(config.resize, base_px, rng)
    noise = draw_noise(config.noise, rng)
    low, high = config.jpeg
    return StageDraw(shape, size, method, noise, rng.choose(range(low, high + 1)))


def _blur_resize_noise(canvas: Canvas, draws: list[StageDraw]) -> Canvas:
    canvas = blur(canvas, [d.kernel for d in draws])
    canvas = resize(canvas, [d.size_px for d in draws], [d.method for d in draws])
    return add_noise(canvas, [d.noise for d in draws])
