"""How long each part of a model takes here: detector and frame (every frame), encoder (every key frame), refiner."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from adasr_core.bitstream import AnchorPacket, CodedFrame
from adasr_core.bundle import ModelBundle
from adasr_core.engines import EngineDescription, EngineName, FaceModel
from adasr_core.geometry import MotionParameters
from benchmarks.batch_speed import BatchSpeed, measure_batch
from benchmarks.environment import Processor, describe_processor, load_average, package_version, source_commit
from benchmarks.gpu_state import GpuState, gpu_state
from benchmarks.graph_cost import graph_cost
from benchmarks.percentiles import Percentiles, measure
from receiver.anchors import Anchors

Picture = NDArray[np.uint8]
_ANCHOR_MS = 320
DISTRIBUTIONS: dict[str, tuple[str, ...]] = {
    "openvino": ("openvino",),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "onnxruntime-cuda": ("onnxruntime-gpu", "onnxruntime"),
    "tensorrt": ("tensorrt", "tensorrt-cu12", "tensorrt-cu13"),
    "torch-cpu": ("torch",),
    "torch-cuda": ("torch",),
}
"""Distributions that hold an engine, by the name it describes itself with; the first that is installed counts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeedReport:
    """Measured speed of one model on one engine.

    Attributes:
        model: the model's name.
        codec_id: what both ends of a call must share.
        gmac: 1e9 multiply-accumulates of each graph.
        detector_ms: keypoints of one picture, conversion from uint8 included.
        encoder_ms: features of one key frame.
        frame_ms: motion field, generator and conversion to uint8: what a receiver runs for every frame.
        runs: measured runs of the detector and of the frame.
        engine: what it really ran on.
        engine_version: version of the engine's distribution.
        processor: the machine's processor.
        load_average: how busy the machine was before the measurement; above the number of cores the times are too long.
        commit: commit of the checkout, None for an installed package.
        batches: frames of several streams at once, by batch size; empty when not measured.
        gpu: the first GPU before the model was loaded; None without one.
        ceiling_tflops: what one large matrix product reaches on the engine's device and in its precision, in 1e12
            operations a second; None when not measured.
        refiner_ms: the refiner alone, from bytes to bytes; None where the model has none, or the engine runs none.
        refined_ms: a frame between two anchors as a receiver draws it: two flows, two warps, the refiner; or None.
        published_ms: a frame of the published generator (2,406 GMAC) on the same device; None when not measured.
    """

    model: str
    codec_id: str
    gmac: dict[str, float]
    detector_ms: Percentiles
    encoder_ms: Percentiles
    frame_ms: Percentiles
    runs: int
    engine: EngineDescription
    engine_version: str
    processor: Processor
    load_average: float | None
    commit: str | None
    batches: tuple[BatchSpeed, ...] = ()
    gpu: GpuState | None = None
    ceiling_tflops: float | None = None
    refiner_ms: Percentiles | None = None
    refined_ms: Percentiles | None = None
    published_ms: Percentiles | None = None

    @property
    def gmac_per_frame(self) -> float:
        """What a receiver computes for every frame: motion field and generator."""
        return self.gmac["motion"] + self.gmac["generator"]

    @property
    def gmac_per_refined_frame(self) -> float | None:
        """What a receiver computes for a frame between two anchors: two flows, the refiner; None without a refiner."""
        return 2 * self.gmac["motion"] + self.gmac["refiner"] if "refiner" in self.gmac else None

    @property
    def fps(self) -> float:
        """Frames per second of one side of a call that detects and rebuilds in turn, at the median."""
        return 1e3 / (self.detector_ms.p50 + self.frame_ms.p50)

    @property
    def published_ratio(self) -> float | None:
        """How many times longer the published generator takes for a frame, at the medians; None when not measured."""
        return None if self.published_ms is None else round(self.published_ms.p50 / self.frame_ms.p50, 2)

    def to_json(self) -> dict[str, object]:
        """The report in JSON types."""
        return {
            "model": self.model,
            "codec_id": self.codec_id,
            "gmac_per_frame": round(self.gmac_per_frame, 4),
            "gmac": {part: round(gmac, 4) for part, gmac in self.gmac.items()},
            "detector_ms": self.detector_ms.to_json(),
            "encoder_ms": self.encoder_ms.to_json(),
            "frame_ms": self.frame_ms.to_json(),
            "refiner_ms": None if self.refiner_ms is None else self.refiner_ms.to_json(),
            "refined_ms": None if self.refined_ms is None else self.refined_ms.to_json(),
            "fps": round(self.fps, 2),
            "runs": self.runs,
            "engine": self.engine.engine,
            "engine_version": self.engine_version,
            "device": self.engine.device,
            "precision": self.engine.precision,
            "threads": self.engine.threads,
            "processor": self.processor.name,
            "cores": self.processor.cores,
            "isa_flags": list(self.processor.isa_flags),
            "load_average": self.load_average,
            "commit": self.commit,
            "batches": [batch.to_json(self.gmac_per_frame) for batch in self.batches],
            "gpu": None if self.gpu is None else asdict(self.gpu),
            "ceiling_tflops": None if self.ceiling_tflops is None else round(self.ceiling_tflops, 3),
            "published_ms": None if self.published_ms is None else self.published_ms.to_json(),
            "published_ratio": self.published_ratio,
        }


