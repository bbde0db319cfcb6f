"""SSIM, MS-SSIM and SSIMULACRA2 against independent definitions and known cases."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from skimage import data
from skimage.metrics import structural_similarity

from training.metrics import ms_ssim, ssim, ssimulacra2
from training.metrics.similarity import Image


@pytest.fixture(scope="module")
def portrait() -> Image:
    return np.ascontiguousarray(data.astronaut()[:256, 96:352])


def blurred(picture: Image, sigma: float) -> Image:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.uint8)


@pytest.mark.parametrize(("metric", "best"), [(ssim, 1.0), (ms_ssim, 1.0), (ssimulacra2, 100.0)])
def test_equal_pictures_score_best_and_worse_ones_less(
    portrait: Image, metric: Callable[[Image, Image], float], best: float
) -> None:
    slightly, strongly = (metric(portrait, blurred(portrait, sigma)) for sigma in (0.8, 3.0))
    assert metric(portrait, portrait) == pytest.approx(best, abs=1e-4)
    assert best > slightly > strongly


def test_ssim_is_that_of_scikit_image(portrait: Image) -> None:
    worse = blurred(portrait, 1.5)
    expected = structural_similarity(
        portrait, worse, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    # scikit-image leaves the border out, torchmetrics mirrors it.
    assert ssim(portrait, worse) == pytest.approx(expected, abs=5e-3)


def test_ssim_of_flat_pictures_is_its_luminance_term() -> None:
    # Without structure only (2 a b + c1) / (a^2 + b^2 + c1) is left, with c1 = (0.01 * 255)^2.
    dark, light = np.full((64, 64, 3), 50, np.uint8), np.full((64, 64, 3), 100, np.uint8)
    c1 = 2.55**2
    assert ssim(dark, light) == pytest.approx((2 * 50 * 100 + c1) / (50**2 + 100**2 + c1), abs=1e-4)


def test_ssimulacra2_reads_the_pictures_in_their_order(portrait: Image) -> None:
    # Detail that is lost and artefacts that are added weigh differently, so the two directions differ.
    worse = blurred(portrait, 2.0)
    assert ssimulacra2(portrait, worse) != pytest.approx(ssimulacra2(worse, portrait), abs=0.1)


def test_wrong_pictures_are_refused(portrait: Image) -> None:
    with pytest.raises(ValueError, match=r"rebuilt: got shape \(128, 256, 3\), expected \(256, 256, 3\)"):
        ssim(portrait, portrait[:128])
    with pytest.raises(ValueError, match="source: got float64"):
        ssimulacra2(portrait / 255, portrait)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected at least 176 pixels"):
        ms_ssim(portrait[:100], portrait[:100])
