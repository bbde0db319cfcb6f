"""The networks in torch as an engine: the reference that the deployed engines are measured against.

It runs `weights.safetensors`, not the exported graphs, and it is the only engine that needs torch. On a GPU: bfloat16
convolutions, channels last, compiled, and a CUDA graph for each batch size; on a processor plain float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from adasr_core.bound_graph import pack_parameters
from adasr_core.engines import Detection, EngineDescription, EngineError, RebuildRequest, ReferenceFeatures
from adasr_core.engines.device_model import Image
from adasr_core.engines.graph_model import not_loaded
from adasr_core.engines.runner import Array
from adasr_core.geometry import MotionParameters
from adasr_core.networks import FaceCodecNetworks
from adasr_core.networks.refiner import Refiner
from export.torch_frame import DetectorNetwork, FrameNetwork, KeyFrameNetwork, RefinerNetwork
from export.torch_launch import CapturedLaunch, FrameLaunch, FrameShapes, KeptFeatures, PlainLaunch, kept


@dataclass(frozen=True, kw_only=True, slots=True)
class TorchEngineConfig:
    """How torch runs the networks."""

    device: str = "cpu"
    """torch's name of the device: "cpu", "cuda", "cuda:1"."""
    bfloat16: bool = False
    """Encoder and generator in bfloat16; detector and motion field always stay in float32."""
    compiled: bool = False
    """Compile the networks (a minute or two on the first run)."""
    captured: bool = False
    """Replay a CUDA graph for every frame; GPUs alone."""
    threads: int | None = None
    """Processor threads; None leaves torch's own choice."""

    def __post_init__(self) -> None:
        """Raise ValueError for a CUDA graph without a GPU."""
        if self.captured and not self.device.startswith("cuda"):
            raise ValueError(f"captured: got device {self.device!r}, expected a GPU; leave it False on a processor")

    @classmethod
    def for_gpu(cls, device: str = "cuda") -> TorchEngineConfig:
        """The fastest that torch does on a GPU."""
        return cls(device=device, bfloat16=True, compiled=True, captured=True)


