import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import PictureType

from adasr.video_file import VideoFileError, open_video
from tests.cli.clip_builders import numbered_pictures, write_clip


def greys(path: Path) -> list[int]:
    """Grey level of the dark lower right quarter of every frame."""
    return [int(frame.image[-8:, -8:].mean().round()) for frame in open_video(path).frames()]


def test_frames_come_in_order_with_their_times(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path, numbered_pictures(10), rate=25)
    video = open_video(path)
    frames = list(video.frames())
    assert [frame.number for frame in frames] == list(range(10))
    assert [frame.ticks for frame in frames] == [3600 * number for number in range(10)]
    assert np.allclose(greys(path), [40 + 6 * number for number in range(10)], atol=2)
    assert (video.width_px, video.height_px, video.frames_expected) == (64, 64, 10)
    assert video.frame_rate == 25


def test_every_pass_gives_the_same_frames(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path, numbered_pictures(5))
    video = open_video(path)
    first = [(frame.ticks, frame.image.tobytes()) for frame in video.frames()]
    assert [(frame.ticks, frame.image.tobytes()) for frame in video.frames()] == first


def test_b_frames_are_shown_in_presentation_order(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path, numbered_pictures(20), preset="medium")
    with av.open(str(path)) as container:
        assert any(frame.pict_type == PictureType.B for frame in container.decode(video=0))
    assert np.allclose(greys(path), [40 + 6 * number for number in range(20)], atol=3)


def test_variable_frame_rate_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    times = [0, 3000, 9000, 9100, 40_000, 90_000]
    write_clip(path, numbered_pictures(6), times=times)
    assert [frame.ticks for frame in open_video(path).frames()] == times


def test_a_late_start_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path, numbered_pictures(3), times=[9000, 12_600, 16_200])
    assert [frame.ticks for frame in open_video(path).frames()] == [9000, 12_600, 16_200]


def test_ntsc_rate(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path, numbered_pictures(4), rate=Fraction(30_000, 1001), time_base=Fraction(1, 30_000))
    video = open_video(path)
    assert video.frame_rate == Fraction(30_000, 1001)
    assert [frame.ticks for frame in video.frames()] == [0, 3003, 6006, 9009]


@pytest.mark.parametrize(
    ("rotation", "bright_corner"),
    [(0.0, (0, 0)), (90.0, (-1, 0)), (180.0, (-1, -1)), (-90.0, (0, -1))],
)
def test_rotation_is_applied(tmp_path: Path, rotation: float, bright_corner: tuple[int, int]) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path, numbered_pictures(2, 64, 32), rotation=rotation)
    video = open_video(path)
    image = next(video.frames()).image
    upright = (32, 64) if rotation in (0.0, 180.0) else (64, 32)
    assert image.shape == (*upright, 3)
    assert (video.height_px, video.width_px) == upright
    corners = {(y, x): float(image[y, x].mean()) for y in (0, -1) for x in (0, -1)}
    assert max(corners, key=corners.__getitem__) == bright_corner


def test_odd_sizes(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    write_clip(path, numbered_pictures(2, 65, 33), codec="ffv1", pixel_format="yuv444p")
    assert next(open_video(path).frames()).image.shape == (33, 65, 3)


def test_ten_bit_input(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    write_clip(path, numbered_pictures(3), codec="ffv1", pixel_format="yuv420p10le")
    assert np.allclose(greys(path), [40, 46, 52], atol=1)


def test_still_picture_is_a_clip_of_one_frame(tmp_path: Path) -> None:
    path = tmp_path / "clip.png"
    write_clip(path, numbered_pictures(1), codec="png", pixel_format="rgb24")
    assert [frame.ticks for frame in open_video(path).frames()] == [0]


def test_audio_packets_are_read_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path, numbered_pictures(25), audio_codec="aac")
    track = open_video(path).read_audio()
    assert track is not None
    assert (track.stream.codec_name, track.stream.sample_rate, track.stream.layout) == ("aac", 48_000, "mono")
    assert len(track.packets) >= 46
    assert track.packets[1].pts - track.packets[0].pts == 1024


def test_no_audio(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path, numbered_pictures(2))
    assert open_video(path).read_audio() is None


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_video(tmp_path / "nothing.mp4")


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        open_video(tmp_path)


def test_zero_byte_file(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.touch()
    with pytest.raises(VideoFileError, match=r"clip\.mp4: the file is empty"):
        open_video(path)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.txt", "clip.m3u8"])
def test_text_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("#EXTM3U\nThe quick brown fox jumps over the lazy dog.\n" * 50)
    with pytest.raises(VideoFileError, match="not a video that can be read"):
        open_video(path)


def test_sound_without_pictures(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(16_000))
    with pytest.raises(VideoFileError, match="no video track"):
        open_video(path)


def test_truncated_mp4_without_its_index(tmp_path: Path) -> None:
    whole = tmp_path / "whole.mp4"
    write_clip(whole, numbered_pictures(25))
    path = tmp_path / "clip.mp4"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(VideoFileError, match="not a video that can be read"):
        open_video(path)


def test_changed_bytes_are_read_or_refused(tmp_path: Path) -> None:
    whole, path = tmp_path / "whole.mp4", tmp_path / "changed.mp4"
    write_clip(whole, numbered_pictures(12), audio_codec="aac")
    data = whole.read_bytes()
    headers = data.find(b"moov")
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(200):
        changed = bytearray(data)
        for position in rng.integers(headers, len(data), 4):
            changed[position] = int(rng.integers(256))
        path.write_bytes(changed)
        try:
            video = open_video(path)
            assert next(video.frames()).image.shape == (video.height_px, video.width_px, 3)
            video.read_audio()
        except UnicodeError:
            raise
        except (ValueError, OSError):
            refused += 1
    assert 20 < refused < 180
