"""The picture of the ablation: what each variant's encoder draws from one key frame, like figure 3 of AdaSR.

    key frame as it arrived | detail features, 1/4 | how much of them is fine | a frame rebuilt from them

Features of many channels are shown by their first three principal components as red, green and blue, each stretched to
its 1st and 99th percentile. Fine is what a Gaussian of two pixels takes away; all rows share one scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as PillowImage

from adasr_core.networks import FaceCodecNetworks
from training.ablation_scores import KEY_FRAMES, rebuild

Image = npt.NDArray[np.uint8]
Features = npt.NDArray[np.float32]

TILE_PX = 224
_HEADING_PX = 24
_COLUMNS = ("key frame as received", "E, detail at 1/4", "fine part of detail", "rebuilt")
_PALETTE = 192
_FULL_SCALE = 0.5


@torch.no_grad()
def feature_sheet(variants: Mapping[str, FaceCodecNetworks], sharp: Image, driving: Image) -> Image:
    """One row for each variant (title to networks in evaluation mode): uint8 [H, W, 3] RGB.

    Args:
        variants: networks by the title of their row.
        sharp: the key frame, uint8 [S, S, 3]; the variants receive it at half size.
        driving: the frame to rebuild, of the same person.

    Raises:
        ValueError: a picture has another size than the networks' frames.
    """
    for networks in variants.values():
        size = networks.config.frame_px
        if sharp.shape != (size, size, 3) or driving.shape != sharp.shape:
            raise ValueError(f"pictures: got {sharp.shape} and {driving.shape}, expected {(size, size, 3)} both")
    received = KEY_FRAMES["half_size"](sharp)
    rows = [_heading(_COLUMNS)]
    for title, networks in variants.items():
        device = next(networks.parameters()).device
        planes = torch.from_numpy(received).permute(2, 0, 1)[None].to(device).float() / 255
        out = networks.encoder(planes)
        # The first three channels of detail are the picture itself.
        learnt = out.detail[0, 3:].float().cpu().numpy()
        fine = fine_part(learnt)
        heat = cv2.applyColorMap((fine / _FULL_SCALE * 255).clip(0, 255).astype(np.uint8), cv2.COLORMAP_MAGMA)
        shown = np.asarray(cv2.cvtColor(heat, cv2.COLOR_BGR2RGB), np.uint8)
        tiles = [received, principal_colours(learnt), shown, *rebuild(networks, sharp, received, [driving])]
        rows.append(_heading((title, "", f"{100 * fine.mean():.1f} % of the variance")))
        rows.append(np.hstack([cv2.resize(tile, (TILE_PX, TILE_PX), interpolation=_method(tile)) for tile in tiles]))
    return np.vstack(rows)


def principal_colours(features: Features) -> Image:
    """First three principal components of features [C, H, W], C at least 3, as a picture: uint8 [H, W, 3]."""
    channels, height, width = features.shape
    centred = features.reshape(channels, -1).T - features.mean(axis=(1, 2))
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    # A direction has no sign of its own; the largest weight is made positive, so that runs look alike.
    axes = directions[:3]
    axes = axes * np.sign(np.take_along_axis(axes, np.abs(axes).argmax(axis=1, keepdims=True), axis=1))
    projected = centred @ axes.T
    low, high = np.percentile(projected, (1, 99), axis=0)
    scaled = (projected - low) / np.maximum(high - low, 1e-6) * 255
    return np.asarray(scaled.clip(0, 255).round(), np.uint8).reshape(height, width, 3)


def fine_part(features: Features) -> Features:
    """Squares of what a Gaussian of two pixels takes away, over the variance: [H, W]; the mean is the share of it.

    features: float32 [C, H, W]; squares and variances are summed over the channels.
    """
    soft = np.stack([cv2.GaussianBlur(channel, (0, 0), 2.0) for channel in features])
    variance = max(float(features.var(axis=(1, 2)).sum()), 1e-12)
    return np.asarray(((features - soft) ** 2).sum(axis=0) / variance, np.float32)


def write_sheet(sheet: Image, path: Path) -> None:
    """Write a PNG with a palette, which keeps it small. Raises OSError when it cannot be written."""
    PillowImage.fromarray(sheet).quantize(_PALETTE).save(path, format="png", optimize=True)


def _heading(texts: tuple[str, ...]) -> Image:
    strip = np.full((_HEADING_PX, TILE_PX * len(_COLUMNS), 3), 255, np.uint8)
    for column, text in enumerate(texts):
        place = (column * TILE_PX + 4, _HEADING_PX - 8)
        cv2.putText(strip, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return strip


def _method(tile: Image) -> int:
    return cv2.INTER_AREA if tile.shape[0] > TILE_PX else cv2.INTER_NEAREST
