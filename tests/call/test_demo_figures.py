from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from adasr_core.picture_quality import psnr_db
from call.demo_figures import beside_each_other, demo_faults, latencies_ms, measure_demo, outage_of, pair_frames
from call.emulated_line import LineConfig
from call.liveness import PathQuality
from call.messages import TransportStatistics, WireMark
from call.peer import CallReport
from call.receiving import ReceivingReport
from call.sending_report import SendingReport
from call.shown_frames import Outage
from call.sinks import PictureStore, StoredFrame
from call.wire_meter import WireCount
from receiver import ReceiverStatistics
from sender.rate_control import LineFigures
from sender.rate_estimate import LineState

START_MS = 65_500  # the capture time in a packet wraps at 65,536


def _sending(frames: int, seconds: float = 0.0) -> CallReport:
    times = tuple(START_MS + 40 * n for n in range(frames))
    report = SendingReport(
        frames_captured=frames + 2,
        frames_dropped=1,
        frames_left_out=1,
        frames_without_face=0,
        frames_sent=frames,
        messages=(frames + 1) // 2,
        motion_bytes=20 * frames,
        references=1,
        reference_bytes=5000,
        references_named=0,
        references_by_kind=(("first", 1),),
        anchors=4,
        anchor_bytes=1000,
        malformed=0,
        sent_times_ms=times,
        coding_ms=(5.0,) * frames,
        capture_span_s=0.04 * (frames + 1),
        line=LineFigures(24_000.0, LineState.CLEAR, 0.01, 0.05, 0.0),
    )
    marks = [
        WireMark(0.0, WireCount(1000, 1, 500, 1, 0)),
        WireMark(0.5, WireCount(7000, 7, 1500, 4, 0)),
        WireMark(2.0, WireCount(13_000, 60, 6500, 50, 0)),
    ]
    statistics = TransportStatistics(
        marks[2], marks[0], marks[1], marks[2], frames, 0, 0, 1, 0, PathQuality.GOOD, 1.0, 0
    )
    return CallReport("", False, None, report, None, statistics)


def _receiving(captures: list[int], latency_ms: float = 70.0, failed: bool = False) -> CallReport:
    report = ReceivingReport(
        frames_shown=len(captures),
        frames_made_up=0,
        references=1,
        malformed=0,
        feedback_sent=2,
        queue_dropped=0,
        capture_times_ms=tuple(c & 0xFFFF for c in captures),
        shown_times_s=tuple((c + latency_ms) / 1000 for c in captures),
        made_up=(False,) * len(captures),
        rebuild_ms=(20.0,) * len(captures),
        statistics=ReceiverStatistics(**dict.fromkeys((f.name for f in fields(ReceiverStatistics)), 0)),
    )
    return CallReport("gone" if failed else "", failed, None, None, report, None)


def _store(path: Path, levels: list[int], times: list[int]) -> PictureStore:
    store = PictureStore(path, 16)
    for level, time_ms in zip(levels, times, strict=True):
        store.add(np.full((16, 16, 3), level, np.uint8), time_ms)
    store.close()
    return store


def test_frames_pair_by_capture_time_across_the_wrap() -> None:
    sent = [StoredFrame(START_MS + 40 * n, False) for n in range(5)]
    shown = [StoredFrame((START_MS + 40 * n + d) & 0xFFFF, False) for n, d in ((0, 0), (1, 1), (3, -2), (4, 3))]
    assert pair_frames(sent, shown) == [(0, 0), (1, 1), (3, 2)]
    assert pair_frames([], shown) == []
    assert pair_frames(sent, []) == []


def test_latency_is_unwrapped() -> None:
    report = _receiving([65_530, 65_570, 131_100], latency_ms=90.0).receiving
    assert report is not None
    assert latencies_ms(report) == pytest.approx([90.0, 90.0, 90.0])


def test_psnr_of_a_known_error() -> None:
    black = np.zeros((8, 8, 3), np.uint8)
    assert psnr_db(black, black) == 99.0
    assert psnr_db(black, black + np.uint8(1)) == pytest.approx(48.13, abs=0.01)
    assert psnr_db(black, black + np.uint8(255)) == pytest.approx(0.0)


