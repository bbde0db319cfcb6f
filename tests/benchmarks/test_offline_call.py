"""The real sender and receiver back to back on the sample clip."""

from __future__ import annotations

from functools import cache

import av
import numpy as np
import pytest

from adasr.sample import sample_clip_path
from benchmarks.offline_call import OfflineCall, run_offline_call
from benchmarks.offline_line import OfflineLineConfig
from benchmarks.rebuild_quality import Image, psnr_db
from sender import CropMode, RatePlan, SenderConfig, TrackerConfig
from tests.real_model import edge_codec, edge_model

FRAMES = 30
TIMES = [70.0 + number / 25 for number in range(FRAMES)]  # beyond 65,536 ms: capture times wrap


@cache
def sample_images() -> list[Image]:
    with av.open(str(sample_clip_path())) as container:
        frames = container.decode(container.streams.video[0])
        return [np.asarray(next(frames).to_ndarray(format="rgb24"), np.uint8) for _ in range(FRAMES)]


def call(line: OfflineLineConfig | None = None, plan: RatePlan | None = None) -> OfflineCall:
    return run_offline_call(
        sample_images(),
        TIMES,
        edge_model(),
        edge_codec(),
        plan=plan if plan is not None else RatePlan(frames_per_message=2),
        sender_config=SenderConfig(tracker=TrackerConfig(mode=CropMode.FULL)),
        line=line,
    )


@cache
def ideal_call() -> OfflineCall:
    return call()


def test_every_frame_is_shown_and_looks_like_its_source() -> None:
    result = ideal_call()
    assert len(result.shown) == len(result.fresh) == FRAMES
    assert result.frames_sent == FRAMES
    assert sum(result.fresh) >= FRAMES - 8, "all but those before the first picture is acknowledged"
    sources = sample_images()
    quality = [psnr_db(source, shown) for source, shown in zip(sources, result.shown, strict=True)]
    held = [psnr_db(source, result.shown[0]) for source in sources]
    assert np.mean(quality[8:]) > np.mean(held[8:]) + 1.0, "better than the first picture held"


def test_bytes_are_those_of_the_packets_and_their_headers() -> None:
    result = ideal_call()
    assert result.wire.first_picture > 500
    assert result.wire.motion >= result.sending.motion_bytes + 85 * (FRAMES // 2 - 8)
    assert result.wire.first_picture + result.wire.references > result.sending.reference_bytes
    assert result.wire.feedback > 0


def test_a_call_gives_the_same_again() -> None:
    first, second = ideal_call(), call()
    assert first.wire == second.wire
    assert first.fresh == second.fresh
    assert all(np.array_equal(a, b) for a, b in zip(first.shown, second.shown, strict=True))


def test_frames_left_out_are_held() -> None:
    result = call(plan=RatePlan(frame_interval_s=0.08))
    assert result.frames_sent == FRAMES // 2
    assert 2 * result.wire.motion < 1.3 * call(plan=RatePlan()).wire.motion


def test_a_lossy_line_still_shows_most_frames() -> None:
    result = call(OfflineLineConfig(loss=0.1, seed=3, kbps=64.0), RatePlan(frames_per_message=1))
    assert sum(result.fresh) >= 0.7 * FRAMES


def test_times_must_rise() -> None:
    with pytest.raises(ValueError, match="do not rise"):
        run_offline_call(sample_images()[:2], [1.0, 1.0], edge_model(), edge_codec(), plan=RatePlan())


def test_anchors_travel_with_motion_and_show_up_in_the_bytes() -> None:
    plan = RatePlan(frames_per_message=6, anchor_frames=6, anchor_crf=58.0, reference_bps=1e6)
    result = call(OfflineLineConfig(kbps=64.0), plan)
    assert result.first_frame == 0
    assert 150 < result.first_head_bytes < 400
    assert [round((time - TIMES[0]) * 25) for time in result.anchor_times] == sorted(
        {round((time - TIMES[0]) * 25) for time in result.anchor_times}
    )
    assert len(result.anchor_times) == result.sending.anchors == result.receiving.anchors >= 3
    assert result.wire.references == 0
    headers = result.wire.anchors - result.sending.anchor_bytes
    assert 19 * result.sending.anchors <= headers <= 22 * result.sending.anchors, "16 + 3, padded to four"
    sources = sample_images()
    quality = [psnr_db(source, shown) for source, shown in zip(sources, result.shown, strict=True)]
    plain = [psnr_db(source, shown) for source, shown in zip(sources, ideal_call().shown, strict=True)]
    assert np.mean(quality[8:]) > np.mean(plain[8:])


def test_a_lost_message_costs_its_anchor_some_time_and_no_more() -> None:
    plan = RatePlan(frames_per_message=3, anchor_frames=3, anchor_crf=58.0, reference_bps=1e6)
    result = call(OfflineLineConfig(kbps=64.0, loss=0.2, seed=5), plan)
    assert result.receiving.anchors == result.sending.anchors
    assert result.receiving.malformed == 0
