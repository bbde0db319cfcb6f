"""Our side of the comparison: the real sender and receiver over an offline line, at every wire rate."""

from __future__ import annotations

from dataclasses import dataclass

from adasr.compare_clip import ComparedClip
from adasr.compare_row import OURS, CompareRow
from adasr_core.bitstream import MAX_MESSAGE_FRAMES, MotionCodec
from adasr_core.bundle import ModelBundle
from adasr_core.engines import EngineName, FaceModel
from benchmarks.anchor_call import run_anchor_call
from benchmarks.anchor_rate import WORST_CRF, AnchorRate
from benchmarks.offline_call import OfflineCall
from benchmarks.offline_line import OfflineLineConfig
from benchmarks.wire_rate_search import RateTarget

PEAK_KBPS = 64.0
"""What the line carries for moments: the call's own peak on a line without a cap. The mean is the target."""

_TRIES = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class OursConfig:
    """How our codec is run."""

    engine: EngineName = "openvino"
    """What runs the networks."""
    threads: int | None = None
    """Processor threads; None takes all."""
    anchor_frames: tuple[int, ...] = (4, 6, 8)
    """Frames from one anchor to the next, and in a message, that are tried: 1 to 8 each."""

    def __post_init__(self) -> None:
        """Check the range. Raises ValueError."""
        if not self.anchor_frames or not all(1 <= every <= MAX_MESSAGE_FRAMES for every in self.anchor_frames):
            raise ValueError(
                f"anchor_frames: got {self.anchor_frames}, expected numbers from 1 to {MAX_MESSAGE_FRAMES}"
            )


class OursComparison:
    """Our codec on clip after clip, rate after rate; the networks are loaded once."""

    def __init__(self, bundle: ModelBundle, config: OursConfig) -> None:
        self._config = config
        self._name = f"{bundle.manifest.name} {bundle.manifest.version}"
        self._model = FaceModel.load(bundle, engine=config.engine, threads=config.threads)
        self._codec = MotionCodec(bundle.tables(), self._model.keypoints)
        self._clip: ComparedClip | None = None
        self._rates: dict[int, AnchorRate] = {}

    def rows(self, clip: ComparedClip, target: RateTarget) -> list[CompareRow]:
        """The row of a clip at a rate: the interval of anchors that gives the best PSNR of the whole frame.

        No row where no interval reaches the rate.
        """
        if clip is not self._clip:
            self._clip, self._rates = clip, {}
        rows = [row for every in self._config.anchor_frames if (row := self._row(clip, target, every)) is not None]
        return [max(rows, key=lambda row: row.quality.psnr_db)] if rows else []

    def _row(self, clip: ComparedClip, target: RateTarget, every: int) -> CompareRow | None:
        line = OfflineLineConfig(kbps=max(PEAK_KBPS, target.kbps))
        if every not in self._rates:
            self._rates[every] = self._measure(clip, every, line)
        crf = self._rates[every].crf(target)
        per_byte_kbps = 8 / 1000 / clip.seconds
        for _ in range(_TRIES):
            if crf is None or crf > WORST_CRF:
                return None
            call = self._call(clip, every, crf, line)
            counted = call.wire.forward if target.first_picture_counts else call.wire.steady
            if counted * per_byte_kbps <= target.kbps:
                break
            # Acknowledgements came at other moments than when the motion was measured.
            crf += 0.25
        else:
            return None
        return CompareRow(
            clip=clip.name,
            codec=OURS,
            settings=f"{self._name}, {self._config.engine}, anchor every {every}. frame, crf {crf:g}",
            target_kbps=target.kbps,
            frame_rate=float(clip.frame_rate) * sum(call.fresh) / len(call.fresh),
            wire_kbps=call.wire.forward * per_byte_kbps,
            steady_kbps=call.wire.steady * per_byte_kbps,
            first_picture_bytes=call.wire.first_picture,
            quality=clip.measure(iter(call.shown)),
        )

    def _measure(self, clip: ComparedClip, every: int, line: OfflineLineConfig) -> AnchorRate:
        """What does not hang on the quality of the anchors: which frames they are, and what motion takes."""
        call = self._call(clip, every, WORST_CRF, line, draw=False)
        numbers = {time: number for number, time in enumerate(clip.times)}
        pictures = [clip.images[numbers[time]] for time in (clip.times[call.first_frame], *call.anchor_times)]
        return AnchorRate(
            pictures,
            seconds=clip.seconds,
            motion_bytes=call.wire.motion,
            first_head_bytes=call.first_head_bytes,
            line=line,
        )

    def _call(
        self, clip: ComparedClip, every: int, crf: float, line: OfflineLineConfig, *, draw: bool = True
    ) -> OfflineCall:
        return run_anchor_call(
            clip.images, clip.times, self._model, self._codec, every=every, crf=crf, line=line, draw=draw
        )
