"""VGG-19's feature layers, and where their published weights are found.

    conv1_1 relu conv1_2 relu pool | conv2_1 .. 2 pool | conv3_1 .. 4 pool | conv4_1 .. 4 pool | conv5_1 .. 4
    64 channels                    | 128               | 256               | 512               | 512

Simonyan and Zisserman 2015, configuration E. Layer numbers are torchvision's, whose file of weights is the usual one.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

_BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
WEIGHTS_NAME = "vgg19-*.pth"


def _convolutions() -> dict[str, tuple[int, int, int]]:
    """Layer name -> position in torchvision's `features`, channels in, channels out."""
    table, position, before = {}, 0, 3
    for block, (width, count) in enumerate(_BLOCKS, 1):
        for number in range(1, count + 1):
            table[f"conv{block}_{number}"] = (position, before, width)
            position, before = position + 2, width
        position += 1
    return table


CONVOLUTIONS = _convolutions()


class Vgg19Features(nn.Module):
    """Outputs of chosen convolutions, before their ReLU. Frozen: no weight of it takes a gradient."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, taps: Sequence[str]) -> None:
        """`taps`: names of convolutions, e.g. "conv3_4". Layers after the last are not built; weights are random.

        Raises:
            ValueError: a name is unknown, or there is none.
        """
        super().__init__()
        unknown = [name for name in taps if name not in CONVOLUTIONS]
        if unknown or not taps:
            raise ValueError(f"taps: got {list(taps)}, expected some of {', '.join(CONVOLUTIONS)}")
        self.taps = {CONVOLUTIONS[name][0]: name for name in taps}
        last = max(self.taps)
        by_position = {position: (inside, out) for position, inside, out in CONVOLUTIONS.values()}
        self.features = nn.Sequential()
        for position in range(last + 1):
            if position in by_position:
                layer: nn.Module = nn.Conv2d(*by_position[position], 3, padding=1)
            elif position - 1 in by_position:
                layer = nn.ReLU()
            else:
                layer = nn.MaxPool2d(2)
            self.features.append(layer)
        # What torchvision's weights were trained with.
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.eval()

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """Features of pictures [B, 3, H, W], RGB in [0, 1], by tap: [B, C, H / 2^(block - 1), W / 2^(block - 1)]."""
        x = (pictures - self.mean) / self.deviation
        found = {}
        for position, layer in enumerate(self.features):
            x = layer(x)
            if position in self.taps:
                found[self.taps[position]] = x
        return found

    def load(self, path: Path) -> None:
        """Take the published weights from torchvision's file; the classifier in it is left out.

        Raises:
            ValueError: the file holds no VGG-19.
            OSError: it cannot be read.
        """
        try:
            stored = torch.load(path, map_location="cpu", weights_only=True)
            mine = {name: stored[name] for name in self.state_dict()}
            self.load_state_dict(mine)
        except (KeyError, TypeError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(f"{path}: not torchvision's VGG-19 ({reason}); expected its vgg19-dcbb9e9d.pth") from error


def find_vgg19_weights(path: Path | None = None) -> Path | None:
    """Where VGG-19's weights are: `path` itself, or else the newest vgg19-*.pth in torch's cache, or None.

    The cache is ``torch.hub.get_dir()/checkpoints``, where torchvision keeps them; TORCH_HOME moves it. Nothing is
    downloaded.

    Raises:
        OSError: `path` is given and is not a file.
    """
    if path is not None:
        if not path.is_file():
            raise FileNotFoundError(f"VGG-19 weights: {path} is not a file; name torchvision's vgg19-dcbb9e9d.pth")
        return path
    found = sorted(_cache().glob(WEIGHTS_NAME), key=lambda file: file.stat().st_mtime)
    return found[-1] if found else None


def load_vgg19(taps: Sequence[str], path: Path | None = None) -> Vgg19Features:
    """VGG-19 with its published weights.

    Raises:
        OSError: there are none; the message says where they are looked for and what to do.
        ValueError: the file holds something else.
    """
    found = find_vgg19_weights(path)
    if found is None:
        raise FileNotFoundError(
            f"VGG-19 weights: none at {_cache() / WEIGHTS_NAME}; put torchvision's vgg19-dcbb9e9d.pth there, name the "
            "file, or train without the perceptual loss"
        )
    features = Vgg19Features(taps)
    features.load(found)
    return features


def _cache() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"
