"""How much an error in each motion parameter costs a rebuilt picture: the metric in which the transform is trained.

    made(z) = W(T_v(z)),  W the key frame, T_v the motion field of the parameters v
    made(z; v + e) - made(z; v)  =  sum_i e_i grad W(T_v(z)) . dT_v/dv_i (z)      for small errors e
    cost of e  =  e^T G e,   G = sum_z w(z) (dmade/dv) (dmade/dv)^T

Weights w make the cost the loss of quality as a share: an error e lowers the score, a mean of the PSNR of the whole
picture and of the face, by 10 / ln 10 e^T G e dB, where a rebuild's own error is as usual. dT/dv is measured: the
motion field is run with every parameter changed a little. Pictures at 128x128.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from adasr_core.geometry import FACE_KEYPOINTS
from adasr_core.landmarks import hull_mask
from adasr_core.networks import FaceCodecNetworks
from training.frame_cache import fitted
from training.motion_sequences import read_pictures
from training.run import pick_device

Floats = npt.NDArray[np.float64]
Image = npt.NDArray[np.uint8]

COMPARED_PX = 128
_KEYPOINT_PROBE = 4e-3
_JACOBIAN_PROBE = 2e-2
_BATCH = 40
_BLUR_PX = 0.7


@dataclass(frozen=True, kw_only=True, slots=True)
class SensitivityConfig:
    """What is measured."""

    face_share: float = 0.5
    """How much of the score the face is, 0 to 1; the rest is the whole picture."""
    usual_error: float = 80.0
    """Mean squared error of a rebuild, 0..255 squared: 29 dB."""
    frames: int = 100
    """The pair of a clip comes from so many of its first frames."""
    seed: int = 0
    """Seed of the choice of pairs."""


@torch.no_grad()
def picture_metric(
    networks: FaceCodecNetworks,
    clips: Sequence[Path],
    config: SensitivityConfig = SensitivityConfig(),
    *,
    device: str = "auto",
    say: Callable[[str], None] | None = None,
) -> Floats:
    """G, float64 [6K, 6K] in the order of `MotionParameters.vector`, mean over a pair of frames of every clip.

    Clips count alike: each metric is scaled to the median trace, or one with much texture would rule.

    Raises:
        ValueError: a clip cannot be read.
    """
    where = pick_device(device)
    networks = networks.to(where).eval()
    rng = np.random.default_rng(config.seed)
    metrics = []
    for number, clip in enumerate(clips, start=1):
        pictures = read_pictures(clip, config.frames)
        reference, driving = rng.choice(len(pictures), 2, replace=len(pictures) < 2)
        metrics.append(pair_metric(networks, pictures[reference], pictures[driving], config, where))
        if say is not None and (number % 10 == 0 or number == len(clips)):
            say(f"sensitivity: {number} of {len(clips)} clips")
    traces = np.array([np.trace(metric) for metric in metrics])
    scaled = np.stack(metrics) * (np.median(traces) / np.maximum(traces, 1e-12))[:, None, None]
    mean: Floats = scaled.mean(axis=0)
    return mean


def pair_metric(
    networks: FaceCodecNetworks, reference: Image, driving: Image, config: SensitivityConfig, device: torch.device
) -> Floats:
    """G of one pair of pictures of a person, uint8 [S, S, 3] RGB."""
    small = networks.config.detector_px
    found = networks.detector(_batch([fitted(reference, small), fitted(driving, small)], device))
    context = networks.encoder(_batch([fitted(reference, networks.config.frame_px)], device))[2]
    points, matrices = found.keypoints.float(), found.jacobians.float()
    count = points.shape[1]
    vector = torch.cat((points[1].reshape(-1), matrices[1].reshape(-1)))
    probes = torch.full_like(vector, _JACOBIAN_PROBE)
    probes[: 2 * count] = _KEYPOINT_PROBE

    def flow(vectors: Tensor) -> Tensor:
        many = len(vectors)
        field = networks.motion(
            context.expand(many, -1, -1, -1),
            points[:1].expand(many, -1, -1),
            matrices[:1].expand(many, -1, -1, -1),
            vectors[:, : 2 * count].reshape(many, count, 2),
            vectors[:, 2 * count :].reshape(many, count, 2, 2),
        )
        size = (COMPARED_PX, COMPARED_PX)
        wide: Tensor = torch.nn.functional.interpolate(field.flow, size=size, mode="bilinear", align_corners=False)
        return wide.flatten(2).transpose(1, 2)

    still = flow(vector[None])
    moved = [
        (flow(vector + torch.diag(probes)[at : at + _BATCH]) - still) / probes[at : at + _BATCH, None, None]
        for at in range(0, len(vector), _BATCH)
    ]
    change = torch.cat(moved).cpu().numpy()
    face = hull_mask(points[1, :FACE_KEYPOINTS].cpu().numpy(), COMPARED_PX).reshape(-1).astype(np.float64)
    weight = (1 - config.face_share) / face.size + config.face_share * face / max(face.sum(), 1)
    slopes = _slopes(fitted(reference, COMPARED_PX), still[0].cpu().numpy())
    metric = np.zeros((len(vector), len(vector)))
    for across, down in slopes:
        effect = change[..., 0] * across + change[..., 1] * down
        metric += (effect * (weight / config.usual_error / 3)) @ effect.T
    return metric


def _slopes(picture: Image, flow: npt.NDArray[np.float32]) -> list[tuple[Floats, Floats]]:
    """Gradient of the warped picture [S * S] across and down, for each colour, per unit of a [-1, 1] coordinate."""
    smooth = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), _BLUR_PX)
    axis = ((np.arange(COMPARED_PX) * 2 + 1) / COMPARED_PX - 1).astype(np.float32)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1)
    at = ((flow.reshape(COMPARED_PX, COMPARED_PX, 2) + grid + 1) * COMPARED_PX - 1) / 2
    across, down = (
        cv2.remap(
            cv2.Sobel(smooth, cv2.CV_32F, *order, scale=COMPARED_PX / 2 / 8),
            at[..., 0].astype(np.float32),
            at[..., 1].astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        ).reshape(-1, 3)
        for order in ((1, 0), (0, 1))
    )
    return [(np.asarray(across[:, c], np.float64), np.asarray(down[:, c], np.float64)) for c in range(3)]


def _batch(pictures: list[Image], device: torch.device) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float().to(device) / 255
