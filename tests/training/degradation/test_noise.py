"""Noise has the variance, colour and seed it should."""

import pytest
import torch

from training.degradation import NoiseConfig
from training.degradation.canvas import Canvas
from training.degradation.draw import SampleRandom
from training.degradation.noise import LUMA, NoiseDraw, add_noise, draw_noise, noise_of


def flat(level: float, size: int = 128) -> torch.Tensor:
    return torch.full((3, size, size), level)


def draw(gaussian: bool, strength: float, grey: bool = False, seed: int = 0) -> NoiseDraw:
    return NoiseDraw(gaussian=gaussian, strength=strength, grey=grey, seed=seed)


def test_gaussian_noise_has_its_deviation_whatever_the_light() -> None:
    for level in (0.1, 0.8):
        made = noise_of(flat(level), draw(gaussian=True, strength=20 / 255))
        assert made.mean().item() == pytest.approx(0, abs=2e-3)
        assert made.std().item() == pytest.approx(20 / 255, rel=0.02)


@pytest.mark.parametrize("level", [0.05, 0.3, 0.9])
def test_poisson_noise_grows_with_the_root_of_the_light(level: float) -> None:
    made = noise_of(flat(level), draw(gaussian=False, strength=1.5))
    assert made.mean().item() == pytest.approx(0, abs=2e-3)
    assert made.var().item() == pytest.approx(1.5**2 * level / 256, rel=0.03)


def test_channels_of_colour_noise_are_independent_and_of_grey_noise_equal() -> None:
    for gaussian in (True, False):
        colour = noise_of(flat(0.5), draw(gaussian, 0.1))
        correlation = torch.corrcoef(colour.flatten(1))
        assert (correlation - torch.eye(3)).abs().max() < 0.03
        grey = noise_of(flat(0.5), draw(gaussian, 0.1, grey=True))
        assert grey.shape == (1, 128, 128)


def test_grey_poisson_noise_follows_the_luma() -> None:
    red = torch.stack((torch.ones(200, 200), torch.zeros(200, 200), torch.zeros(200, 200)))
    assert noise_of(red, draw(gaussian=False, strength=1.0, grey=True)).var().item() == pytest.approx(
        LUMA[0] / 256, rel=0.03
    )


def test_noise_hangs_on_the_seed_and_not_on_the_batch() -> None:
    one = Canvas.of(flat(0.5, 40)[None])
    two = Canvas.of(flat(0.5, 40).repeat(2, 1, 1, 1))
    first, second = draw(True, 0.1, seed=7), draw(False, 1.0, seed=8)
    together = add_noise(two, [first, second])
    assert torch.equal(together.pixels[:1], add_noise(one, [first]).pixels)
    assert torch.equal(together.pixels[1:], add_noise(one, [second]).pixels)
    assert not torch.equal(add_noise(one, [draw(True, 0.1, seed=9)]).pixels, together.pixels[:1])
    assert torch.equal(add_noise(two, [None, first]).pixels[0], two.pixels[0])
    assert add_noise(two, [None, None]) is two


def test_pixels_stay_in_range() -> None:
    made = add_noise(Canvas.of(flat(0.99, 32)[None]), [draw(True, 0.5)])
    assert made.pixels.min() >= 0
    assert made.pixels.max() == 1


def test_draws_keep_to_their_ranges_and_frequencies() -> None:
    config = NoiseConfig(probability=0.9, gaussian=0.3, sigma=(2, 10), scale=(0.1, 0.5), grey=0.4)
    drawn = [draw_noise(config, SampleRandom(seed)) for seed in range(1500)]
    made = [d for d in drawn if d is not None]
    assert len(made) / len(drawn) == pytest.approx(0.9, abs=0.03)
    gaussian = [d.strength for d in made if d.gaussian]
    assert len(gaussian) / len(made) == pytest.approx(0.3, abs=0.04)
    assert sum(d.grey for d in made) / len(made) == pytest.approx(0.4, abs=0.04)
    assert 2 / 255 <= min(gaussian) < 2.3 / 255
    assert 9.7 / 255 < max(gaussian) <= 10 / 255
    assert all(0.1 <= d.strength <= 0.5 for d in made if not d.gaussian)
    assert len({d.seed for d in made}) == len(made)


def test_bad_configurations_are_refused() -> None:
    with pytest.raises(ValueError, match="gaussian: got 2"):
        NoiseConfig(gaussian=2)
    with pytest.raises(ValueError, match="sigma: got"):
        NoiseConfig(sigma=(-1, 3))
