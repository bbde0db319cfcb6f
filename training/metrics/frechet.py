"""FID, the Fréchet inception distance (Heusel et al. 2017), by torchmetrics, on the published Inception v3."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from training.metrics.weights import WeightsMissingError, find_weights

Image = npt.NDArray[np.uint8]

FILE_NAME = "weights-inception-2015-12-05-6726825d.pth"
"""Inception v3 as FID's authors used it, converted by torch-fidelity."""


class FrechetDistance:
    """FID between all source frames and all rebuilt frames that were added; needs hundreds of frames to mean anything.

    Args:
        weights: Inception's weight file; None looks in torch.hub's cache.

    Raises:
        WeightsMissingError: the weights or torch-fidelity are not there.
        OSError: the given file does not exist.
        ValueError: the file is not the published one.
    """

    def __init__(self, weights: Path | None = None) -> None:
        path = find_weights("fid", FILE_NAME, weights)
        try:
            importlib.import_module("torch_fidelity")
        except (ImportError, RuntimeError) as error:
            raise WeightsMissingError(
                f"fid: needs torch-fidelity beside its weights ({error}); pip install torch-fidelity"
            ) from error
        from torchmetrics.image.fid import FrechetInceptionDistance

        self._metric = FrechetInceptionDistance(2048, feature_extractor_weights_path=str(path))
        self._frames = 0

    @torch.no_grad()
    def add(self, source: Image, rebuilt: Image) -> None:
        """Count a pair of pictures, uint8 [H, W, 3] RGB."""
        for picture, real in ((source, True), (rebuilt, False)):
            batch = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]
            self._metric.update(batch, real=real)
        self._frames += 1

    def value(self) -> float | None:
        """The distance over everything added so far; None with fewer than two frames."""
        return float(self._metric.compute()) if self._frames > 1 else None
