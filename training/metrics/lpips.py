"""LPIPS, the learned perceptual distance (Zhang et al. 2018), by torchmetrics, on AlexNet's published weights."""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from training.metrics.weights import WeightsMissingError, find_weights

Image = npt.NDArray[np.uint8]

FILE_NAME = "alexnet-owt-7be5be79.pth"
"""AlexNet trained on ImageNet, as torchvision publishes it. The linear weights of LPIPS come with torchmetrics."""


class PerceptualDistance:
    """LPIPS (AlexNet) of picture pairs; 0 for equal ones.

    Args:
        weights: AlexNet's weight file; None looks in torch.hub's cache.

    Raises:
        WeightsMissingError: the weights or torchvision are not there.
        OSError: the given file does not exist.
        ValueError: the file is not the published one.
    """

    def __init__(self, weights: Path | None = None) -> None:
        path = find_weights("lpips", FILE_NAME, weights)
        try:
            importlib.import_module("torchvision")
        except (ImportError, RuntimeError) as error:
            # A torchvision that was built for another torch raises RuntimeError.
            raise WeightsMissingError(
                f"lpips: needs torchvision for this torch beside its weights ({error}); pip install torchvision"
            ) from error
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        # torchvision reads its weights from torch.hub's cache alone, so it is shown one that holds just this file.
        usual = torch.hub.get_dir()
        with tempfile.TemporaryDirectory() as folder:
            checkpoints = Path(folder) / "checkpoints"
            checkpoints.mkdir()
            (checkpoints / FILE_NAME).symlink_to(path.resolve())
            torch.hub.set_dir(folder)
            try:
                self._metric = LearnedPerceptualImagePatchSimilarity("alex", normalize=True)
            finally:
                torch.hub.set_dir(usual)

    @torch.no_grad()
    def __call__(self, source: Image, rebuilt: Image) -> float:
        """Distance of two pictures, uint8 [H, W, 3] RGB."""
        first, second = (torch.from_numpy(np.array(x)).permute(2, 0, 1)[None].float() / 255 for x in (rebuilt, source))
        return float(self._metric(first, second))
