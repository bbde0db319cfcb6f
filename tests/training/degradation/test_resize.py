"""Resampling against torch's and OpenCV's."""

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional

from training.degradation import ResizeConfig, ResizeMethod
from training.degradation.canvas import Canvas
from training.degradation.draw import SampleRandom
from training.degradation.resize import draw_size, resampling_matrices, resize


def picture(size: int = 48) -> torch.Tensor:
    """Smooth enough that bicubic stays inside 0 to 1."""
    noise = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    return 0.2 + 0.6 * noise


@pytest.mark.parametrize("size", [16, 33, 47, 48, 70, 96])
@pytest.mark.parametrize("method", [ResizeMethod.BILINEAR, ResizeMethod.BICUBIC])
def test_interpolation_is_torchs(size: int, method: ResizeMethod) -> None:
    made = resize(Canvas.of(picture()), [size], [method]).pixels[..., :size, :size]
    expected = functional.interpolate(picture(), size=(size, size), mode=method.value, align_corners=False)
    torch.testing.assert_close(made, expected.clamp(0, 1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [16, 29, 47])
def test_shrinking_by_area_is_opencvs(size: int) -> None:
    made = resize(Canvas.of(picture()), [size], [ResizeMethod.AREA]).pixels[0, :, :size, :size]
    source = picture()[0].permute(1, 2, 0).numpy()
    expected = cv2.resize(source, (size, size), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(made.permute(1, 2, 0).numpy(), expected, atol=1e-5)


def test_enlarging_by_area_repeats_pixels() -> None:
    made = resize(Canvas.of(picture(16)), [48], [ResizeMethod.AREA]).pixels
    torch.testing.assert_close(made, functional.interpolate(picture(16), scale_factor=3.0, mode="nearest"))


def test_every_row_adds_to_one_and_rows_beyond_repeat_the_last() -> None:
    matrices = resampling_matrices([48, 40, 48], [31, 60, 48], list(ResizeMethod), 48, 64)
    torch.testing.assert_close(matrices.sum(-1), torch.ones(3, 64), atol=1e-5, rtol=0)
    assert torch.equal(matrices[0, 31:], matrices[0, 30:31].expand(33, 48))
    assert matrices[1, :, 40:].abs().max() == 0  # nothing beyond the picture is read


def test_area_keeps_the_mean() -> None:
    made = resize(Canvas.of(picture()), [24], [ResizeMethod.AREA]).pixels[..., :24, :24]
    torch.testing.assert_close(made.mean((2, 3)), picture().mean((2, 3)), atol=1e-5, rtol=0)


def test_pictures_of_a_batch_go_to_sizes_of_their_own() -> None:
    batch = torch.cat((picture(), picture().flip(-1)))
    sizes, methods = [20, 61], [ResizeMethod.BICUBIC, ResizeMethod.AREA]
    together = resize(Canvas.of(batch), sizes, methods)
    assert together.sizes == (20, 61)
    for i, (size, method) in enumerate(zip(sizes, methods, strict=True)):
        alone = resize(Canvas.of(batch[i : i + 1]), [size], [method]).pixels[..., :size, :size]
        torch.testing.assert_close(together.pixels[i : i + 1, :, :size, :size], alone, atol=1e-5, rtol=0)


def test_size_that_is_kept_copies_exactly() -> None:
    canvas = Canvas.of(picture())
    assert resize(canvas, [48], [ResizeMethod.BICUBIC]) is canvas
    mixed = resize(Canvas.of(picture().expand(2, -1, -1, -1)), [48, 20], [ResizeMethod.AREA, ResizeMethod.AREA])
    torch.testing.assert_close(mixed.pixels[:1], picture(), atol=1e-6, rtol=0)


def test_draws_keep_to_their_ranges_and_frequencies() -> None:
    config = ResizeConfig(weights=(0.2, 0.7, 0.1), factor=(0.25, 1.5))
    sizes = [draw_size(config, 512, SampleRandom(seed))[0] for seed in range(1000)]
    assert 128 <= min(sizes) < 180
    assert 680 < max(sizes) <= 768
    assert sum(s == 512 for s in sizes) / 1000 == pytest.approx(0.1, abs=0.03)
    assert sum(s < 512 for s in sizes) / 1000 == pytest.approx(0.7, abs=0.05)
    methods = [draw_size(config, 512, SampleRandom(seed))[1] for seed in range(300)]
    assert {methods.count(m) > 70 for m in ResizeMethod} == {True}


def test_bad_configurations_are_refused() -> None:
    with pytest.raises(ValueError, match="factor: got"):
        ResizeConfig(factor=(0.0, 1.5))
    with pytest.raises(ValueError, match="weights: got"):
        ResizeConfig(weights=(0, 0, 0))
