"""The whole chain: seeds, batches, order of damage, configuration."""

import cv2
import pytest
import torch
from skimage import data

from training.degradation import MILD_CHAIN, BlurConfig, ChainConfig, DegradationChain, NoiseConfig, ResizeConfig
from training.degradation.chain import StageConfig, draw_chain
from training.degradation.draw import SampleRandom, sample_seeds

CHAIN = DegradationChain()


def portraits(count: int, size: int = 96) -> torch.Tensor:
    cut = cv2.resize(data.astronaut()[:256, 96:352], (size, size), interpolation=cv2.INTER_AREA)
    one = torch.from_numpy(cut).permute(2, 0, 1).float() / 255
    return torch.stack([one.roll(5 * i, -1) for i in range(count)])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(-10 * torch.log10(((a - b) ** 2).mean()))


def test_form_range_and_damage() -> None:
    source = portraits(6)
    before = source.clone()
    made = CHAIN(source, seeded())
    assert made.shape == source.shape
    assert made.dtype == torch.float32
    assert made.min() >= 0
    assert made.max() <= 1
    assert torch.equal(source, before)
    quality = [psnr(a, b) for a, b in zip(made, source, strict=True)]
    assert all(8 < q < 35 for q in quality), quality
    assert max(quality) - min(quality) > 2  # every sample has parameters of its own


def test_same_seed_same_result_however_the_batch_is_cut() -> None:
    source = portraits(4)
    whole = CHAIN(source, seeded(3))
    assert torch.equal(whole, CHAIN(source, seeded(3)))
    assert not torch.equal(whole, CHAIN(source, seeded(4)))
    generator = seeded(3)
    parts = torch.cat([CHAIN(source[:1], generator), CHAIN(source[1:], generator)])
    assert torch.equal(whole, parts)


def test_canvas_of_all_samples_gives_what_each_gives_alone() -> None:
    """But for JPEG coefficients that rounding tips. Poisson's numbers on a CPU hang on the last bit of the picture."""
    noise = NoiseConfig(gaussian=1.0)
    chain = DegradationChain(ChainConfig(first=StageConfig(noise=noise), second=StageConfig(noise=noise)))
    source = portraits(6)
    draws = [draw_chain(chain.config, 96, seed) for seed in range(6)]
    together, alone = chain.apply_at_once(source, draws), chain.apply(source, draws)
    assert (together - alone).abs().mean() < 2e-3
    assert (together - alone).abs().amax((1, 2, 3)).min() < 1e-4


def test_chain_without_damage_is_shrinking_and_enlarging() -> None:
    still = StageConfig(
        blur=BlurConfig(probability=0),
        resize=ResizeConfig(weights=(0, 0, 1)),
        noise=NoiseConfig(probability=0),
        jpeg=(100, 100),
    )
    chain = DegradationChain(ChainConfig(first=still, second=still, final_sinc=0))
    source = portraits(4)
    made = chain(source, seeded())
    small = torch.nn.functional.interpolate(source, size=(48, 48), mode="area")
    expected = torch.nn.functional.interpolate(small, size=(96, 96), mode="bicubic").clamp(0, 1)
    assert all(psnr(a, b) > 27 for a, b in zip(made, expected, strict=True))
    assert psnr(made, expected) > psnr(made, source)


def test_small_picture_bounds_the_detail_that_is_left() -> None:
    """At 512 -> 256 nothing may be left above half the highest frequency."""
    noise = 0.5 + 0.2 * torch.randn(2, 3, 128, 128, generator=seeded()).clamp(-2, 2)
    made = CHAIN(noise, seeded(1))
    spectrum = torch.fft.fft2(made - made.mean((2, 3), keepdim=True)).abs().square()
    frequency = torch.fft.fftfreq(128).abs()
    high = (frequency[:, None] > 0.4) | (frequency[None] > 0.4)
    assert (spectrum * high).sum() / spectrum.sum() < 0.03


def test_mild_chain_hurts_less() -> None:
    source = portraits(12)
    mild = DegradationChain(MILD_CHAIN)(source, seeded(2))
    assert psnr(mild, source) > psnr(CHAIN(source, seeded(2)), source) + 2


def test_autocast_changes_nothing() -> None:
    source = portraits(2)
    with torch.autocast("cpu", torch.bfloat16):
        inside = CHAIN(source, seeded(5))
    assert torch.equal(inside, CHAIN(source, seeded(5)))


def test_draws_do_not_hang_on_the_generators_other_uses() -> None:
    assert sample_seeds(4, seeded(1)) == sample_seeds(4, seeded(1))
    generator = seeded(1)
    assert sample_seeds(4, seeded(1)) == sample_seeds(1, generator) + sample_seeds(3, generator)
    assert draw_chain(ChainConfig(), 512, 7) == draw_chain(ChainConfig(), 512, 7)
    draws = [draw_chain(ChainConfig(), 512, seed) for seed in range(400)]
    assert sum(d.jpeg_last for d in draws) / 400 == pytest.approx(0.5, abs=0.08)
    assert sum(d.final_sinc is not None for d in draws) / 400 == pytest.approx(0.8, abs=0.06)
    assert all(30 <= d.first.quality <= 95 for d in draws)
    assert max(d.second.size_px for d in draws) <= 308  # 1.2 of 256


def test_choices_follow_their_weights() -> None:
    rng = SampleRandom(0)
    chosen = [rng.choose("abc", (1, 0, 3)) for _ in range(1000)]
    assert chosen.count("b") == 0
    assert chosen.count("c") / 1000 == pytest.approx(0.75, abs=0.04)
    scaled = sorted(rng.log_uniform(0.1, 10) for _ in range(1001))
    assert scaled[500] == pytest.approx(1, rel=0.2)
    assert 0.1 <= scaled[0] < scaled[-1] < 10


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"pictures: got torch.uint8 \(1, 3, 64, 64\), expected float"):
        CHAIN(torch.zeros(1, 3, 64, 64, dtype=torch.uint8), seeded())
    with pytest.raises(ValueError, match=r"pictures: got torch.float32 \(1, 3, 64, 32\)"):
        CHAIN(torch.zeros(1, 3, 64, 32), seeded())
    with pytest.raises(ValueError, match=r"small: got 2\.0"):
        ChainConfig(small=2.0)
    with pytest.raises(ValueError, match="jpeg: got"):
        StageConfig(jpeg=(95, 30))


@pytest.mark.gpu
def test_chain_on_a_gpu_damages_as_on_a_cpu() -> None:
    """Without noise, whose numbers differ between devices, the pictures agree."""
    quiet = NoiseConfig(probability=0)
    chain = DegradationChain(ChainConfig(first=StageConfig(noise=quiet), second=StageConfig(noise=quiet)))
    source = portraits(4)
    there = chain(source.cuda(), seeded()).cpu()
    assert (there - chain(source, seeded())).abs().mean() < 2e-3
