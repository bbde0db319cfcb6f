"""Perceptual loss: pictures that look alike have alike features."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional

from training.losses.vgg import Vgg19Features, load_vgg19

LAYER_WEIGHTS = {"conv1_2": 0.1, "conv2_2": 0.1, "conv3_4": 1.0, "conv4_4": 1.0, "conv5_4": 1.0}
"""Weight of each layer: the last convolution of every block, as Real-ESRGAN (arXiv 2107.10833) weighs them."""


class PerceptualLoss(nn.Module):
    """L1 of features before activation, over layers and scales.

        L = sum_s sum_l w_l mean |F_l(x_s) - F_l(y_s)|

    Before the ReLU features are dense and keep their sign; after it most of the deep ones are zero (ESRGAN, Wang et
    al. 2018, section 3.2). Scales as in FOMM's pyramid. Source: AdaSR (arXiv 2403.15944) section 2.4.
    """

    def __init__(self, features: Vgg19Features, weights: Mapping[str, float] = LAYER_WEIGHTS, scales: int = 2) -> None:
        """`features`: the network, with its taps; `weights`: one for each tap; `scales`: each half the one before.

        Raises:
            ValueError: taps and weights do not name the same layers, or `scales` is below 1.
        """
        super().__init__()
        if set(weights) != set(features.taps.values()):
            raise ValueError(f"weights: got {sorted(weights)}, expected the taps {sorted(features.taps.values())}")
        if scales < 1:
            raise ValueError(f"scales: got {scales}, expected 1 or more")
        self.features, self.weights, self.scales = features, dict(weights), scales

    @classmethod
    def from_weights(cls, path: Path | None = None, scales: int = 2) -> PerceptualLoss:
        """With VGG-19's published weights from `path` or torch's cache. Raises as `load_vgg19`."""
        return cls(load_vgg19(tuple(LAYER_WEIGHTS), path), scales=scales)

    def forward(self, found: Tensor, truth: Tensor) -> Tensor:
        """found, truth [B, 3, H, W], RGB in [0, 1], sides of at least 16 * 2^(scales - 1) -> scalar."""
        total = found.new_zeros(())
        for scale in range(self.scales):
            if scale:
                found, truth = functional.avg_pool2d(found, 2), functional.avg_pool2d(truth, 2)
            ours, theirs = self.features(found), self.features(truth.detach())
            for name, weight in self.weights.items():
                total = total + weight * functional.l1_loss(ours[name].float(), theirs[name].float())
        return total