def test_the_figures_of_a_small_call(tmp_path: Path) -> None:
    times = [START_MS + 40 * n for n in range(5)]
    sent = _store(tmp_path / "sent", [100] * 5, times)
    shown = _store(tmp_path / "shown", [101] * 4, [time_ms & 0xFFFF for time_ms in times[:4]])
    figures = measure_demo(_sending(5), _receiving(times[:4]), sent.frames, shown.frames, sent.path, shown.path, 16)
    assert figures.seconds == pytest.approx(0.16)
    assert (figures.frames_sent, figures.frames_rebuilt) == (5, 4)
    assert figures.fps_captured == pytest.approx(25.0)
    assert figures.fps_shown == pytest.approx(25.0)
    assert figures.bytes_per_frame == 20.0
    assert figures.frames_per_message == pytest.approx(5 / 3)
    assert figures.shown_share == pytest.approx(0.8)
    assert figures.longest_freeze_ms == pytest.approx(40.0)
    assert figures.recovery_ms is None
    assert (figures.line_kbps, figures.rtt_ms) == (24.0, 50.0)
    assert figures.payload_kbps == pytest.approx(6100 * 8 / 1000 / 0.16)
    assert figures.wire_kbps == pytest.approx(12_000 * 8 / 1000 / 2)
    assert figures.return_kbps == pytest.approx(6000 * 8 / 1000 / 2)
    assert figures.steady_wire_kbps == pytest.approx(6000 * 8 / 1000 / 1.5)
    assert figures.latency_ms_p50 == pytest.approx(70.0)
    assert figures.psnr_db == pytest.approx(48.13, abs=0.01)
    assert demo_faults(_sending(5), _receiving(times[:4]), figures) == []


def test_a_call_that_did_not_work_has_faults(tmp_path: Path) -> None:
    empty = _store(tmp_path / "empty", [], [])
    sent = _store(tmp_path / "sent", [100] * 50, [START_MS + 40 * n for n in range(50)])
    nothing = _receiving([], failed=True)
    figures = measure_demo(_sending(50), nothing, sent.frames, [], sent.path, empty.path, 16)
    assert figures.psnr_db is None
    assert figures.latency_ms_p50 is None
    faults = " | ".join(demo_faults(_sending(50), nothing, figures))
    assert "receiving peer's call failed: gone" in faults
    assert "0 frames were rebuilt" in faults
    slow = _receiving([START_MS + 80 * n for n in range(25)])
    figures = measure_demo(_sending(50), slow, sent.frames, [], sent.path, empty.path, 16)
    faults = " | ".join(demo_faults(_sending(50), slow, figures))
    assert "12.5 frames a second were shown, at least 20.0" in faults
    assert "50 % of the 50 frames sent were shown" in faults


def test_an_outage_is_timed_from_the_first_media() -> None:
    statistics = _sending(5).statistics
    assert statistics is not None
    assert outage_of(None, statistics) is None
    assert outage_of(LineConfig(loss=0.1), statistics) is None
    assert outage_of(LineConfig(outage_at_s=2.0, outage_s=5.0), statistics) == Outage(2.0, 7.0)


def test_the_film_shows_both_and_repeats_a_lost_frame(tmp_path: Path) -> None:
    times = [START_MS + 40 * n for n in range(4)]
    sent = _store(tmp_path / "sent", [10, 20, 30, 40], times)
    shown = _store(tmp_path / "shown", [12, 32], [times[1] & 0xFFFF, times[3] & 0xFFFF])
    film = list(beside_each_other(sent.frames, shown.frames, sent.path, shown.path, 16))
    assert [ticks for _, ticks in film] == [0, 3600, 7200, 10800]
    assert [(int(picture[0, 0, 0]), int(picture[0, 31, 0])) for picture, _ in film] == [
        (10, 0),
        (20, 12),
        (30, 12),
        (40, 32),
    ]
    assert film[0][0].shape == (16, 32, 3)