def measure_speed(
    bundle: ModelBundle,
    pictures: Sequence[Picture],
    *,
    engine: EngineName = "openvino",
    device: str | None = None,
    threads: int | None = None,
    load: Callable[[], FaceModel] | None = None,
    batches: Sequence[int] = (),
    runs: int = 100,
    warm_up: int = 10,
) -> SpeedReport:
    """Measure a model on real pictures, one after the other, as a call runs it.

    Args:
        bundle: the model.
        pictures: at least two frames of a talking person, uint8 [frame_px, frame_px, 3] RGB each; the first is the key
            frame, the others are rebuilt from it in turn.
        engine: what runs the graphs.
        device: OpenVINO device or ONNX Runtime provider; None is the CPU.
        threads: None for all cores.
        load: loads the model in place of the three above: an engine that `FaceModel.load` does not know.
        batches: also measure frames of so many streams at once, for each of these numbers.
        runs: measured runs of the detector and of the frame; the encoder gets a fifth of them.
        warm_up: runs of each before them.

    Raises:
        ValueError: too few pictures or runs, or a picture has another shape.
        EngineError: the engine or the device is not there.
    """
    if len(pictures) < 2:
        raise ValueError(f"pictures: got {len(pictures)}, expected at least 2; give a key frame and frames to rebuild")
    if runs < 1 or warm_up < 0:
        raise ValueError(f"runs, warm_up: got {runs}, {warm_up}, expected at least 1 and 0")
    busy = load_average()
    gpu = gpu_state()
    model = load() if load else FaceModel.load(bundle, engine=engine, device=device, threads=threads)
    size = (model.detector_px, model.detector_px)
    small = [np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8) for picture in pictures]
    parameters = [model.detect(image).parameters for image in small]
    features = model.encode(pictures[0])
    driving = parameters[1:]
    frame_ms = measure(
        lambda index: model.rebuild(features, parameters[0], driving[index % len(driving)]), runs=runs, warm_up=warm_up
    )
    detector_ms = measure(lambda index: model.detect(small[index % len(small)]), runs=runs, warm_up=warm_up)
    encoder_ms = measure(
        lambda index: model.encode(pictures[index % len(pictures)]),
        runs=max(1, runs // 5),
        warm_up=max(1, warm_up // 5),
    )
    refiner_ms = refined_ms = None
    if model.refines:
        refiner_ms = measure(
            lambda index: model.refine(pictures[0], pictures[index % len(pictures)], 0.5), runs=runs, warm_up=warm_up
        )
        drawn = _anchors(model, pictures, parameters)
        refined_ms = measure(
            lambda index: drawn.draw(1 + index % (_ANCHOR_MS - 1), driving[index % len(driving)]),
            runs=runs,
            warm_up=warm_up,
        )
    batch_speeds = tuple(
        measure_batch(
            model,
            pictures,
            parameters,
            batch=batch,
            runs=runs,
            warm_up=warm_up,
            gpu_before_mib=None if gpu is None else gpu.used_mib,
        )
        for batch in batches
    )
    description = model.describe()
    versions = (package_version(distribution) for distribution in DISTRIBUTIONS[description.engine])
    return SpeedReport(
        model=bundle.manifest.name,
        codec_id=bundle.codec_id,
        gmac={part: graph_cost(bundle.path(part)).gmac for part in bundle.manifest.graphs},
        detector_ms=detector_ms,
        encoder_ms=encoder_ms,
        frame_ms=frame_ms,
        refiner_ms=refiner_ms,
        refined_ms=refined_ms,
        runs=runs,
        engine=description,
        engine_version=next((found for found in versions if found), "unknown"),
        processor=describe_processor(),
        load_average=busy,
        commit=source_commit(),
        batches=batch_speeds,
        gpu=gpu,
    )


def _anchors(model: FaceModel, pictures: Sequence[Picture], parameters: Sequence[MotionParameters]) -> Anchors:
    """The first and the last picture as anchors."""
    anchors = Anchors(model)
    for time_ms, picture, motion in ((0, pictures[0], parameters[0]), (_ANCHOR_MS, pictures[-1], parameters[-1])):
        anchors.note_frames([CodedFrame(0, time_ms, 0, 0, 0, (), motion)])
        anchors.add(AnchorPacket(time_ms=time_ms, picture=b"decoded"), picture)
    return anchors
