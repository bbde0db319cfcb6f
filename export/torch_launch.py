"""One batch size of the torch engine: its buffers, and how a batch is run through them.

requests --> slots of static buffers (a key frame is copied in only when the slot held another) --> network
parameters: one copy in, 48K bytes a frame --+                                           one copy out: the frames
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from adasr_core.bound_graph import pack_parameters
from adasr_core.engines import RebuildRequest, ReferenceFeatures
from adasr_core.networks import ModelConfig

Network = Callable[..., Tensor]
Frames = npt.NDArray[np.uint8]
_WARM_UP = 3


@dataclass(frozen=True, slots=True, eq=False)
class KeptFeatures(ReferenceFeatures):
    """A key frame on the device: uint8 [1, S, S, 3] and what the encoder drew from it, batch 1."""

    picture: Tensor
    features: Tensor
    detail: Tensor
    context: Tensor


@dataclass(frozen=True, slots=True)
class FrameShapes:
    """Sizes of the frame network's inputs. dtype: of features and detail."""

    frame_px: int
    keypoints: int
    feature_channels: int
    detail_channels: int
    context_channels: int
    dtype: torch.dtype

    @classmethod
    def of(cls, config: ModelConfig, dtype: torch.dtype) -> FrameShapes:
        """Those of a model."""
        return cls(
            config.frame_px,
            config.keypoints,
            config.feature_channels,
            config.detail_channels,
            config.context_channels,
            dtype,
        )


class FrameLaunch(Protocol):
    """A batch size that is ready to run."""

    def run(self, requests: Sequence[RebuildRequest]) -> Frames:
        """Frames uint8 [N, S, S, 3] in host memory, for exactly N requests; the array is the caller's."""


def kept(features: ReferenceFeatures) -> KeptFeatures:
    """The features as this engine's own.

    Raises:
        ValueError: another engine made them.
    """
    if not isinstance(features, KeptFeatures):
        raise ValueError(f"features: got {type(features).__name__} of another engine; encode the key frame again")
    return features


class PlainLaunch:
    """Stacks the requests' features anew for every batch: no buffers, any device."""

    def __init__(self, network: Network, shapes: FrameShapes, count: int, device: torch.device) -> None:
        """Keep the network; `shapes` and `count` are what `CapturedLaunch` needs."""
        self._network, self._device = network, device

    @torch.inference_mode()
    def run(self, requests: Sequence[RebuildRequest]) -> Frames:
        """See `FrameLaunch`."""
        held = [kept(request.features) for request in requests]
        packed = np.stack([pack_parameters(request.reference, request.driving) for request in requests])
        frames: Frames = (
            self._network(
                torch.cat([one.picture for one in held]),
                torch.cat([one.features for one in held]),
                torch.cat([one.detail for one in held]),
                torch.cat([one.context for one in held]),
                torch.from_numpy(packed).to(self._device),
            )
            .cpu()
            .numpy()
        )
        return frames


class CapturedLaunch:
    """A CUDA graph over static buffers: nothing is allocated for a frame."""

    def __init__(self, network: Network, shapes: FrameShapes, count: int, device: torch.device) -> None:
        """Allocate the buffers, warm the network up and capture it."""
        s, px, last = shapes, shapes.frame_px, torch.channels_last
        self._picture = torch.zeros((count, px, px, 3), dtype=torch.uint8, device=device)
        self._features = torch.zeros((count, s.feature_channels, px // 8, px // 8), dtype=s.dtype, device=device)
        self._features = self._features.contiguous(memory_format=last)
        self._detail = torch.zeros((count, s.detail_channels, px // 4, px // 4), dtype=s.dtype, device=device)
        self._detail = self._detail.contiguous(memory_format=last)
        self._context = torch.zeros((count, s.context_channels, 64, 64), device=device)
        self._parameters = torch.zeros((count, 12 * s.keypoints), device=device)
        # Pinned, so that the copies need no staging and no wait.
        self._parameters_host = torch.zeros((count, 12 * s.keypoints)).pin_memory()
        self._frames_host = torch.zeros((count, px, px, 3), dtype=torch.uint8).pin_memory()
        self._held: list[KeptFeatures | None] = [None] * count
        inputs = (self._picture, self._features, self._detail, self._context, self._parameters)
        # Jacobians of one: zeros have no inverse.
        self._parameters[:, 4 * s.keypoints :] = torch.eye(2, device=device).reshape(-1).repeat(2 * s.keypoints)
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._stream.wait_stream(torch.cuda.current_stream(device))
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            for _ in range(_WARM_UP):
                network(*inputs)
            self._stream.synchronize()
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, stream=self._stream):
                self._frames = network(*inputs)

    @torch.inference_mode()
    def run(self, requests: Sequence[RebuildRequest]) -> Frames:
        """See `FrameLaunch`."""
        # The encoder ran on the current stream.
        self._stream.wait_stream(torch.cuda.current_stream(self._stream.device))
        with torch.cuda.stream(self._stream):
            for slot, request in enumerate(requests):
                self._parameters_host[slot] = torch.from_numpy(pack_parameters(request.reference, request.driving))
                self._fill(slot, kept(request.features))
            self._parameters.copy_(self._parameters_host, non_blocking=True)
            self._graph.replay()
            self._frames_host.copy_(self._frames, non_blocking=True)
        self._stream.synchronize()
        return self._frames_host.numpy().copy()

    def _fill(self, slot: int, features: KeptFeatures) -> None:
        if self._held[slot] is features:
            return
        self._picture[slot].copy_(features.picture[0])
        self._features[slot].copy_(features.features[0])
        self._detail[slot].copy_(features.detail[0])
        self._context[slot].copy_(features.context[0])
        # Held, not only remembered by its address, which another key frame may take over.
        self._held[slot] = features
