"""A model on TensorRT: features stay on the device, a frame is one launch of one CUDA graph.

    key frame --> pinned --> device --> encoder --> features, one allocation for each key frame
                                                        | copied to a place of the batch when it shows another
                                                        v
    parameters of N streams --> [ pinned --> device --> frame engine --> device --> pinned ] --> N frames
                                [                one CUDA graph                            ]

Nothing is allocated for a frame. Every tensor is bound by its name, at load; the encoder's outputs at each key frame.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from adasr_core.adapter import Adapter
from adasr_core.bundle import ModelBundle
from adasr_core.engines.cuda_device import CudaDevice
from adasr_core.engines.device_memory import DeviceBlock
from adasr_core.engines.device_model import (
    PARTS,
    Detection,
    EngineDescription,
    Image,
    Part,
    RebuildRequest,
    ReferenceFeatures,
)
from adasr_core.engines.frame_launch import FrameLaunch, TensorRtFeatures
from adasr_core.engines.runner import AnyArray, Array, EngineError, gpu_number
from adasr_core.engines.tensorrt_engine import EngineLoader, LoadedEngine, import_tensorrt, tensorrt_version
from adasr_core.engines.tensorrt_metadata import EngineFile, EnginePart, build_command, find_engines
from adasr_core.geometry import MotionParameters

FOLDER_VARIABLE = "ADASR_ENGINE_FOLDER"
FOLDER_NAME = "engines"
_NEEDED: dict[Part, EnginePart] = {
    "detector": "detector",
    "encoder": "encoder",
    "motion": "frame",
    "generator": "frame",
    "refiner": "refiner",
}


def engine_folder(bundle: ModelBundle, folder: Path | None = None) -> Path:
    """Where a model's engines lie: `folder`, or what $ADASR_ENGINE_FOLDER says, or `engines` in the model folder."""
    named = os.environ.get(FOLDER_VARIABLE)
    return folder or (Path(named) if named else bundle.folder / FOLDER_NAME)


def load_tensorrt_model(
    bundle: ModelBundle,
    *,
    device: str | None = None,
    parts: Sequence[Part] = PARTS,
    adapter: Adapter | None = None,
    folder: Path | None = None,
) -> TensorRtModel:
    """Load the engines of a model that were built for this machine.

    `device`: number of the GPU, None for the first. `folder`: see `engine_folder`.

    Raises:
        EngineError: CUDA or TensorRT is missing or does not start, no engine fits this GPU, this TensorRT and this
        model, one was changed, or the GPU's memory is full. The message says what to do.
    """
    if adapter is not None:
        raise EngineError(
            "TensorRT engines have their weights built in and take no adapter; use --engine onnxruntime-cuda for it"
        )
    # First what is missing, then what is wrong: a machine without TensorRT must not be told to build engines.
    import_tensorrt()
    cuda = CudaDevice(gpu_number(device))
    try:
        place = engine_folder(bundle, folder)
        found = find_engines(place, bundle, cuda.gpu, tensorrt_version())
        needed = {_NEEDED[part] for part in parts}
        missing = [part for part in sorted(needed) if (part, 1) not in found]
        if missing:
            raise EngineError(
                f"TensorRT engines in {place}: no {' and no '.join(missing)} for a batch of 1 that runs here; build "
                f"them: {build_command(bundle, place)}"
            )
        return TensorRtModel(cuda, {key: file for key, file in found.items() if key[0] in needed})
    except BaseException:
        cuda.close()
        raise


def load_built(bundle: ModelBundle, files: Sequence[EngineFile], *, device: str | None = None) -> TensorRtModel:
    """Load just these engines, whatever else lies in their folder.

    Raises:
        EngineError: one does not run here for that model, or see `load_tensorrt_model`.
    """
    import_tensorrt()
    cuda = CudaDevice(gpu_number(device))
    try:
        for file in files:
            reason = file.metadata.refusal(bundle, cuda.gpu, tensorrt_version())
            if reason is not None:
                raise EngineError(f"engine {file.path.name}: {reason}; build it again")
        return TensorRtModel(cuda, {(file.metadata.part, file.metadata.batch): file for file in files})
    except BaseException:
        cuda.close()
        raise


