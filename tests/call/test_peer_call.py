import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from adasr.video_file import open_video
from adasr_core.bundle import ModelBundle
from call.liveness import LivenessConfig
from call.peer import CallProgress, CallReport, PeerConfig, hold_call
from call.sinks import PreviewSink
from call.sources import CapturedFrame, ClipSource, SourceError
from sender import CropMode, SenderConfig, TrackerConfig
from tests.call.conftest import MODEL
from tests.call.post import Post

pytestmark = pytest.mark.skipif(os.name == "nt", reason="kill signals are POSIX")


@dataclass
class Side:
    """One peer in a thread of the test, its transport in a process of its own."""

    config: PeerConfig
    post: Post
    sink: PreviewSink | None = None
    hang_up: threading.Event = field(default_factory=threading.Event)
    progress: list[CallProgress] = field(default_factory=list)
    report: CallReport | None = None
    error: Exception | None = None

    def start(self) -> threading.Thread:
        thread = threading.Thread(target=self._hold, daemon=True)
        thread.start()
        return thread

    def _hold(self) -> None:
        try:
            self.report = hold_call(
                self.config, self.post, sink=self.sink, on_progress=self.progress.append, hang_up=self.hang_up
            )
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.error = error


def _sides(clip: Path, **changes: object) -> tuple[Side, Side]:
    post = Post()
    sender = SenderConfig(tracker=TrackerConfig(mode=CropMode.FULL), closed_loop_interval_frames=None)
    first = PeerConfig(
        offer=True,
        model=MODEL,
        source=ClipSource(clip, open_video, repeat=True),
        receives=False,
        loopback_only=True,
        sender=sender,
        liveness=LivenessConfig(lost_s=4.0),
    )
    second = replace(first, offer=False, source=None, receives=True, receiving_threads=1)
    first = replace(first, **changes)  # type: ignore[arg-type]
    return Side(first, post), Side(second, post, PreviewSink())


def _shown(side: Side) -> int:
    return side.progress[-1].frames_shown if side.progress else 0


def _wait_until_shown(side: Side, frames: int) -> None:
    deadline = time.monotonic() + 60
    while _shown(side) < frames:
        assert time.monotonic() < deadline, "no video within 60 s"
        assert side.error is None, side.error
        assert side.report is None, side.report
        time.sleep(0.05)


def _transports() -> set[int]:
    return {child.pid for child in multiprocessing.active_children() if child.pid is not None}


def test_a_call_from_invitation_to_goodbye(bundle: ModelBundle, sample_clip: Path) -> None:
    first, second = _sides(sample_clip, seconds=2.0)
    threads = [first.start(), second.start()]
    for thread in threads:
        thread.join(90)
    assert first.error is None
    assert second.error is None
    assert first.report is not None
    assert second.report is not None
    assert (first.report.failed, second.report.failed) == (False, False)
    assert second.report.reason == "the other side ended the call"
    assert first.report.remote is not None
    assert first.report.remote.codec_id == bundle.codec_id
    assert first.report.sending is not None
    assert second.report.receiving is not None
    assert second.report.receiving.frames_shown > 5
    assert second.sink is not None
    assert second.sink.frames == second.report.receiving.frames_shown
    assert first.report.statistics is not None
    shown = second.report.receiving
    assert first.report.sending.frames_sent >= shown.frames_shown - shown.frames_made_up
    assert first.report.statistics.motion_sent <= first.report.sending.frames_sent
    assert not multiprocessing.active_children()


def test_both_sides_send_and_receive(bundle: ModelBundle, sample_clip: Path) -> None:
    first, second = _sides(sample_clip)
    source = first.config.source
    first = replace(first, config=replace(first.config, receives=True, receiving_threads=1), sink=PreviewSink())
    second = replace(second, config=replace(second.config, source=source))
    threads = [first.start(), second.start()]
    for side in (first, second):
        _wait_until_shown(side, 3)
    first.hang_up.set()
    for thread in threads:
        thread.join(20)
    for side in (first, second):
        assert side.report is not None
        assert not side.report.failed
        assert side.report.sending is not None
        assert side.report.receiving is not None
        assert side.report.sending.frames_sent > 0
        assert side.report.receiving.frames_shown >= 3
    assert not multiprocessing.active_children()


def test_hanging_up_on_the_receiving_side_ends_both(bundle: ModelBundle, sample_clip: Path) -> None:
    first, second = _sides(sample_clip)
    threads = [first.start(), second.start()]
    _wait_until_shown(second, 3)
    second.hang_up.set()
    for thread in threads:
        thread.join(20)
    assert first.report is not None
    assert second.report is not None
    assert first.report.reason == "the other side ended the call"
    assert not first.report.failed
    assert not second.report.failed
    assert not multiprocessing.active_children()


def test_killing_a_transport_is_told_apart_on_both_sides(bundle: ModelBundle, sample_clip: Path) -> None:
    first, second = _sides(sample_clip)
    thread_first = first.start()
    time.sleep(0.5)
    known = _transports()
    thread_second = second.start()
    _wait_until_shown(second, 3)
    (victim,) = _transports() - known
    os.kill(victim, signal.SIGKILL)
    thread_second.join(15)
    thread_first.join(30)
    assert second.report is not None
    assert "transport process stopped unexpectedly" in second.report.reason
    assert first.report is not None
    assert "nothing heard from the other side for 4 s" in first.report.reason
    assert first.report.failed
    assert second.report.failed
    assert not multiprocessing.active_children()


@dataclass(frozen=True, slots=True)
class DyingCamera:
    """The sample clip, until it fails."""

    path: Path

    def frames(self, stop: threading.Event) -> Iterator[CapturedFrame]:
        for frame in open_video(self.path).frames():
            if frame.number == 20:
                raise SourceError("camera 7: stopped after 20 frames; plug it in again")
            stop.wait(0.04)
            yield CapturedFrame(frame.image, time.monotonic(), frame.number)


def test_a_camera_that_dies_is_named_on_both_sides(bundle: ModelBundle, sample_clip: Path) -> None:
    first, second = _sides(sample_clip, source=DyingCamera(sample_clip))
    threads = [first.start(), second.start()]
    for thread in threads:
        thread.join(60)
    assert isinstance(first.error, SourceError)
    assert "camera 7" in str(first.error)
    assert second.report is not None
    assert second.report.failed
    assert "camera 7" in second.report.reason
    assert not multiprocessing.active_children()


def test_a_peer_that_receives_needs_a_sink(bundle: ModelBundle) -> None:
    with pytest.raises(ValueError, match="sink"):
        hold_call(PeerConfig(offer=True, model=MODEL), Post())
    assert not multiprocessing.active_children()
