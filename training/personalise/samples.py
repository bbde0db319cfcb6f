"""What one training step sees: a key frame as the wire brings it, and patches of frames driven from it.

Key frames are coded and decoded as AVIF at the qualities that a call sends, parameters are quantised by the model's own
tables: the decoder learns on what it will be given. One key frame serves several frames, so that the encoder, the
dearest part, runs once a step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from adasr_core.bitstream import MotionCodec, decode_picture, encode_picture
from adasr_core.geometry import FACE_KEYPOINTS, MotionParameters
from training.personalise.footage import Footage

PICTURE_QUALITIES = (30, 40, 60)
"""AVIF qualities of key frames in training: a call's first, its later ones, and a file's."""
MOTION_QUALITY = 4
"""Quantiser index of the motion in a call."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameters of B frames as tensors: keypoints [B, K, 2], jacobians [B, K, 2, 2], float32."""

    keypoints: Tensor
    jacobians: Tensor

    @classmethod
    def stack(cls, parameters: list[MotionParameters]) -> Parameters:
        """Join frames into a batch."""
        return cls(
            torch.from_numpy(np.stack([p.keypoints for p in parameters])),
            torch.from_numpy(np.stack([p.jacobians for p in parameters])),
        )

    def expand(self, count: int) -> Parameters:
        """One frame's parameters for a batch of `count`."""
        return Parameters(self.keypoints.expand(count, -1, -1), self.jacobians.expand(count, -1, -1, -1))


@dataclass(frozen=True, slots=True)
class Sample:
    """One key frame and the frames to rebuild from it.

    picture [1, 3, S, S] and truth [B, 3, S, S] in [0, 1]; reference (1 frame) and driving (B frames) as decoded.
    """

    picture: Tensor
    reference: Parameters
    truth: Tensor
    driving: Parameters


class SampleMaker:
    """Draws samples from a footage; key frames are coded once for each quality and kept."""

    def __init__(self, footage: Footage, codec: MotionCodec, *, key_frames: int = 24) -> None:
        """Take `key_frames` frames, evenly spread over the trained part, as key frames."""
        self._footage, self._codec = footage, codec
        self.keys = np.unique(np.linspace(0, len(footage.fit) - 1, key_frames).round().astype(int)).tolist()
        self._pictures: dict[tuple[int, int], npt.NDArray[np.uint8]] = {}
        self._references: dict[int, MotionParameters] = {}

    def picture(self, index: int, quality: int) -> npt.NDArray[np.uint8]:
        """Frame `index` as a key frame of AVIF `quality` arrives: uint8 [S, S, 3]."""
        if (index, quality) not in self._pictures:
            frame = self._footage.frames[index]
            self._pictures[index, quality] = decode_picture(encode_picture(frame, quality), frame.shape[0])
        return self._pictures[index, quality]

    def reference(self, index: int) -> MotionParameters:
        """The parameters of frame `index` as its key frame carries them."""
        if index not in self._references:
            data = self._codec.encode_reference(self._footage.parameters[index])
            self._references[index] = self._codec.decode_reference(data)
        return self._references[index]

    def driving(self, index: int, reference: int) -> MotionParameters:
        """The parameters of frame `index` as they arrive against the key frame `reference`."""
        return self._codec.quantise(self._footage.parameters[index], self.reference(reference), MOTION_QUALITY)

    def sample(self, key: int, indices: list[int], quality: int) -> Sample:
        """Rebuild the frames `indices` from the key frame `key`."""
        frames = np.stack([self.picture(key, quality), *self._footage.frames[indices]])
        pictures = torch.from_numpy(frames).permute(0, 3, 1, 2).float().div_(255)
        return Sample(
            picture=pictures[:1],
            reference=Parameters.stack([self.reference(key)]),
            truth=pictures[1:],
            driving=Parameters.stack([self.driving(index, key) for index in indices]),
        )

    def draw(self, rng: np.random.Generator, count: int) -> Sample:
        """A random key frame and `count` random frames, all under one random change of colour.

        Half of the key frames are the nearest of four, as a bank of references offers them.
        """
        indices = rng.choice(len(self._footage.fit), count, replace=False).tolist()
        offered = rng.choice(self.keys, min(4, len(self.keys)), replace=False).tolist()
        key = offered[0]
        if rng.random() < 0.5:
            first = self._footage.parameters[indices[0]]
            key = min(offered, key=lambda index: first.distance(self._footage.parameters[index]))
        drawn = self.sample(key, indices, int(rng.choice(PICTURE_QUALITIES)))
        # Light and camera change from call to call: the adapter must not learn one evening's colours.
        gain = torch.from_numpy(np.exp(rng.normal(0, 0.06, 3) + rng.normal(0, 0.1)).astype(np.float32))[:, None, None]
        drawn.picture.mul_(gain).clamp_(0, 1)
        drawn.truth.mul_(gain).clamp_(0, 1)
        return drawn


def patch_origins(
    driving: Parameters, frame_px: int, patch_px: int, rng: np.random.Generator, on_face: float = 0.75
) -> list[tuple[int, int]]:
    """Upper left corners (x, y) in pixels, multiples of 8; a share `on_face` is centred near a face keypoint."""
    room = frame_px - patch_px
    origins = []
    for points in driving.keypoints[:, :FACE_KEYPOINTS].numpy():
        corner = rng.uniform(0, room, 2)
        if rng.random() < on_face:
            corner = (points[rng.integers(len(points))] + 1) * frame_px / 2 + rng.normal(0, 32, 2) - patch_px / 2
        x, y = (int(v) for v in np.clip(np.round(corner / 8) * 8, 0, room))
        origins.append((x, y))
    return origins
