"""SSIM, MS-SSIM and SSIMULACRA2 of two pictures, by the libraries that define them.

All take uint8 [H, W, 3] RGB, source first.
"""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as PillowImage
from ssimulacra2 import compute_ssimulacra2  # type: ignore[import-untyped]
from torch import Tensor
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    structural_similarity_index_measure,
)

Image = npt.NDArray[np.uint8]

MIN_MS_SSIM_PX = 176
"""Shortest side that MS-SSIM takes: five scales of an 11 pixel window."""


def ssim(source: Image, rebuilt: Image) -> float:
    """Structural similarity, 1 for equal pictures: mean over the three colours.

    Wang et al. 2004: Gaussian window of 11 pixels with a deviation of 1.5, k1 = 0.01, k2 = 0.03 (torchmetrics).

    Raises:
        ValueError: the shapes differ or a picture is not uint8 [H, W, 3].
    """
    found = structural_similarity_index_measure(*_batches(source, rebuilt), data_range=1.0)
    # With other arguments than these torchmetrics returns a pair.
    assert isinstance(found, Tensor)
    return float(found)


def ms_ssim(source: Image, rebuilt: Image) -> float:
    """Structural similarity over five scales, 1 for equal pictures.

    Wang et al. 2003, weights 0.0448, 0.2856, 0.3001, 0.2363, 0.1333; a negative term counts as 0 (torchmetrics).

    Raises:
        ValueError: the shapes differ, a picture is not uint8 [H, W, 3], or a side is below `MIN_MS_SSIM_PX`.
    """
    batches = _batches(source, rebuilt)
    if min(source.shape[:2]) < MIN_MS_SSIM_PX:
        raise ValueError(f"picture: got {source.shape[:2]}, expected at least {MIN_MS_SSIM_PX} pixels for five scales")
    return float(multiscale_structural_similarity_index_measure(*batches, data_range=1.0, normalize="relu"))


def ssimulacra2(source: Image, rebuilt: Image) -> float:
    """SSIMULACRA2 by its Python package: 100 for equal pictures, 90 very high quality, 50 medium, below 0 the worst.

    Raises:
        ValueError: the shapes differ or a picture is not uint8 [H, W, 3].
    """
    _check(source, rebuilt)
    return float(compute_ssimulacra2(_as_file(source), _as_file(rebuilt)))


def _as_file(picture: Image) -> io.BytesIO:
    """An uncompressed picture file in memory: the package reads files only."""
    file = io.BytesIO()
    PillowImage.fromarray(picture).save(file, format="bmp")
    file.seek(0)
    return file


def _batches(source: Image, rebuilt: Image) -> tuple[Tensor, Tensor]:
    """Rebuilt and source as float32 [1, 3, H, W] in [0, 1]: torchmetrics takes the prediction first."""
    _check(source, rebuilt)
    first, second = (
        torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255 for picture in (rebuilt, source)
    )
    return first, second


def _check(source: Image, rebuilt: Image) -> None:
    for name, picture in (("source", source), ("rebuilt", rebuilt)):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise ValueError(f"{name}: got {picture.dtype} {picture.shape}, expected uint8 [H, W, 3] RGB")
    if source.shape != rebuilt.shape:
        raise ValueError(f"rebuilt: got shape {rebuilt.shape}, expected {source.shape} as the source has")
