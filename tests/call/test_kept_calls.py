"""Pictures kept from call to call: what a peer tells, and two real calls of which the second begins at once."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from adasr.video_file import open_video
from adasr_core.bitstream.kept_picture import KeptPicture, kept_marks, kept_name
from adasr_core.bundle import ModelBundle
from adasr_core.geometry import MotionParameters
from call.emulated_line import LineConfig
from call.kept_calls import KeptCalls
from call.peer import CallProgress, CallReport, PeerConfig, hold_call
from call.sinks import PreviewSink
from call.sources import CapturedFrame
from sender import CropMode, SenderConfig, TrackerConfig
from tests.call.conftest import MODEL
from tests.call.post import Post


def grey(bundle: ModelBundle, number: int) -> KeptPicture:
    side, K = bundle.manifest.frame_px, bundle.manifest.keypoints
    pixels = np.full((side, side, 3), number, np.uint8)
    parameters = MotionParameters.create(np.zeros((K, 2)), np.tile(np.eye(2), (K, 1, 1)))
    return KeptPicture(kept_name(pixels, bundle.codec_id), pixels, parameters)


def test_nothing_is_told_before_anything_is_kept(bundle: ModelBundle, tmp_path: Path) -> None:
    kept = KeptCalls(tmp_path, bundle)
    assert kept.announcement() is None
    assert kept.close() == (0, 0)
    assert kept.for_sender().pictures == ()


def test_what_others_sent_is_told_and_what_we_sent_is_looked_up(bundle: ModelBundle, tmp_path: Path) -> None:
    kept = KeptCalls(tmp_path, bundle)
    ours, theirs = grey(bundle, 1), grey(bundle, 2)
    assert ours.parameters is not None
    kept.for_sender().note_reference(ours.picture, ours.parameters)
    kept.for_receiver().note_reference(theirs.picture)
    assert kept.close() == (1, 1)
    assert kept.close() == (0, 0), "what is there is not written again"

    later = KeptCalls(tmp_path, bundle)
    told, again = later.announcement(), later.announcement()
    assert told is not None
    assert again is not None
    assert told.marks == kept_marks(told.salt, [theirs.name])
    assert told.marks != again.marks, "every call has its own salt"
    np.testing.assert_array_equal(later.for_receiver().find(theirs.name, 512), theirs.picture)
    sender = later.for_sender()
    sender.take_marks(told.salt, told.marks)
    assert sender.shared == 0, "nobody told us that he keeps ours"
    sender.take_marks(told.salt, kept_marks(told.salt, [ours.name]))
    assert sender.shared == 1


@dataclass(frozen=True, slots=True)
class Sitter:
    """The sample clip at an eighth of its speed: somebody who sits still when a call begins."""

    path: Path

    def frames(self, stop: threading.Event) -> Iterator[CapturedFrame]:
        began, number = time.monotonic(), 0
        for frame in open_video(self.path).frames():
            for _ in range(8):
                stop.wait(max(began + 0.04 * number - time.monotonic(), 0.0))
                if stop.is_set():
                    return
                yield CapturedFrame(frame.image, time.monotonic(), number)
                number += 1


@dataclass(frozen=True)
class Beginning:
    """How a call began: until the first motion message left, and until the first picture was shown.

    bytes_on_wire: of the sender, headers included, from the first media byte until the first motion.
    """

    named: int
    bytes_on_wire: int
    seconds: float
    remembered: tuple[int, int]


def begin_a_call(clip: Path, ours: Path | None, theirs: Path | None, rate_kbps: float) -> Beginning:
    """Hold a call over a narrow line until some pictures were shown."""
    line = LineConfig(rate_kbps=rate_kbps, delay_ms=25)
    post, hang_up = Post(), threading.Event()
    sending = PeerConfig(
        offer=True,
        model=MODEL,
        source=Sitter(clip),
        receives=False,
        loopback_only=True,
        sender=SenderConfig(tracker=TrackerConfig(mode=CropMode.FULL), closed_loop_interval_frames=None),
        line=line,
        remember=ours,
    )
    receiving = PeerConfig(
        offer=False, model=MODEL, loopback_only=True, receiving_threads=1, line=line, remember=theirs
    )
    reports: dict[str, CallReport] = {}

    def watch(progress: CallProgress) -> None:
        if progress.frames_shown >= 15:
            hang_up.set()

    def hold(name: str, config: PeerConfig, sink: PreviewSink | None) -> None:
        progress = watch if sink is not None else None
        reports[name] = hold_call(config, post, sink=sink, on_progress=progress, hang_up=hang_up)

    threads = [
        threading.Thread(target=hold, args=("sending", sending, None), daemon=True),
        threading.Thread(target=hold, args=("receiving", receiving, PreviewSink()), daemon=True),
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 90
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0.0))
    sent, shown = reports["sending"], reports["receiving"]
    assert sent.statistics is not None
    assert sent.sending is not None
    assert shown.receiving is not None
    first, motion = sent.statistics.first_media, sent.statistics.first_motion
    assert first is not None
    assert motion is not None
    return Beginning(
        sent.sending.references_named,
        motion.count.sent_bytes - first.count.sent_bytes,
        shown.receiving.shown_times_s[0] - first.time_s,
        (sent.remembered[0], shown.remembered[1]),
    )


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the transport's processes are started as on POSIX")
def test_a_second_call_on_a_narrow_line_begins_with_a_name(
    bundle: ModelBundle, sample_clip: Path, tmp_path: Path
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    first = begin_a_call(sample_clip, ours, theirs, 20.0)
    second = begin_a_call(sample_clip, ours, theirs, 20.0)
    print(f"\nfirst call: {first}\nsecond call: {second}")
    assert first.named == 0
    assert min(first.remembered) >= 1
    assert second.named == 1
    assert second.bytes_on_wire < 1300, "one datagram, repeated at most, and acknowledgements"
    assert first.bytes_on_wire > 3 * second.bytes_on_wire
    assert second.seconds < first.seconds