class TensorRtModel:
    """A `DeviceModel` on TensorRT; see `load_tensorrt_model`."""

    def __init__(self, device: CudaDevice, files: Mapping[tuple[EnginePart, int], EngineFile]) -> None:
        """Load engines that run on `device`, by part and batch. It closes the device when it is closed.

        Raises:
            EngineError: one was changed, TensorRT refuses it, or the GPU's memory is full.
        """
        self._device = device
        self._closed = False
        loader = EngineLoader(device)
        self._detector: _PictureEngine | None = None
        self._encoder: _PictureEngine | None = None
        self._refiner: _PictureEngine | None = None
        self._frames: dict[int, FrameLaunch] = {}
        with device:
            for (part, batch), file in sorted(files.items()):
                engine = loader.load(file)
                if part == "frame":
                    self._frames[batch] = FrameLaunch(device, engine)
                elif part == "encoder":
                    self._encoder = _PictureEngine(device, engine, bind_outputs=False)
                elif part == "refiner":
                    self._refiner = _PictureEngine(device, engine, bind_outputs=True)
                else:
                    self._detector = _PictureEngine(device, engine, bind_outputs=True)
        shown = files.get(("frame", 1)) or next(iter(files.values()))
        self._description = EngineDescription(
            "tensorrt", f"{device.gpu}, TensorRT {shown.metadata.tensorrt}", shown.metadata.precision, None
        )

    def describe(self) -> EngineDescription:
        """GPU, TensorRT's version and the generator's precision."""
        return self._description

    def detect(self, image: Image) -> Detection:
        """See `FaceModel.detect`."""
        engine = _loaded(self._detector, "detector")
        with self._device:
            engine.run(image=image)
            keypoints, jacobians, confidence = engine.outputs("keypoints", "jacobians", "confidence")
        return Detection(MotionParameters.create(keypoints[0], jacobians[0]), confidence[0])

    def encode(self, picture: Image) -> TensorRtFeatures:
        """See `FaceModel.encode`; the features lie on the device, in one allocation."""
        engine = _loaded(self._encoder, "encoder")
        with self._device:
            features = TensorRtFeatures(self._device, engine.engine.metadata.outputs)
            try:
                engine.engine.bind(features.addresses())
                engine.run(image=picture)
            except BaseException:
                features.close()
                raise
        return features

    def rebuild(self, features: ReferenceFeatures, reference: MotionParameters, driving: MotionParameters) -> Image:
        """See `FaceModel.rebuild`."""
        return self.rebuild_batch([RebuildRequest(features, reference, driving)])[0]

    def rebuild_batch(self, requests: Sequence[RebuildRequest]) -> list[Image]:
        """See `FaceModel.rebuild_batch`; as few launches as the batches that were built allow."""
        self._check_open()
        frames: list[Image] = []
        left = list(requests)
        with self._device:
            while left:
                launch = self._launch_for(len(left))
                now, left = left[: launch.batch], left[launch.batch :]
                launch.run(now)
                frames += launch.frames(len(now))
        return frames

    def flow(self, features: ReferenceFeatures, reference: MotionParameters, driving: MotionParameters) -> Array:
        """See `FaceModel.flow`."""
        self._check_open()
        with self._device:
            launch = self._launch_for(1)
            launch.run([RebuildRequest(features, reference, driving)])
            return launch.flow()

    @property
    def refines(self) -> bool:
        """See `DeviceModel`."""
        return self._refiner is not None

    def refine(self, earlier: Image, later: Image, weight: float) -> Image:
        """See `FaceModel.refine`; both pictures up, one down."""
        engine = _loaded(self._refiner, "refiner")
        with self._device:
            engine.run(earlier=earlier, later=later, weight=weight)
            (frame,) = engine.outputs("frame")
        return np.asarray(frame[0], np.uint8)

    def close(self) -> None:
        """Free everything on the device. Twice is once."""
        if self._closed:
            return
        self._closed = True
        with self._device:
            for launch in self._frames.values():
                launch.close()
            for engine in (self._detector, self._encoder, self._refiner):
                if engine is not None:
                    engine.close()
        self._frames, self._detector, self._encoder, self._refiner = {}, None, None, None
        self._device.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("model: was closed; load it again")

    def _launch_for(self, count: int) -> FrameLaunch:
        if not self._frames:
            raise ValueError("motion and generator: were not loaded; name them in FaceModel.load(parts=...)")
        sizes = sorted(self._frames)
        filled = [size for size in sizes if size <= count]
        # A batch that is nearly full costs less than two launches.
        holding = [size for size in sizes if count <= size < 2 * count]
        return self._frames[holding[0] if holding else filled[-1]]


class _PictureEngine:
    """Detector, encoder or refiner: pictures of bytes in, a run, a wait."""

    def __init__(self, device: CudaDevice, engine: LoadedEngine, *, bind_outputs: bool) -> None:
        self.engine = engine
        self._device = device
        name = engine.metadata.part
        self._input = DeviceBlock(device, engine.metadata.inputs, f"{name}'s inputs", pinned=True)
        self._output: DeviceBlock | None = None
        engine.bind(self._input.addresses())
        if bind_outputs:
            self._output = DeviceBlock(device, engine.metadata.outputs, f"{name}'s outputs", pinned=True)
            engine.bind(self._output.addresses())

    def run(self, **inputs: Image | float) -> None:
        """Copy the inputs over, by name, run, wait: the pinned memory is used for the next."""
        doing = f"engine {self.engine.metadata.part}"
        for name, value in inputs.items():
            self._input.view(name)[:] = value
        with self._device.reported(doing):
            self._input.upload()
            self.engine.queue()
            if self._output is not None:
                self._output.download()
        self._device.synchronize(doing)

    def outputs(self, *names: str) -> list[AnyArray]:
        """Copies of outputs by name."""
        assert self._output is not None
        return [self._output.view(name).copy() for name in names]

    def close(self) -> None:
        """Free the engine and the device memory."""
        self.engine.close()
        self._input.close()
        if self._output is not None:
            self._output.close()


def _loaded(engine: _PictureEngine | None, part: Part) -> _PictureEngine:
    if engine is None:
        raise ValueError(f"{part}: was not loaded; name it in FaceModel.load(parts=...)")
    return engine
