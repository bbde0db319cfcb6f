"""A held background must never get worse by warping."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class HeldBackgroundLoss(nn.Module):
    """Hinge on what the warp makes worse where nothing moved.

        L = mean_bhw s max(0, |warped - truth| - |key - truth| - margin),  s = 1 where box(|key - truth|) < still

    |.| is the mean over colours and box a mean over 7x7 pixels, so that a still pixel amid movement does not count.
    Where the key frame already shows the truth, holding it costs nothing; a flow that drags the wall along with the
    head does, and pays here for each pixel. Where the key frame is wrong the loss is 0: there the warp may try.
    """

    def __init__(self, still: float = 0.02, margin: float = 0.01) -> None:
        """`still`: mean difference below which a place counts as held; `margin`: what the warp may add (0 to 1 scale).

        Raises:
            ValueError: `still` is not above 0, or `margin` is below 0.
        """
        super().__init__()
        if not still > 0:
            raise ValueError(f"still: got {still}, expected above 0")
        if not margin >= 0:
            raise ValueError(f"margin: got {margin}, expected 0 or more")
        self.still, self.margin = still, margin

    def forward(self, warped: Tensor, key: Tensor, truth: Tensor) -> Tensor:
        """The warped key frame, the key frame and the truth [B, 3, H, W] in [0, 1] -> scalar."""
        held = (key - truth).abs().mean(1, keepdim=True)
        still = (functional.avg_pool2d(held, 7, stride=1, padding=3, count_include_pad=False) < self.still).float()
        worse = (warped - truth).abs().mean(1, keepdim=True) - held - self.margin
        return (functional.relu(worse) * still).mean()
