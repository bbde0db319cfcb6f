import zlib
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from adasr.akc_summary import AkcSummary, open_akc
from adasr.clip_analysis import analyse_clip
from adasr.file_codec import EncodeOptions, decode_file, encode_file, message_groups
from adasr.progress import no_progress
from adasr.reference_trial import FrameChoice
from adasr.video_file import SourceFrame, VideoFileError, open_video
from adasr_core.bitstream import BitstreamError
from adasr_core.bundle import ModelBundle
from adasr_core.engines import FaceModel
from adasr_core.geometry import MotionParameters
from adasr_core.picture_quality import psnr_db
from sender.tracker import CropMode
from tests.cli.clip_builders import Picture, numbered_pictures, write_clip


def mean_psnr(sources: list[Picture], rebuilt: list[SourceFrame]) -> float:
    return float(np.mean([psnr_db(a, b.image) for a, b in zip(sources, rebuilt, strict=True)]))


def repeated_psnr(sources: list[Picture]) -> float:
    """What repeating the first frame would give, the first frame itself left out."""
    return float(np.mean([psnr_db(picture, sources[0]) for picture in sources[1:]]))


def on_canvas(picture: Picture, size_px: int = 330, left_px: int = 60) -> Picture:
    """A picture reduced and put into a wide, plain image."""
    canvas = np.full((480, 854, 3), (90, 110, 120), np.uint8)
    canvas[90 : 90 + size_px, left_px : left_px + size_px] = cv2.resize(
        picture, (size_px, size_px), interpolation=cv2.INTER_AREA
    )
    return canvas


def test_single_key_frame(
    tmp_path: Path, portrait: Path, portrait_akc: Path, portrait_pictures: list[Picture], bundle: ModelBundle
) -> None:
    video = tmp_path / "out.mp4"
    summary = decode_file(portrait_akc, video, bundle)
    source, rebuilt = list(open_video(portrait).frames()), list(open_video(video).frames())
    assert [frame.ticks for frame in rebuilt] == [frame.ticks for frame in source]
    assert rebuilt[0].image.shape == (512, 512, 3)
    assert (summary.frames, summary.references) == (len(source), 1)
    assert mean_psnr(portrait_pictures[1:], rebuilt[1:]) > repeated_psnr(portrait_pictures) + 0.5
    # The first frame is its own reference: nothing but the still's coding is lost.
    assert psnr_db(portrait_pictures[0], rebuilt[0].image) > 30.0


def test_sound_comes_back_untouched(tmp_path: Path, portrait: Path, portrait_akc: Path, bundle: ModelBundle) -> None:
    video = tmp_path / "out.mp4"
    decode_file(portrait_akc, video, bundle)
    before, after = open_video(portrait).read_audio(), open_video(video).read_audio()
    assert before is not None
    assert after is not None
    assert [packet.data for packet in after.packets] == [packet.data for packet in before.packets]
    assert [packet.pts for packet in after.packets] == [packet.pts for packet in before.packets]


def test_a_bank_of_references_is_better_than_one(
    tmp_path: Path, portrait: Path, portrait_akc: Path, portrait_pictures: list[Picture], bundle: ModelBundle
) -> None:
    one, many, akc = tmp_path / "one.mp4", tmp_path / "many.mp4", tmp_path / "many.akc"
    decode_file(portrait_akc, one, bundle)
    result = encode_file(portrait, akc, bundle, EncodeOptions(references=4, effort=0, candidates=10, targets=10))
    assert result.mode is CropMode.FULL
    assert result.chosen[0] == 0
    assert result.chosen == tuple(sorted(set(result.chosen)))
    assert 2 <= len(result.chosen) <= 4
    decode_file(akc, many, bundle)
    quality = mean_psnr(portrait_pictures, list(open_video(many).frames()))
    assert quality > mean_psnr(portrait_pictures, list(open_video(one).frames())) + 0.5
    assert result.estimated_psnr_db == pytest.approx(quality, abs=0.5)


def test_corrected_motion_rebuilds_better(
    tmp_path: Path, portrait: Path, portrait_akc: Path, portrait_pictures: list[Picture], bundle: ModelBundle
) -> None:
    plain, one, corrected = tmp_path / "plain.akc", tmp_path / "one.mp4", tmp_path / "corrected.mp4"
    encode_file(portrait, plain, bundle, EncodeOptions(references=1, effort=0))
    decode_file(plain, one, bundle)
    decode_file(portrait_akc, corrected, bundle)
    before = mean_psnr(portrait_pictures, list(open_video(one).frames()))
    assert mean_psnr(portrait_pictures, list(open_video(corrected).frames())) > before + 0.3


