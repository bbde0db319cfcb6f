"""Sound things that seeds are made of: a picture, motion, tables. All made up from a seed number, nothing recorded."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from adasr_core.bitstream import encode_picture
from adasr_core.bitstream.av1_chain import Av1ChainEncoder
from adasr_core.geometry import MotionParameters


def smooth_picture(side_px: int) -> npt.NDArray[np.uint8]:
    """Colours that run into each other with a soft disc: uint8 [side_px, side_px, 3]."""
    y, x = np.mgrid[0:side_px, 0:side_px] / side_px
    disc = 1 / (1 + np.exp(40 * (np.hypot(x - 0.5, y - 0.5) - 0.3)))
    planes = np.stack((x * 200 + 30 * disc, y * 150 + 60 * disc, 120 + 80 * disc * x), axis=-1)
    return planes.round().astype(np.uint8)


@cache
def still(side_px: int, quality: int = 40) -> bytes:
    """An AVIF still as a sender makes it."""
    return encode_picture(smooth_picture(side_px), quality)


@cache
def av1_chain(side_px: int, units: int) -> tuple[bytes, ...]:
    """The first references of an AV1 chain: the picture moves a little from one to the next."""
    encoder = Av1ChainEncoder(7, side_px)
    picture = smooth_picture(side_px)
    return tuple(encoder.encode(np.roll(picture, number, axis=1)) for number in range(units))


def head_motion(K: int, frames: int, *, seed: int = 0) -> list[MotionParameters]:
    """K keypoints on a face that nods and turns, with Jacobians near the identity."""
    rng = np.random.default_rng(seed)
    rest = rng.uniform(-0.6, 0.6, (K, 2))
    depth = rng.uniform(-0.2, 0.2, (K, 1))
    motion = []
    for frame in range(frames):
        turn, nod = 0.3 * np.sin(frame / 7), 0.2 * np.sin(frame / 5 + 1)
        keypoints = rest * np.array([np.cos(turn), np.cos(nod)]) + depth * np.array([np.sin(turn), np.sin(nod)])
        jacobians = np.tile(np.array([[np.cos(turn), 0.1 * turn], [-0.1 * nod, np.cos(nod)]]), (K, 1, 1))
        jacobians = jacobians + rng.normal(0, 0.01, jacobians.shape)
        motion.append(MotionParameters.create(keypoints.astype(np.float32), jacobians.astype(np.float32)))
    return motion
