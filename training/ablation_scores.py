"""How an ablation's variants rebuild validation clips from key frames as the codec sends them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from adasr_core.bitstream import decode_picture, encode_picture
from adasr_core.landmarks import hull_mask
from adasr_core.networks import FaceCodecNetworks
from adasr_core.picture_quality import psnr_db, sharpness_of
from training.frame_cache import FrameCache
from training.metrics import ssim, ssimulacra2

Image = npt.NDArray[np.uint8]


def _small_first(picture: Image) -> Image:
    """256x256 AVIF of quality 50, enlarged: the picture that stands at once when a call begins."""
    half = picture.shape[0] // 2
    small = np.asarray(cv2.resize(picture, (half, half), interpolation=cv2.INTER_AREA), np.uint8)
    received = decode_picture(encode_picture(small, 50), half)
    size = (picture.shape[1], picture.shape[0])
    return np.asarray(cv2.resize(received, size, interpolation=cv2.INTER_CUBIC), np.uint8)


KEY_FRAMES: dict[str, Callable[[Image], Image]] = {
    "avif_60": lambda picture: decode_picture(encode_picture(picture, 60), picture.shape[0]),
    "avif_30": lambda picture: decode_picture(encode_picture(picture, 30), picture.shape[0]),
    "half_size": _small_first,
}
"""Key frames as they arrive: what the file codec sends, a cheap one, and one of half the size."""

STILL = "_still"
"""Suffix of scores of the key frame itself, rebuilt from what arrived: detail alone, without any error of motion."""

SCORED = (*KEY_FRAMES, *(name + STILL for name in KEY_FRAMES))
"""Kinds of scores that `score_variant` gives, beside their "mean" over moving frames."""


@dataclass(frozen=True, slots=True)
class RebuildScore:
    """Mean over frames of one kind of key frame, or over several kinds.

    psnr_db, face_psnr_db, ssim, ssimulacra2: against the sharp frame; the last one has terms of its own for edges that
    are lost and edges that are made up (Sneyers 2023). sharpness: mean absolute Laplacian over the sharp
    frame's. sharpness_error: mean of |log sharpness|, 0 where it is as sharp, whichever way it errs.
    """

    psnr_db: float
    face_psnr_db: float
    ssim: float
    ssimulacra2: float
    sharpness: float
    sharpness_error: float

    def to_json(self) -> dict[str, float]:
        """Figures by name."""
        return asdict(self)

    @classmethod
    def mean(cls, scores: list[RebuildScore]) -> RebuildScore:
        """Mean of every figure. Raises ValueError for an empty list."""
        if not scores:
            raise ValueError("scores: got none, expected at least one frame")
        return cls(*(float(np.mean([getattr(s, f.name) for s in scores])) for f in fields(cls)))


@torch.no_grad()
def score_variant(networks: FaceCodecNetworks, val: FrameCache, stride: int = 3) -> dict[str, RebuildScore]:
    """Rebuild validation clips from their first frames; the mean over clips for each of `SCORED`, and over kinds.

    Keypoints come from the sharp frames, as the sender's do; pixels from the key frame that arrived.

    Args:
        networks: of one variant.
        val: cache at the networks' frame size.
        stride: every so many frames of the cache is rebuilt.
    """
    networks.eval()
    rows: dict[str, list[RebuildScore]] = {name: [] for name in SCORED}
    for clip in np.unique(val.clip):
        numbers = np.flatnonzero(val.clip == clip)
        first, chosen = numbers[0], numbers[1::stride]
        sharp = np.asarray(val.frames[first])
        for name, receive in KEY_FRAMES.items():
            driving = [np.asarray(val.frames[i]) for i in (first, *chosen)]
            made = rebuild(networks, sharp, receive(sharp), driving)
            masks = [hull_mask(val.landmarks[i], sharp.shape[0]) for i in (first, *chosen)]
            still, *moved = (score_frame(*frame) for frame in zip(driving, made, masks, strict=True))
            rows[name].append(RebuildScore.mean(moved))
            rows[name + STILL].append(still)
    means = {name: RebuildScore.mean(clips) for name, clips in rows.items()}
    return means | {"mean": RebuildScore.mean([means[name] for name in KEY_FRAMES])}


@torch.no_grad()
def rebuild(networks: FaceCodecNetworks, sharp: Image, received: Image, driving: list[Image]) -> list[Image]:
    """Frames rebuilt from a received key frame: uint8 [S, S, 3] each.

    Args:
        networks: in evaluation mode.
        sharp: the key frame as the sender sees it; its keypoints are sent.
        received: the key frame as it arrived.
        driving: the frames whose keypoints are sent.
    """
    config = networks.config
    device = next(networks.parameters()).device
    key = _planes(received, device)
    features, detail, context = networks.encoder(key)
    reference = networks.detector(_reduced(sharp, config.detector_px, device))
    made = []
    for frame in driving:
        target = networks.detector(_reduced(frame, config.detector_px, device))
        field = networks.motion(context, reference.keypoints, reference.jacobians, target.keypoints, target.jacobians)
        rebuilt = networks.generator(key, features, detail, field.flow, field.occlusion).clamp(0, 1)
        made.append((rebuilt[0].permute(1, 2, 0) * 255).round().to(torch.uint8).cpu().numpy())
    return made


def score_frame(source: Image, made: Image, mask: npt.NDArray[np.bool_]) -> RebuildScore:
    """Score of one frame; `mask` is its face, bool [S, S]."""
    ratio = max(sharpness_of(made), 1e-6) / max(sharpness_of(source), 1e-6)
    return RebuildScore(
        psnr_db=psnr_db(source, made),
        face_psnr_db=psnr_db(source, made, mask),
        ssim=ssim(source, made),
        ssimulacra2=ssimulacra2(source, made),
        sharpness=ratio,
        sharpness_error=abs(math.log(ratio)),
    )


def _planes(picture: Image, device: torch.device) -> Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].to(device).float() / 255


def _reduced(picture: Image, size: int, device: torch.device) -> Tensor:
    return functional.interpolate(_planes(picture, device), size=(size, size), mode="area")
