"""Convolution by Fourier transform, against OpenCV and on the ragged canvas."""

import math

import cv2
import numpy as np
import torch
from skimage import data

from training.degradation.blur import blur, convolve
from training.degradation.canvas import Canvas, canvas_side
from training.degradation.kernels import KernelKind, KernelShape, kernel
from training.degradation.resize import ResizeMethod, resize

SHAPES = [
    KernelShape(kind=KernelKind.GAUSSIAN, size_px=15, sigma_x_px=2.0, sigma_y_px=0.8, angle=0.5),
    KernelShape(kind=KernelKind.SINC, size_px=21, cutoff=math.pi / 3),
]


def picture(size: int) -> torch.Tensor:
    """A face, [3, size, size]."""
    cut = cv2.resize(data.astronaut()[:256, 96:352], (size, size), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(cut).permute(2, 0, 1).float() / 255


def test_each_picture_gets_its_own_kernel_as_opencv_filters_it() -> None:
    pictures = torch.stack((picture(50), picture(50).flip(-1)))
    kernels = torch.stack([kernel(s) for s in SHAPES])
    made = convolve(pictures, kernels)
    for found, source, weights in zip(made, pictures, kernels, strict=True):
        expected = cv2.filter2D(source.permute(1, 2, 0).numpy(), -1, weights.numpy(), borderType=cv2.BORDER_REPLICATE)
        np.testing.assert_allclose(found.permute(1, 2, 0).numpy(), expected, atol=1e-5)


def test_point_becomes_the_kernel() -> None:
    point = torch.zeros(1, 1, 41, 41)
    point[0, 0, 20, 20] = 1
    weights = kernel(SHAPES[0])
    torch.testing.assert_close(convolve(point, weights[None])[0, 0, 10:31, 10:31], weights, atol=1e-6, rtol=0)


def test_picture_without_a_kernel_stays_exactly() -> None:
    canvas = Canvas.of(torch.stack((picture(48), picture(48))))
    made = blur(canvas, [None, SHAPES[0]])
    assert torch.equal(made.pixels[0], canvas.pixels[0])
    assert not torch.equal(made.pixels[1], canvas.pixels[1])


def test_smaller_picture_on_a_larger_canvas_is_blurred_as_if_alone() -> None:
    both = resize(Canvas.of(torch.stack((picture(64), picture(64)))), [37, 64], [ResizeMethod.AREA] * 2)
    alone = resize(Canvas.of(picture(64)[None]), [37], [ResizeMethod.AREA])
    together, single = blur(both, SHAPES), blur(alone, SHAPES[:1])
    assert together.pixels.shape[-1] == 64
    assert single.pixels.shape[-1] == 48
    torch.testing.assert_close(together.pixels[0, :, :37, :37], single.pixels[0, :, :37, :37], atol=1e-5, rtol=0)


def test_canvas_repeats_the_last_rows_and_columns() -> None:
    canvas = Canvas.of(picture(37)[None])
    assert canvas.pixels.shape == (1, 3, 48, 48)
    assert torch.equal(canvas.pixels[0, :, :37, 37:], canvas.pixels[0, :, :37, 36:37].expand(3, 37, 11))
    assert torch.equal(canvas.pixels[0, :, 37:, :], canvas.pixels[0, :, 36:37, :].expand(3, 11, 48))
    assert [canvas_side((n,)) for n in (1, 16, 17)] == [16, 16, 32]
