from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from adasr.partial_file import partial_file
from adasr.video_file import open_video
from adasr.video_writer import Mp4Writer, write_mp4
from call.sinks import FileSink, PictureStore, PreviewSink, ShownFrame, read_pictures


def _shown(level: int, capture_ms: int, interpolated: bool = False) -> ShownFrame:
    return ShownFrame(np.full((64, 64, 3), level, np.uint8), capture_ms, capture_ms / 1000, interpolated)


@contextmanager
def _writer(path: Path) -> Iterator[Mp4Writer]:
    with partial_file(path) as part, write_mp4(part, width_px=64, height_px=64, frame_rate=Fraction(25)) as writer:
        yield writer


def test_the_preview_counts_and_keeps_the_last() -> None:
    sink = PreviewSink()
    for index in range(3):
        sink.show(_shown(index, index))
    sink.close()
    assert sink.frames == 3
    assert sink.last is not None
    assert sink.last.picture[0, 0, 0] == 2


def test_a_film_keeps_capture_times_so_a_lost_frame_is_a_pause(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    sink = FileSink(path, _writer)
    for level, capture_ms in ((10, 70_000), (60, 70_040), (110, 70_120)):
        sink.show(_shown(level, capture_ms))
    sink.close()
    assert sink.dropped == 0
    frames = list(open_video(path).frames())
    assert [frame.ticks for frame in frames] == [0, 3600, 10800]
    assert [round(float(frame.image.mean()) / 50) for frame in frames] == [0, 1, 2]


def test_a_film_that_cannot_be_written_says_so_at_the_end(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "missing" / "film.mp4", _writer)
    sink.show(_shown(1, 1))
    with pytest.raises(OSError, match="missing"):
        sink.close()


def test_a_film_without_a_frame_is_not_written(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "film.mp4", _writer)
    with pytest.raises(OSError, match="no frame arrived"):
        sink.close()
    assert not (tmp_path / "film.mp4").exists()


def test_a_store_returns_exactly_what_it_took(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    pictures: npt.NDArray[np.uint8] = random.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    store = PictureStore(tmp_path / "store.rgb", 32)
    for index, picture in enumerate(pictures):
        store.add(picture[:, ::-1], 40 * index)
    store.show(ShownFrame(pictures[0], 160, 0.16, True))
    store.close()
    assert [(frame.time_ms, frame.interpolated) for frame in store.frames][-2:] == [(120, False), (160, True)]
    stored = read_pictures(store.path, 32, 5)
    assert np.array_equal(stored[:4], pictures[:, :, ::-1])
    assert np.array_equal(stored[4], pictures[0])


def test_a_store_refuses_another_size(tmp_path: Path) -> None:
    store = PictureStore(tmp_path / "store.rgb", 32)
    with pytest.raises(ValueError, match="32 px"):
        store.add(np.zeros((16, 16, 3), np.uint8), 0)
    store.close()
