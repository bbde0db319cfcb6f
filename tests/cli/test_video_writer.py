from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from adasr.colour import RgbReader, YuvWriter
from adasr.video_file import open_video
from adasr.video_writer import check_audio, write_mp4
from adasr_core.bitstream import AudioStream, AudioTrack
from adasr_core.picture_quality import psnr_db
from tests.cli.clip_builders import numbered_pictures, write_clip


def write(path: Path, pictures: list[np.ndarray], times: list[int], audio: AudioTrack | None = None) -> None:
    height, width = pictures[0].shape[:2]
    with write_mp4(path, width_px=width, height_px=height, frame_rate=Fraction(25), audio=audio) as writer:
        for picture, ticks in zip(pictures, times, strict=True):
            writer.write(picture, ticks)


def test_flat_colours_survive_to_rounding() -> None:
    levels = np.array([0, 16, 64, 128, 200, 255], np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(12, 18, 3)
    picture = colours.repeat(16, axis=0).repeat(16, axis=1)
    rebuilt = RgbReader().read(YuvWriter().write(picture), picture.shape[1], picture.shape[0])
    difference = rebuilt[8::16, 8::16].astype(int) - colours
    assert abs(difference).max() <= 3
    assert abs(difference.mean(axis=(0, 1))).max() < 0.25


def test_a_photograph_keeps_its_colours() -> None:
    picture = astronaut()
    rebuilt = RgbReader().read(YuvWriter().write(picture), 512, 512)
    assert psnr_db(picture, rebuilt) > 40.0
    assert abs((rebuilt.astype(float) - picture).mean(axis=(0, 1))).max() < 0.1


def test_compression_costs_little_on_a_soft_picture(tmp_path: Path) -> None:
    """A rebuilt picture is softer than a photograph, as this one is; every reader sees the colours written."""
    picture = np.asarray(cv2.GaussianBlur(astronaut(), (0, 0), 1.5), np.uint8)
    path = tmp_path / "clip.mp4"
    write(path, [picture] * 3, [0, 3600, 7200])
    for frame in open_video(path).frames():
        assert psnr_db(picture, frame.image) > 42.0
    with av.open(str(path)) as container:
        plain = np.asarray(next(container.decode(video=0)).to_ndarray(format="rgb24"), np.uint8)
    assert psnr_db(picture, plain) > 38.0
    capture = cv2.VideoCapture(str(path))
    assert psnr_db(picture, np.asarray(capture.read()[1], np.uint8)[..., ::-1].copy()) > 38.0


def test_frames_come_back_in_number_order_and_time(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    times = [0, 3000, 9000, 9100, 40_000, 90_000]
    write(path, numbered_pictures(6), times)
    frames = list(open_video(path).frames())
    assert [frame.ticks for frame in frames] == times
    assert np.allclose([frame.image[-8:, -8:].mean() for frame in frames], [40 + 6 * n for n in range(6)], atol=1.5)


def test_long_clip_keeps_every_frame(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write(path, numbered_pictures(400), [3600 * number for number in range(400)])
    video = open_video(path)
    assert video.frame_rate == 25
    greys = [round(float(frame.image[-8:, -8:].mean())) for frame in video.frames()]
    assert len(greys) == 400
    assert np.allclose(greys, [40 + 6 * (number % 20) for number in range(400)], atol=3)


@pytest.mark.parametrize(
    ("codec", "name", "container"),
    [("aac", "aac", "mp4"), ("libmp3lame", "mp3", "mp4"), ("libopus", "opus", "webm"), ("flac", "flac", "mkv")],
)
def test_audio_passes_through_untouched(tmp_path: Path, codec: str, name: str, container: str) -> None:
    source = tmp_path / f"source.{container}"
    video_codec = "libvpx" if container == "webm" else "libx264"
    write_clip(source, numbered_pictures(50), audio_codec=codec, codec=video_codec)
    before = open_video(source).read_audio()
    assert before is not None
    assert before.stream.codec_name == name
    path = tmp_path / "clip.mp4"
    write(path, numbered_pictures(50), [3600 * number for number in range(50)], before)
    after = open_video(path).read_audio()
    assert after is not None
    assert [packet.data for packet in after.packets] == [packet.data for packet in before.packets]
    start_before = [packet.pts * float(Fraction(*before.stream.time_base)) for packet in before.packets]
    start_after = [packet.pts * float(Fraction(*after.stream.time_base)) for packet in after.packets]
    assert np.allclose(start_after, start_before, atol=0.002)
    with av.open(str(path)) as opened:
        samples = sum(frame.samples for frame in opened.decode(audio=0))
    assert abs(samples / 48_000 - 2.0) < 0.1


def test_sound_that_outlasts_the_pictures_is_kept(tmp_path: Path) -> None:
    source = tmp_path / "source.mp4"
    write_clip(source, numbered_pictures(5), audio_codec="aac", audio_s=1.0)
    before = open_video(source).read_audio()
    path = tmp_path / "clip.mp4"
    write(path, numbered_pictures(5), [3600 * number for number in range(5)], before)
    after = open_video(path).read_audio()
    assert before is not None
    assert after is not None
    assert len(after.packets) == len(before.packets)


def test_sound_that_mp4_cannot_carry_is_refused() -> None:
    stream = AudioStream(codec_name="wmav2", sample_rate=44_100, layout="stereo", time_base=(1, 1000), extradata=b"")
    with pytest.raises(ValueError, match=r"wmav2.*--no-audio"):
        check_audio(stream)


def test_a_picture_of_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shape"):
        write(tmp_path / "clip.mp4", [*numbered_pictures(1), *numbered_pictures(1, 32, 32)], [0, 1])