def test_summary_adds_up_to_the_file(portrait_akc: Path) -> None:
    summary = AkcSummary.of(open_akc(portrait_akc))
    assert summary.sizes.total == portrait_akc.stat().st_size
    figures = summary.to_json()
    assert figures["frames"] == 30
    assert figures["audio_codec"] == "aac"
    assert figures["duration_s"] == pytest.approx(3.6)
    assert summary.kbps(summary.sizes.motion) == pytest.approx(summary.sizes.motion * 8 / 3600)
    assert summary.sizes.motion == figures["motion_bytes"]


def test_size_of_a_file(portrait_akc: Path) -> None:
    """Four frames a message at a steady rate, every message against the one before."""
    akc = open_akc(portrait_akc)
    assert [len(motion.pts_ticks) for motion in akc.motions] == [4] * 7 + [2]
    assert [motion.message.sequence for motion in akc.motions] == [*range(3, 28, 4), 29]
    # Two bytes of record; a head moves far between frames that are 120 ms apart.
    assert akc.sizes.motion == sum(2 + len(motion.message.pack()) for motion in akc.motions)
    assert akc.sizes.motion / 30 < 20


def test_a_face_in_a_wide_clip_is_cropped(
    tmp_path: Path, portrait_pictures: list[Picture], bundle: ModelBundle
) -> None:
    clip, akc, video = tmp_path / "wide.mp4", tmp_path / "wide.akc", tmp_path / "out.mp4"
    write_clip(clip, [on_canvas(picture) for picture in portrait_pictures[:8]], rate=10)
    result = encode_file(clip, akc, bundle, EncodeOptions(references=1, effort=0))
    assert result.mode is CropMode.FACE
    assert result.frames_without_face <= 2
    decode_file(akc, video, bundle)
    rebuilt = list(open_video(video).frames())
    assert [frame.ticks for frame in rebuilt] == [9000 * number for number in range(8)]
    assert rebuilt[0].image.shape == (512, 512, 3)


def test_frames_before_the_face_and_uneven_times_are_kept(
    tmp_path: Path, portrait_pictures: list[Picture], bundle: ModelBundle
) -> None:
    clip, akc, video = tmp_path / "late.mp4", tmp_path / "late.akc", tmp_path / "out.mp4"
    blank = np.full((512, 512, 3), 128, np.uint8)
    times = [0, 4000, 4100, 9000, 30_000, 31_000]
    write_clip(clip, [blank, blank, *portrait_pictures[:4]], times=times)
    result = encode_file(clip, akc, bundle, EncodeOptions(references=2, effort=0, candidates=3, targets=3))
    assert result.frames_without_face == 2
    assert result.chosen[0] == 2
    decode_file(akc, video, bundle)
    assert [frame.ticks for frame in open_video(video).frames()] == times


def test_slow_clips_and_long_gaps(tmp_path: Path, portrait_pictures: list[Picture], bundle: ModelBundle) -> None:
    """Below one frame a second every frame is a message of its own; times are exact, also over the clock's wrap."""
    clip, akc, video = tmp_path / "slow.mp4", tmp_path / "slow.akc", tmp_path / "out.mp4"
    second = 90_000
    times = [0, 2 * second, 2 * second + 3600, 3 * second, 70 * second, 71 * second, 70 * second + 185_000]
    write_clip(clip, portrait_pictures[:7], times=times)
    encode_file(clip, akc, bundle, EncodeOptions(references=1, effort=0, keep_audio=False))
    assert [len(motion.pts_ticks) for motion in open_akc(akc).motions] == [1, 3, 2, 1]
    decode_file(akc, video, bundle)
    assert [frame.ticks for frame in open_video(video).frames()] == times


def test_the_number_of_threads_does_not_show(
    tmp_path: Path, portrait_pictures: list[Picture], bundle: ModelBundle
) -> None:
    clip = tmp_path / "clip.mp4"
    write_clip(clip, portrait_pictures[:8:2])
    coded = []
    for threads in (1, 3):
        path = tmp_path / f"{threads}.akc"
        result = encode_file(clip, path, bundle, EncodeOptions(references=2), threads=threads)
        coded.append((path.read_bytes(), result.chosen, result.estimated_psnr_db))
    assert coded[0] == coded[1]


def _choices(references: str) -> list[FrameChoice]:
    still = MotionParameters.create(np.zeros((1, 2)), np.eye(2)[None])
    return [FrameChoice(reference=int(reference), parameters=still) for reference in references]


