"""Our side of the comparison: the real sender and receiver over an offline line, at every wire rate."""

from __future__ import annotations

from dataclasses import dataclass

from adasr.compare_clip import ComparedClip
from adasr.compare_row import OURS, CompareRow
from adasr_core.bitstream import MotionCodec
from adasr_core.bundle import ModelBundle
from adasr_core.engines import EngineName, FaceModel
from adasr_core.engines.face_model import PARTS
from benchmarks.clip_budget import ClipBudget, ClipBudgetConfig
from benchmarks.offline_call import run_offline_call
from benchmarks.offline_line import OfflineLineConfig
from benchmarks.wire_rate_search import RateTarget
from sender import CropMode, SenderConfig, TrackerConfig

PEAK_KBPS = 64.0
"""What the line carries for moments: the call's own peak on a line without a cap. The mean is the target."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OursConfig:
    """How our codec is run."""

    engine: EngineName = "openvino"
    """What runs the networks."""
    threads: int | None = None
    """Processor threads; None takes all."""
    frames_per_message: int = 3
    """Frames in a datagram, 1 to 4."""


class OursComparison:
    """Our codec on clip after clip, rate after rate; the networks are loaded once."""

    def __init__(self, bundle: ModelBundle, config: OursConfig) -> None:
        self._config = config
        self._name = f"{bundle.manifest.name} {bundle.manifest.version}"
        self._model = FaceModel.load(bundle, engine=config.engine, threads=config.threads, parts=PARTS)
        self._codec = MotionCodec(bundle.tables(), self._model.keypoints)

    def rows(self, clip: ComparedClip, target: RateTarget) -> list[CompareRow]:
        """The one row of a clip at a rate."""
        config = self._config
        line = OfflineLineConfig(kbps=max(PEAK_KBPS, target.kbps))
        budget = ClipBudget(
            ClipBudgetConfig(
                target=target,
                seconds=clip.seconds,
                frame_rate=float(clip.frame_rate),
                start=clip.times[0],
                frames_per_message=config.frames_per_message,
            )
        )
        call = run_offline_call(
            clip.images,
            clip.times,
            self._model,
            self._codec,
            plan=budget,
            sender_config=SenderConfig(tracker=TrackerConfig(mode=CropMode.FULL)),
            line=line,
        )
        per_byte_kbps = 8 / 1000 / clip.seconds
        return [
            CompareRow(
                clip=clip.name,
                codec=OURS,
                settings=f"{self._name}, {config.engine}, {config.frames_per_message} frames a message",
                target_kbps=target.kbps,
                frame_rate=float(clip.frame_rate) * sum(call.fresh) / len(call.fresh),
                wire_kbps=call.wire.forward * per_byte_kbps,
                steady_kbps=call.wire.steady * per_byte_kbps,
                first_picture_bytes=call.wire.first_picture,
                quality=clip.measure(iter(call.shown)),
            )
        ]
