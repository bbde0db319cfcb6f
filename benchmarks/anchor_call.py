"""An offline call whose anchors have one quality and one distance throughout, whatever rate that takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from adasr_core.bitstream import MotionCodec
from adasr_core.engines import FaceModel
from benchmarks.offline_call import OfflineCall, run_offline_call
from benchmarks.offline_line import OfflineLineConfig
from sender import CropMode, RatePlan, SenderConfig, TrackerConfig

_UNBOUNDED_BPS = 1e7  # the quality keeps to the rate, not the pace


def run_anchor_call(
    frames: Iterable[npt.NDArray[np.uint8]],
    times: Sequence[float],
    model: FaceModel,
    codec: MotionCodec,
    *,
    every: int,
    crf: float,
    line: OfflineLineConfig | None = None,
    draw: bool = True,
) -> OfflineCall:
    """Send a square clip as it is; arguments, result and errors as those of `run_offline_call`.

    every: frames from one anchor to the next, and in a message, 1 to 8. crf: of the anchors, 1 to 70.
    """
    return run_offline_call(
        frames,
        times,
        model,
        codec,
        plan=RatePlan(frames_per_message=every, anchor_frames=every, anchor_crf=crf, reference_bps=_UNBOUNDED_BPS),
        sender_config=SenderConfig(tracker=TrackerConfig(mode=CropMode.FULL)),
        line=line,
        draw=draw,
    )