def test_frames_go_together_as_long_as_a_message_can_hold_them() -> None:
    ticks = [3600 * number for number in range(10)]
    assert list(message_groups(ticks, _choices("0000000000"), 4)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert list(message_groups(ticks, _choices("0000000000"), 1)) == [[number] for number in range(10)]
    # A message has one reference.
    assert list(message_groups(ticks, _choices("0011111100"), 4)) == [[0, 1], [2, 3, 4, 5], [6, 7], [8, 9]]
    assert list(message_groups([], [], 4)) == []


@pytest.mark.parametrize(
    ("interval", "together"),
    [
        (90, True),  # 1 ms
        (1023 * 90, False),  # over a second
        (90_000, True),
        (45, False),  # both in the same millisecond
        (65_536 * 90 + 3600, False),  # 40 ms in the packets' clock, but a minute more
        (90_001, False),
    ],
)
def test_frames_too_near_or_too_far_apart_go_alone(interval: int, together: bool) -> None:
    groups = list(message_groups([900, 900 + interval], _choices("00"), 4))
    assert groups == ([[0, 1]] if together else [[0], [1]])


def test_small_square_clip_is_enlarged(tmp_path: Path, portrait_pictures: list[Picture], bundle: ModelBundle) -> None:
    clip, akc = tmp_path / "small.mkv", tmp_path / "small.akc"
    small = [np.asarray(cv2.resize(picture, (255, 255), interpolation=cv2.INTER_AREA), np.uint8)
             for picture in portrait_pictures[:3]]  # fmt: skip
    write_clip(clip, small, codec="ffv1", pixel_format="yuv444p")
    result = encode_file(clip, akc, bundle, EncodeOptions(references=1, effort=0))
    assert result.mode is CropMode.FULL
    assert result.summary.frame_px == 512


def test_onnxruntime_writes_and_reads_the_same_form(
    tmp_path: Path, portrait_pictures: list[Picture], bundle: ModelBundle
) -> None:
    clip, akc = tmp_path / "clip.mp4", tmp_path / "clip.akc"
    write_clip(clip, portrait_pictures[:4])
    encode_file(clip, akc, bundle, EncodeOptions(references=1, effort=0), engine="onnxruntime")
    decode_file(akc, tmp_path / "a.mp4", bundle, engine="openvino")
    decode_file(akc, tmp_path / "b.mp4", bundle, engine="onnxruntime")
    pairs = zip(open_video(tmp_path / "a.mp4").frames(), open_video(tmp_path / "b.mp4").frames(), strict=True)
    assert all(psnr_db(a.image, b.image) > 33.0 for a, b in pairs)


def test_full_needs_a_square_clip(tmp_path: Path, bundle: ModelBundle) -> None:
    clip = tmp_path / "wide.mp4"
    write_clip(clip, numbered_pictures(2, 96, 64))
    with pytest.raises(ValueError, match=r"--full needs a square clip.*96x64"):
        encode_file(clip, tmp_path / "out.akc", bundle, EncodeOptions(crop=CropMode.FULL))


def test_output_over_the_input_is_refused(portrait: Path, bundle: ModelBundle) -> None:
    before = portrait.read_bytes()
    with pytest.raises(ValueError, match="same file"):
        encode_file(portrait, portrait, bundle, EncodeOptions(references=1))
    assert portrait.read_bytes() == before


def test_a_file_of_another_model_is_refused_with_both_names(
    tmp_path: Path, portrait_akc: Path, bundle: ModelBundle
) -> None:
    data = portrait_akc.read_bytes().replace(bundle.codec_id.encode(), b"0123456789abcdef")
    foreign = tmp_path / "foreign.akc"
    foreign.write_bytes(data[:-4] + zlib.crc32(data[:-4]).to_bytes(4, "big"))
    with pytest.raises(BitstreamError, match=rf"0123456789abcdef.*{bundle.codec_id}"):
        decode_file(foreign, tmp_path / "out.mp4", bundle)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("references", 0),
        ("references", 17),
        ("picture_quality", 0),
        ("motion_quality", 16),
        ("frames_per_message", 0),
        ("frames_per_message", 9),
        ("targets", 0),
        ("effort", 3),
    ],
)
def test_options_out_of_range(field: str, value: int) -> None:
    with pytest.raises(ValueError, match=rf"{field}: got {value}"):
        EncodeOptions(**{field: value})  # type: ignore[arg-type]


def test_a_clip_that_shrinks_between_passes_is_noticed(
    tmp_path: Path, portrait_pictures: list[Picture], bundle: ModelBundle
) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path, portrait_pictures[:4])
    clip = analyse_clip(open_video(path), FaceModel.load(bundle, parts=("detector",)), None, no_progress)
    write_clip(path, portrait_pictures[:3])
    with pytest.raises(VideoFileError, match="4 frames at the first reading, 3 now"):
        list(clip.pictures())


def test_rate_of_the_header_is_the_clip_s(portrait_akc: Path) -> None:
    assert Fraction(*open_akc(portrait_akc).header.frame_rate) == Fraction(25, 3)
