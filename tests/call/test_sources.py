import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from adasr.video_file import open_video
from call.sources import CameraSource, ClipSource, SourceError


@dataclass(frozen=True, slots=True)
class Frame:
    ticks: int
    image: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Clip:
    """Frames at 0, 40 and 120 ms, or at other times in 1/90000 s."""

    count: int = 3
    times: tuple[int, ...] = (0, 3600, 10800)

    def frames(self) -> Iterator[Frame]:
        for index, ticks in enumerate(self.times[: self.count]):
            yield Frame(ticks, np.full((2, 2, 3), index, np.uint8))


def test_a_clip_plays_at_its_own_pace_from_now_on() -> None:
    start = time.monotonic()
    frames = []
    for frame in ClipSource(Path("clip"), lambda _: Clip()).frames(threading.Event()):
        assert time.monotonic() >= frame.time_s
        frames.append(frame)
    assert [round((frame.time_s - frames[0].time_s) * 1000) for frame in frames] == [0, 40, 120]
    assert frames[0].time_s >= start
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [0, 1, 2]


def test_a_repeated_clip_goes_on_without_a_gap() -> None:
    stop = threading.Event()
    times = []
    for frame in ClipSource(Path("clip"), lambda _: Clip(), repeat=True).frames(stop):
        times.append(frame.time_s)
        assert frame.number == len(times) - 1
        if len(times) == 7:
            stop.set()
    # 120 ms to the last frame and its own 80 ms; then the clip starts again.
    assert [round((time_s - times[0]) * 1000) for time_s in times] == [0, 40, 120, 200, 240, 320, 400]


def test_the_sample_clip_gives_its_frames(sample_clip: Path) -> None:
    stop = threading.Event()
    frames = []
    for frame in ClipSource(sample_clip, open_video).frames(stop):
        frames.append(frame)
        if len(frames) == 10:
            stop.set()
    assert len(frames) == 10
    assert frames[0].image.shape == (512, 512, 3)
    assert frames[9].time_s - frames[0].time_s == pytest.approx(9 / 25, abs=1e-3)


def test_stopping_does_not_wait_for_the_next_frame() -> None:
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    start = time.monotonic()
    clip = Clip(times=(0, 3600, 10 * 90_000))
    assert len(list(ClipSource(Path("clip"), lambda _: clip).frames(stop))) == 2
    assert time.monotonic() - start < 5.0


def test_a_clip_without_frames_is_named() -> None:
    with pytest.raises(SourceError, match=r"holiday\.mp4: no frame"):
        list(ClipSource(Path("holiday.mp4"), lambda _: Clip(0)).frames(threading.Event()))


def test_a_file_that_is_no_video_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notes.mp4"
    path.write_text("no video")
    with pytest.raises(ValueError, match=r"notes\.mp4"):
        list(ClipSource(path, open_video).frames(threading.Event()))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the device's name is Linux's")
def test_a_camera_that_is_not_there_is_named_with_what_to_do() -> None:
    with pytest.raises(SourceError, match=r"camera /dev/video99: cannot be opened .*plugged in"):
        list(CameraSource("/dev/video99").frames(threading.Event()))