class TorchModel:
    """A `DeviceModel` in torch."""

    def __init__(self, networks: FaceCodecNetworks, config: TorchEngineConfig, refiner: Refiner | None = None) -> None:
        """Take networks with their weights.

        Raises:
            EngineError: the device is not there, or its memory does not suffice.
        """
        if config.device.startswith("cuda") and not torch.cuda.is_available():
            raise EngineError(
                f"engine torch-cuda: torch {torch.__version__} sees no NVIDIA GPU; check nvidia-smi, and install the "
                "CUDA build of torch (https://pytorch.org/get-started/locally)"
            )
        if config.device.startswith("cuda"):
            # Sizes never change: let cuDNN time its algorithms once.
            torch.backends.cudnn.benchmark = True
            # Detector and motion field are float32 for their coordinates' sake; TF32 has 10 bits.
            torch.backends.cudnn.allow_tf32 = False
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        self._config = config
        self._device = torch.device(config.device)
        dtype = torch.bfloat16 if config.bfloat16 else torch.float32
        with _plain_errors("load the model"):
            networks = networks.eval().float()
            self._detector = self._prepare(DetectorNetwork(networks))
            self._encoder = self._prepare(KeyFrameNetwork(networks, dtype))
            self._frame_network = FrameNetwork(networks, dtype).eval().to(self._device)
            self._frame = self._compile(self._frame_network)
            self._refiner = None if refiner is None else self._prepare(RefinerNetwork(refiner.eval().float(), dtype))
        self._shapes = FrameShapes.of(networks.config, dtype)
        self._launches: dict[int, FrameLaunch] = {}

    @classmethod
    def load(cls, weights: Path, config: TorchEngineConfig, refiner: Path | None = None) -> TorchModel:
        """Load ``weights.safetensors``, and the refiner's file of that kind.

        Raises:
            EngineError: there is no such file, or see the constructor.
            ValueError: the file is no checkpoint of these networks.
        """
        for file in (weights, refiner):
            if file is not None and not file.is_file():
                raise EngineError(
                    f"engine torch: {file} is not there (an installed model has no such file); take the model folder "
                    "of a checkout"
                )
        return cls(FaceCodecNetworks.load(weights)[0], config, None if refiner is None else Refiner.load(refiner)[0])

    def describe(self) -> EngineDescription:
        """See `DeviceModel`."""
        name = torch.cuda.get_device_name(self._device) if self._device.type == "cuda" else "CPU"
        precision = "bf16" if self._config.bfloat16 else "f32"
        return EngineDescription(f"torch-{self._device.type}", name, precision, self._config.threads)

    def detect(self, image: Image) -> Detection:
        """See `DeviceModel`."""
        with _plain_errors("detect"):
            points, jacobians, confidence = (out[0].cpu().numpy() for out in self._detector(self._upload(image)))
        return Detection(MotionParameters.create(points, jacobians), confidence)

    def encode(self, picture: Image) -> ReferenceFeatures:
        """See `DeviceModel`."""
        with _plain_errors("encode a key frame"):
            uploaded = self._upload(picture)
            return KeptFeatures(uploaded, *self._encoder(uploaded))

    def rebuild(self, features: ReferenceFeatures, reference: MotionParameters, driving: MotionParameters) -> Image:
        """See `DeviceModel`."""
        return self.rebuild_batch([RebuildRequest(features, reference, driving)])[0]

    def rebuild_batch(self, requests: Sequence[RebuildRequest]) -> list[Image]:
        """See `DeviceModel`; every number of requests has buffers (and a CUDA graph) of its own."""
        if not requests:
            return []
        count = len(requests)
        with _plain_errors(f"rebuild {count} frames at once"):
            if count not in self._launches:
                make = CapturedLaunch if self._config.captured else PlainLaunch
                self._launches[count] = make(self._frame, self._shapes, count, self._device)
            frames = self._launches[count].run(requests)
        return list(frames)

    @torch.inference_mode()
    def flow(self, features: ReferenceFeatures, reference: MotionParameters, driving: MotionParameters) -> Array:
        """See `DeviceModel`."""
        packed = torch.from_numpy(pack_parameters(reference, driving))[None].to(self._device)
        flow: Array = self._frame_network.field(kept(features).context, packed)[0][0].cpu().numpy()
        return flow

    @property
    def refines(self) -> bool:
        """See `DeviceModel`."""
        return self._refiner is not None

    def refine(self, earlier: Image, later: Image, weight: float) -> Image:
        """See `DeviceModel`."""
        if self._refiner is None:
            raise not_loaded("refiner")
        share = torch.full((1, 1, 1, 1), weight, device=self._device)
        with _plain_errors("refine"):
            (painted,) = self._refiner(self._upload(earlier), self._upload(later), share)
        frame: Image = painted[0].cpu().numpy()
        return frame

    def close(self) -> None:
        """See `DeviceModel`."""
        self._launches.clear()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _upload(self, picture: Image) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(picture))[None].to(self._device)

    def _prepare(self, network: nn.Module) -> Callable[..., tuple[Tensor, ...]]:
        ready = self._compile(network.eval().to(self._device))

        @torch.inference_mode()
        def run(*inputs: Tensor) -> tuple[Tensor, ...]:
            outputs: tuple[Tensor, ...] = ready(*inputs)
            return outputs

        return run

    def _compile(self, network: nn.Module) -> Callable[..., Any]:
        if not self._config.compiled:
            return network
        # The CUDA graph is captured by hand, over buffers of our own: inductor's would copy every input.
        compiled: Callable[..., Any] = torch.compile(network, dynamic=False)
        return compiled


@contextmanager
def _plain_errors(action: str) -> Iterator[None]:
    """Say what to do when the device's memory is full."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise EngineError(
            f"engine torch: the GPU's memory does not suffice to {action} ({str(error).splitlines()[0]}); "
            "close what else uses it (nvidia-smi), or rebuild fewer frames at once"
        ) from error
