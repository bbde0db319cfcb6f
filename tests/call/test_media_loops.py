import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from adasr.video_file import open_video
from adasr_core.bitstream import MotionCodec
from adasr_core.bundle import ModelBundle
from adasr_core.engines import FaceModel
from call.control import ReferenceAck, ReferenceRequest
from call.messages import (
    ReceivedFeedback,
    ReceivedMotion,
    ReceivedReference,
    SendControl,
    SendFeedback,
    SendMotion,
    SendReference,
    SetKeyRate,
    ToTransport,
)
from call.receiving import ReceivingLoop, make_inbox, put_media
from call.sending import SendingLoop
from call.sinks import PictureStore, PreviewSink
from call.sources import CapturedFrame, FrameSource, SourceError
from receiver import Receiver
from sender import CropMode, Sender, SenderConfig, SenderOutput, TrackerConfig
from sender.plan_choice import DelayMode
from sender.rate_control import RateControlConfig


@dataclass(frozen=True, slots=True)
class ShortSource:
    """Frames of the sample clip, then an end, a failure or silence."""

    path: Path
    count: int
    end: str = "ends"
    interval_s: float = 0.1

    def frames(self, stop: threading.Event) -> Iterator[CapturedFrame]:
        for frame in open_video(self.path).frames():
            if frame.number == self.count:
                break
            if stop.wait(self.interval_s):
                return
            yield CapturedFrame(frame.image, time.monotonic(), frame.number)
        if self.end == "fails":
            raise SourceError("camera /dev/video0: stopped after 5 frames; plug it in again")
        if self.end == "hangs":
            stop.wait(60)


@dataclass(frozen=True, slots=True)
class HastySource:
    """One picture, again and again, faster than it can be coded."""

    path: Path

    def frames(self, stop: threading.Event) -> Iterator[CapturedFrame]:
        image = next(iter(open_video(self.path).frames())).image
        for number in itertools.count():
            if stop.wait(0.001):
                return
            yield CapturedFrame(image, time.monotonic(), number)


class WatchedSender(Sender):
    """A sender that notes what it is asked to do, and when, in `log`."""

    log: list[tuple[str, float]]
    qualities: list[float | None]

    def push_frame(self, image: npt.NDArray[np.uint8], capture_time: float) -> SenderOutput:
        self.log.append(("push", time.monotonic()))
        return super().push_frame(image, capture_time)

    def close_loop(self) -> float | None:
        self.log.append(("close", time.monotonic()))
        self.qualities.append(super().close_loop())
        return self.qualities[-1]


def _watched_sender(bundle: ModelBundle) -> WatchedSender:
    codec = MotionCodec(bundle.tables(), bundle.manifest.keypoints)
    config = SenderConfig(
        tracker=TrackerConfig(mode=CropMode.FULL), closed_loop_interval_frames=2, assume_acknowledged=True
    )
    sender = WatchedSender(FaceModel.load(bundle, threads=1), codec, config)
    sender.log, sender.qualities = [], []
    return sender


def _sender(bundle: ModelBundle) -> Sender:
    codec = MotionCodec(bundle.tables(), bundle.manifest.keypoints)
    config = SenderConfig(tracker=TrackerConfig(mode=CropMode.FULL), closed_loop_interval_frames=None)
    return Sender(FaceModel.load(bundle, threads=1, parts=("detector",)), codec, config)


def _receiver(bundle: ModelBundle) -> Receiver:
    codec = MotionCodec(bundle.tables(), bundle.manifest.keypoints)
    return Receiver(FaceModel.load(bundle, threads=1, parts=("encoder", "motion", "generator")), codec)


