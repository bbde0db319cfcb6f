"""Train the entropy coder's frozen tables: transform, quantiser steps and integer frequencies, from real motion.

``adasr train tables`` runs the detector over the training clips and fits

* a Karhunen-Loeve transform of the difference between a frame's parameters and its reference's, after weighting each
  parameter by how far an error in it moves pixels (a Jacobian entry acts over the reach of its keypoint),
* one step for all coefficients (what a uniform quantiser wants of an orthonormal transform), and
* the histogram of every coefficient at every quality index, smoothed with a Laplace distribution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from adasr_core.bitstream.entropy import TOTAL
from adasr_core.bitstream.tables import QUALITIES, MotionTables
from adasr_core.networks import FaceCodecNetworks
from training.frame_cache import FrameCache
from training.run import autocast, pick_device

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class TablesConfig:
    """How the tables are fitted."""

    components: int = 48
    """M, coefficients kept."""
    step: float = 0.006
    """Quantiser step at quality index 0, in [-1, 1] units of a keypoint (0.0039 is a pixel of 512)."""
    jacobian_reach: float = 0.1
    """Weight of a Jacobian entry against a keypoint coordinate: the distance at which its error is felt."""
    radius: int = 63
    """R, largest level without escape."""
    reference_radius: int = 127
    """S, the same for reference parameters."""
    reference_keypoint_step: float = 0.002
    """Step of a reference's keypoints, [-1, 1] units."""
    reference_jacobian_step: float = 0.02
    """Step of a reference's Jacobian entries."""
    pairs_per_frame: int = 8
    """Random references drawn for each frame."""
    seed: int = 0
    """Seed of that draw."""


@torch.no_grad()
def detect_all(networks: FaceCodecNetworks, cache: FrameCache, device: str = "auto") -> tuple[Floats, Floats]:
    """Keypoints [F, K, 2] and Jacobians [F, K, 2, 2] of every frame of a cache."""
    where = pick_device(device)
    networks = networks.to(where).eval()
    keypoints, jacobians = [], []
    for at in range(0, len(cache.frames), 64):
        pictures = torch.from_numpy(cache.frames[at : at + 64]).permute(0, 3, 1, 2).to(where).float() / 255
        with autocast(where):
            out = networks.detector(pictures.contiguous(memory_format=torch.channels_last))
        keypoints.append(out.keypoints.double().cpu().numpy())
        jacobians.append(out.jacobians.double().cpu().numpy())
    return np.concatenate(keypoints), np.concatenate(jacobians)


def differences(keypoints: Floats, jacobians: Floats, clip: npt.NDArray[np.int32], config: TablesConfig) -> Floats:
    """Difference vectors [N, 6K] as the bitstream codes them, between random frames of one clip."""
    rng = np.random.default_rng(config.seed)
    rows = []
    inverses = np.linalg.inv(jacobians)
    for number in np.unique(clip):
        frames = np.flatnonzero(clip == number)
        if len(frames) < 2:
            continue
        driving = np.repeat(frames, config.pairs_per_frame)
        reference = rng.choice(frames, len(driving))
        points = keypoints[driving] - keypoints[reference]
        shapes = jacobians[driving] @ inverses[reference] - np.eye(2)
        rows.append(np.concatenate((points.reshape(len(driving), -1), shapes.reshape(len(driving), -1)), axis=1))
    return np.concatenate(rows)


def frequencies_of(levels: npt.NDArray[np.int64], radius: int) -> npt.NDArray[np.uint16]:
    """Integer frequencies [2R + 2] of observed levels: symmetric histogram, smoothed by its Laplace fit, none 0."""
    outside = np.abs(levels) > radius
    histogram = np.bincount(np.clip(levels[~outside], -radius, radius) + radius, minlength=2 * radius + 1).astype(float)
    histogram = (histogram + histogram[::-1]) / 2
    scale = max(float(np.abs(levels).mean()), 0.02)
    decay = scale / (1 + scale)
    laplace = decay ** np.abs(np.arange(-radius, radius + 1))
    share = 0.9 * histogram / max(histogram.sum(), 1) + 0.1 * laplace / laplace.sum()
    escape = (outside.sum() + 0.5) / (len(levels) + 1)
    share = np.append(share / share.sum() * (1 - escape), escape)
    counts = np.maximum(np.floor(share * (TOTAL - len(share))) + 1, 1).astype(np.int64)
    counts[np.argmax(counts)] += TOTAL - counts.sum()
    return np.asarray(counts, np.uint16)


def train_tables(
    keypoints: Floats, jacobians: Floats, clip: npt.NDArray[np.int32], config: TablesConfig = TablesConfig()
) -> MotionTables:
    """Fit `MotionTables` to the parameters of the frames of many clips."""
    count = keypoints.shape[1]
    weight = np.concatenate((np.ones(2 * count), np.full(4 * count, config.jacobian_reach)))
    observed = differences(keypoints, jacobians, clip, config)
    # A folded face makes a Jacobian explode; such rows would own the transform.
    observed = observed[np.abs(observed).max(axis=1) < 3.0]
    weighted = observed * weight
    values, vectors = np.linalg.eigh(weighted.T @ weighted / len(weighted))
    basis = vectors[:, np.argsort(values)[::-1][: config.components]]
    coefficients = weighted @ basis
    steps = np.full(config.components, config.step)
    frequencies = np.stack(
        [
            np.stack(
                [
                    frequencies_of(np.rint(c / (config.step * 2 ** (quality / 4))).astype(np.int64), config.radius)
                    for c in coefficients.T
                ]
            )
            for quality in range(QUALITIES)
        ]
    )
    own = np.concatenate((keypoints.reshape(len(keypoints), -1), jacobians.reshape(len(jacobians), -1)), axis=1)
    mean = own.mean(axis=0)
    reference_steps = np.concatenate(
        (np.full(2 * count, config.reference_keypoint_step), np.full(4 * count, config.reference_jacobian_step))
    )
    levels = np.rint((own - mean) / reference_steps).astype(np.int64)
    return MotionTables(
        basis=np.ascontiguousarray((basis * weight[:, None]).T, np.float32),
        synthesis=np.ascontiguousarray(basis / weight[:, None], np.float32),
        mean=np.zeros(6 * count, np.float32),
        steps=steps.astype(np.float32),
        frequencies=frequencies,
        reference_mean=mean.astype(np.float32),
        reference_steps=reference_steps.astype(np.float32),
        reference_frequencies=np.stack([frequencies_of(c, config.reference_radius) for c in levels.T]),
    )
