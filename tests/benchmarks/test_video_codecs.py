"""Ordinary encoders on the sample clip: low delay, and at the wire rate that was asked for."""

from __future__ import annotations

import os
import sys
from fractions import Fraction
from functools import cache

import av
import numpy as np
import pytest

from adasr.sample import sample_clip_path
from benchmarks.rtp_cost import PACKET_HEADER_BYTES
from benchmarks.video_codecs import VIDEO_CODECS, YuvPicture, code_video
from benchmarks.wire_rate_search import TOLERANCE, ClipCoder, RateTarget, finest_within

RATE = Fraction(25)
FRAMES = 50


@cache
def sample_pictures() -> list[YuvPicture]:
    """The first two seconds of the sample clip, 4:2:0 as stored."""
    with av.open(str(sample_clip_path())) as container:
        frames = container.decode(container.streams.video[0])
        return [np.asarray(next(frames).reformat(format="yuv420p").to_ndarray(), np.uint8) for _ in range(FRAMES)]


def luma_psnr_db(a: YuvPicture, b: YuvPicture) -> float:
    error = float(np.square(a[:512].astype(np.float64) - b[:512]).mean())
    ratio = 255**2 / max(error, 1e-9)
    return float(10 * np.log10(ratio))


@pytest.mark.parametrize("name", sorted(VIDEO_CODECS))
def test_a_picture_in_is_a_packet_out_and_comes_back(name: str) -> None:
    pictures = sample_pictures()[:12]
    coded = code_video(pictures, VIDEO_CODECS[name], 30, RATE)
    decoded = coded.decode()
    assert len(coded.packets) == len(decoded) == 12
    assert all(0 < payload <= len(data) for payload, data in zip(coded.payloads, coded.packets, strict=True))
    assert np.mean([luma_psnr_db(a, b) for a, b in zip(pictures, decoded, strict=True)]) > 33
    assert coded.payloads[0] > 3 * np.mean(coded.payloads[1:]), "one key frame, then differences"


@pytest.mark.skipif(sys.platform != "linux", reason="scheduling classes are Linux's")
def test_encoders_take_no_real_time_class() -> None:
    code_video(sample_pictures()[:2], VIDEO_CODECS["svt-av1"], 50, RATE)
    threads = [int(thread) for thread in os.listdir("/proc/self/task")]
    assert {os.sched_getscheduler(thread) for thread in threads} == {os.sched_getscheduler(0)} == {os.SCHED_OTHER}


def test_every_third_picture_is_coded() -> None:
    pictures = sample_pictures()[:10]
    coded = code_video(pictures, VIDEO_CODECS["svt-av1"], 40, RATE, step=3)
    decoded = coded.decode()
    assert len(decoded) == 4
    assert all(luma_psnr_db(picture, pictures[3 * number]) > 28 for number, picture in enumerate(decoded))


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="expected at least 1"):
        code_video([], VIDEO_CODECS["vp9"], 40, RATE)
    with pytest.raises(ValueError, match="expected at least 1"):
        code_video(sample_pictures()[:1], VIDEO_CODECS["vp9"], 40, RATE, step=0)
    with pytest.raises(ValueError, match="kbps: got 0"):
        RateTarget(kbps=0)


@pytest.mark.parametrize("counts", [True, False])
def test_the_search_meets_the_rate_on_the_sample_clip(counts: bool) -> None:
    coder = ClipCoder(sample_pictures(), VIDEO_CODECS["svt-av1"], RATE)
    for kbps, step in ((60.0, 1), (30.0, 3)):
        target = RateTarget(kbps=kbps, first_picture_counts=counts)
        coded = coder.meet(target, step)
        assert coded is not None
        assert len(coded.packets) == -(-FRAMES // step)
        # The encoder's grid of qualities may be coarser than the tolerance on so short a clip.
        assert (1 - 2 * TOLERANCE) * kbps <= coder.wire_kbps(coded, target) <= kbps


def test_a_rate_below_the_headers_is_out_of_reach() -> None:
    coder = ClipCoder(sample_pictures(), VIDEO_CODECS["svt-av1"], RATE)
    headers_kbps = float(RATE) * PACKET_HEADER_BYTES * 8 / 1000
    assert headers_kbps == 10.0
    assert coder.meet(RateTarget(kbps=headers_kbps), 1) is None
    assert coder.meet(RateTarget(kbps=headers_kbps), 5) is not None


def exponential(value: float) -> float:
    return float(1000 * 0.9**value)


def test_the_finest_value_within_the_target_is_found_in_few_trials() -> None:
    tried: list[float] = []

    def rate(value: float) -> float:
        tried.append(value)
        return exponential(value)

    found = finest_within(rate, 30.0, 0, 63, 0.25)
    assert found is not None
    assert 0.97 * 30 <= exponential(found) <= 30
    assert len(tried) == len(set(tried)) <= 8


def test_a_coarse_grid_gives_the_finest_that_fits() -> None:
    found = finest_within(exponential, 30.0, 0, 63, 1)
    assert found == 34
    assert exponential(33) > 30


def test_ends_of_the_range() -> None:
    assert finest_within(exponential, 0.5, 0, 63, 1) is None
    assert finest_within(exponential, 1e6, 0, 63, 1) == 0


def test_known_rates_are_not_measured_again() -> None:
    def rate(value: float) -> float:
        raise AssertionError(f"measured {value}")

    known = {float(value): exponential(value) for value in range(64)}
    assert finest_within(rate, 30.0, 0, 63, 1, known=known) == 34