def _wait_for(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"nothing happened within {seconds} s"
        time.sleep(0.01)


def test_frames_go_in_and_come_out_without_a_network(bundle: ModelBundle, sample_clip: Path, tmp_path: Path) -> None:
    inbox = make_inbox()
    acknowledged: list[ToTransport] = []
    sending: SendingLoop

    def to_receiver(message: ToTransport) -> None:
        if isinstance(message, SendMotion):
            put_media(inbox, ReceivedMotion(message.packet))
        elif isinstance(message, SendReference):
            put_media(inbox, ReceivedReference(message.data))

    def to_sender(message: ToTransport) -> None:
        acknowledged.append(message)
        if isinstance(message, SendControl) and isinstance(message.message, ReferenceAck | ReferenceRequest):
            sending.hear(message.message)
        elif isinstance(message, SendFeedback):
            sending.hear(ReceivedFeedback(message.data))

    recording = PictureStore(tmp_path / "sent.rgb", 512)
    sending = SendingLoop(ShortSource(sample_clip, 20), _sender(bundle), to_receiver, recording)
    sink = PreviewSink()
    receiving = ReceivingLoop(_receiver(bundle), sink, to_sender, inbox)
    receiving.start()
    put_media(inbox, ReceivedMotion(b"bad"))
    put_media(inbox, ReceivedReference(b"garbage"))
    sending.start()
    _wait_for(lambda: sending.finished)
    receiving.stop()
    sending.stop()
    recording.close()
    sent, shown = sending.report(), receiving.report()
    assert sending.failure is None
    assert receiving.failure is None
    assert sent.references >= 1
    # The first frames pass before the first reference is acknowledged.
    assert 10 <= sent.frames_sent <= sent.frames_captured == 20
    assert len(recording.frames) == sent.frames_sent
    assert shown.malformed == 2
    assert sent.malformed == 0
    assert 2 <= shown.feedback_sent <= sent.messages + 1
    assert sent.messages < sent.frames_sent, "frames share messages"
    assert sum(count for _, count in sent.references_by_kind) == sent.references
    assert sent.line.rtt_s is not None, "feedback came back and was understood"
    assert shown.statistics.frames == sent.frames_sent
    # On a machine that is busy with other things newer frames take the place of older ones.
    assert 3 <= shown.frames_shown - shown.frames_made_up <= sent.frames_sent
    assert shown.frames_shown == sink.frames
    own = {time_ms for time_ms, made_up in zip(shown.capture_times_ms, shown.made_up, strict=True) if not made_up}
    assert own <= {time_ms & 0xFFFF for time_ms in sent.sent_times_ms}
    assert sink.last is not None
    assert sink.last.picture.shape == (512, 512, 3)


def test_the_loop_is_closed_when_the_packets_are_gone(bundle: ModelBundle, sample_clip: Path) -> None:
    sender = _watched_sender(bundle)

    def send(message: ToTransport) -> None:
        if isinstance(message, SendMotion | SendReference):
            sender.log.append(("send", time.monotonic()))

    at_once = RateControlConfig(mode=DelayMode.LOWEST)
    loop = SendingLoop(ShortSource(sample_clip, 15, interval_s=0.2), sender, send, rate=at_once)
    loop.start()
    _wait_for(lambda: loop.finished)
    loop.stop()
    assert loop.failure is None
    frames = " ".join(what for what, _ in sender.log).split("push")[1:]
    assert len(frames) == 15
    assert {frame.strip() for frame in frames} <= {"send close", "send send close", "send", "send send"}
    assert sum("close" in frame for frame in frames) >= 10, "it is left out only while a frame waits"
    assert not any(sender.qualities), "anchors say themselves how good they are"


def test_frames_that_wait_come_before_the_closed_loop(bundle: ModelBundle, sample_clip: Path) -> None:
    sender = _watched_sender(bundle)
    loop = SendingLoop(HastySource(sample_clip), sender, lambda message: None)
    loop.start()
    _wait_for(lambda: bool(sender.log))
    time.sleep(4.5)
    log = list(sender.log)
    loop.stop()
    assert loop.failure is None
    pushes = sum(what == "push" for what, _ in log)
    closes = [log[0][1]] + [when for what, when in log if what == "close"]
    assert len(closes) - 1 >= 2, "once a second all the same"
    assert max(np.diff(closes)) < 2.0
    assert pushes > 5 * len(closes)


def test_a_paused_camera_does_not_hold_frames_back(bundle: ModelBundle, sample_clip: Path) -> None:
    sent: list[ToTransport] = []
    codec = MotionCodec(bundle.tables(), bundle.manifest.keypoints)
    config = SenderConfig(
        tracker=TrackerConfig(mode=CropMode.FULL), closed_loop_interval_frames=None, assume_acknowledged=True
    )
    sender = Sender(FaceModel.load(bundle, threads=1, parts=("detector",)), codec, config)
    loop = SendingLoop(
        ShortSource(sample_clip, 5, "hangs", 0.1),
        sender,
        sent.append,
        rate=RateControlConfig(frames_per_message=4),
    )
    loop.start()
    try:
        _wait_for(lambda: loop.frames_sent + loop.report().frames_dropped == 5)
        messages = sum(isinstance(message, SendMotion) for message in sent)
        assert messages >= 2, "four frames at most, then what was left over"
        assert not loop.finished
    finally:
        loop.stop()
    assert loop.failure is None


def test_frames_beyond_the_rate_are_not_even_looked_at(bundle: ModelBundle, sample_clip: Path) -> None:
    sender = _watched_sender(bundle)
    told: list[ToTransport] = []
    loop = SendingLoop(
        ShortSource(sample_clip, 30, interval_s=0.04), sender, told.append, rate=RateControlConfig(max_fps=10.0)
    )
    loop.start()
    _wait_for(lambda: loop.finished)
    loop.stop()
    report = loop.report()
    assert loop.failure is None
    pushes = sum(what == "push" for what, _ in sender.log)
    assert report.frames_left_out > 0.25 * report.frames_captured
    assert pushes + report.frames_left_out + report.frames_dropped == report.frames_captured == 30
    assert all(after - before > 60 for before, after in itertools.pairwise(report.sent_times_ms))


def test_the_other_side_can_ask_for_less(bundle: ModelBundle, sample_clip: Path) -> None:
    paces = []
    for cap_bps in (None, 12_000.0):
        told: list[ToTransport] = []
        loop = SendingLoop(ShortSource(sample_clip, 4, interval_s=0.02), _sender(bundle), told.append)
        loop.start(cap_bps)
        _wait_for(lambda loop=loop: loop.finished)  # type: ignore[misc]
        loop.stop()
        paces.append(max(message.bytes_per_s for message in told if isinstance(message, SetKeyRate)))
    assert paces[1] < 1_500 < paces[0]


@pytest.mark.parametrize("end", ["ends", "fails"])
def test_a_source_that_stops_ends_the_loop(bundle: ModelBundle, sample_clip: Path, end: str) -> None:
    source: FrameSource = ShortSource(sample_clip, 5, end, 0.02)
    loop = SendingLoop(source, _sender(bundle), lambda message: None)
    loop.start()
    _wait_for(lambda: loop.finished)
    loop.stop()
    assert loop.report().frames_captured == 5
    if end == "fails":
        assert isinstance(loop.failure, SourceError)
        assert "plug it in" in str(loop.failure)
    else:
        assert loop.failure is None


def test_a_silent_source_is_noticed(bundle: ModelBundle, sample_clip: Path) -> None:
    loop = SendingLoop(ShortSource(sample_clip, 2, "hangs", 0.02), _sender(bundle), lambda message: None)
    loop.start()
    _wait_for(lambda: loop.report().frames_captured == 2)
    loop.check_source(time.monotonic() + 4.0)
    after_four_seconds = loop.finished
    loop.check_source(time.monotonic() + 6.0)
    assert (after_four_seconds, loop.finished) == (False, True)
    assert isinstance(loop.failure, SourceError)
    assert "still connected" in str(loop.failure)
    loop.stop()
    assert not [thread for thread in threading.enumerate() if thread.name in ("capture", "coding")]


def test_a_mistake_in_the_sink_reaches_the_owner_of_the_call(bundle: ModelBundle, sample_clip: Path) -> None:
    class Full(PreviewSink):
        def show(self, frame: object) -> None:
            raise OSError("no space left on device")

    inbox = make_inbox()
    sender = _sender(bundle)
    receiving = ReceivingLoop(_receiver(bundle), Full(), lambda message: None, inbox)
    receiving.start()
    for frame in ShortSource(sample_clip, 3, interval_s=0.05).frames(threading.Event()):
        output = sender.push_frame(frame.image, frame.time_s)
        if output.reference is not None:
            put_media(inbox, ReceivedReference(output.reference.pack()))
            sender.acknowledge_reference(output.reference.slot, output.reference.generation)
        for message in output.messages:
            put_media(inbox, ReceivedMotion(message.pack()))
    _wait_for(lambda: receiving.failure is not None)
    receiving.stop()
    assert "no space left" in str(receiving.failure)
