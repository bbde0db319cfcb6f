"""Videos to clips, with the real face networks: spans, crops, landmarks, sound, twins, resuming."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from adasr_core.landmarks import load_landmarks
from adasr_core.thread_scheduling import ordinary_scheduling
from tests.cli.clip_builders import write_clip
from tests.training.prepare import face_videos
from training.face_mesh import FaceMesh
from training.frame_cache import FrameCache, build, read_frames
from training.prepare.dataset import COLUMNS, write_dataset
from training.prepare.job import SpanJob, VideoJob
from training.prepare.record import ClipRecord, VideoRecord, load_records
from training.prepare.resume import remaining
from training.prepare.settings import PrepareSettings
from training.prepare.video import prepare_video

pytest.importorskip("mediapipe")
pytestmark = pytest.mark.filterwarnings("ignore:label\\(\\) is deprecated:DeprecationWarning")

SETTINGS = PrepareSettings(min_seconds=0.8)
SHOT_FRAMES = 30


def job(path: Path, *, twin: Path | None = None, spans: Sequence[SpanJob] | None = None) -> VideoJob:
    return VideoJob(
        path=str(path),
        key=path.name,
        spans=tuple(spans or (SpanJob(identity="Some One", split="val"),)),
        licence="CC0-1.0",
        source="made here",
        still=path.suffix == ".jpg",
        twin=str(twin) if twin else None,
    )


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Portrait, cut, astronaut, cut, nobody, cut, two faces; a burst of sound 0.2 s after the first cut."""
    folder = tmp_path_factory.mktemp("video")
    pictures = (
        face_videos.portrait_shot(SHOT_FRAMES)
        + face_videos.astronaut_shot(SHOT_FRAMES)
        + face_videos.empty_shot(10)
        + face_videos.two_faces_shot(10)
    )
    write_clip(folder / "silent.mp4", pictures)
    face_videos.add_burst(folder / "silent.mp4", folder / "talk.mkv", seconds=len(pictures) / 25, burst_s=1.4)
    return folder / "talk.mkv"


@pytest.fixture(scope="module")
def prepared(video: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, VideoRecord]:
    """The data set made of `video`, and its record. Tests must not change it."""
    out = tmp_path_factory.mktemp("prepared")
    record = prepare_video(job(video), SETTINGS, out)
    assert record.error is None
    return out, record


def landmarks_of(out: Path, clip: ClipRecord) -> npt.NDArray[np.float32]:
    return load_landmarks(out / clip.landmarks.file, clip.size_px)


def test_each_shot_of_one_face_is_a_clip_and_the_rest_is_accounted_for(prepared: tuple[Path, VideoRecord]) -> None:
    _, record = prepared
    assert [(clip.start_s, clip.end_s, clip.frames) for clip in record.clips] == [(0.0, 1.2, 30), (1.2, 2.4, 30)]
    assert [(clip.size_px, clip.fps, clip.audio, clip.split) for clip in record.clips] == [(512, 25.0, True, "val")] * 2
    assert record.left_out_s == {"no face": 0.4, "several faces": 0.4}


def test_the_clip_is_the_stated_square_of_the_source(prepared: tuple[Path, VideoRecord], video: Path) -> None:
    out, record = prepared
    sources = read_frames(video)
    for clip, first in zip(record.clips, (0, SHOT_FRAMES), strict=True):
        frames = read_frames(out / clip.media.file)
        assert len(frames) == clip.frames == len(landmarks_of(out, clip))
        left, top, side = clip.crop_px
        assert 0 <= left <= face_videos.WIDTH_PX - side
        assert 0 <= top <= face_videos.HEIGHT_PX - side
        for number in (0, 13, clip.frames - 1):
            square = sources[first + number][top : top + side, left : left + side]
            expected = cv2.resize(square, (512, 512), interpolation=cv2.INTER_LINEAR)
            assert cv2.PSNR(frames[number], expected) > 36


def test_landmarks_lie_where_the_face_mesh_sees_them_in_the_source(prepared: tuple[Path, VideoRecord]) -> None:
    out, record = prepared
    clip = record.clips[0]
    stored = landmarks_of(out, clip)
    left, top, side = clip.crop_px
    with FaceMesh(static_image_mode=True) as mesh:
        for number in (0, 15, 29):
            seen = mesh.landmarks(face_videos.portrait_pictures()[number])
            assert seen is not None
            # From the portrait to the canvas that it was placed on, and from there to the crop.
            place = np.array(face_videos.portrait_place(number))
            on_canvas = (seen[:, :2] + 1) / 2 * face_videos.PORTRAIT_PX + place
            in_clip_px = (on_canvas - (left, top)) / side * 512
            stored_px = (stored[number, :, :2] + 1) / 2 * 512
            assert np.linalg.norm(stored_px - in_clip_px, axis=1).mean() < 2.0


def test_the_face_stays_inside_the_crop_at_a_good_size(prepared: tuple[Path, VideoRecord]) -> None:
    out, record = prepared
    for clip in record.clips:
        points = landmarks_of(out, clip)[..., :2]
        assert np.abs(points).max() < 1.0
        assert clip.face_px == pytest.approx(np.median(np.ptp(points[..., 1], axis=1)) * 256, abs=1)
        assert 200 <= clip.face_px <= 330


def test_the_sound_is_that_of_the_span(prepared: tuple[Path, VideoRecord]) -> None:
    out, record = prepared
    for clip, burst_s in zip(record.clips, (None, 0.2), strict=True):
        with av.open(str(out / clip.media.file)) as container:
            stream = container.streams.audio[0]
            assert stream.codec_context.name == "aac"
            blocks = [(float(frame.time or 0), frame.to_ndarray()[0]) for frame in container.decode(stream)]
            rate_hz = stream.codec_context.sample_rate
        seconds = blocks[-1][0] + len(blocks[-1][1]) / rate_hz
        assert seconds == pytest.approx(1.2, abs=0.05)
        loud = [time + float(np.argmax(np.abs(block) > 0.2)) / rate_hz for time, block in blocks if block.max() > 0.2]
        if burst_s is None:
            assert not loud
        else:
            assert loud[0] == pytest.approx(burst_s, abs=0.03)


def test_index_and_manifest_describe_the_clips_and_the_cache_reads_them(
    prepared: tuple[Path, VideoRecord], tmp_path: Path
) -> None:
    out = tmp_path / "set"
    shutil.copytree(prepared[0], out)
    write_dataset(out, load_records(out))
    with (out / "index.csv").open() as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    assert tuple(reader.fieldnames or ()) == COLUMNS
    assert [row["file"] for row in rows] == [clip.media.file for clip in prepared[1].clips]
    assert {row["identity"] for row in rows} == {"Some One"}
    assert (rows[0]["fps"], rows[0]["frames"], rows[0]["audio"], rows[0]["licence"]) == ("25.0", "30", "y", "CC0-1.0")
    assert build(out, tmp_path / "cache", split="val", size_px=64, frames_per_clip=5) == 10
    cache = FrameCache.open(tmp_path / "cache")
    np.testing.assert_array_equal(cache.landmarks[9], landmarks_of(out, prepared[1].clips[1])[29])
    manifest = (out / "manifest.json").read_text()
    for clip in prepared[1].clips:
        assert clip.media.sha256 in manifest
        assert clip.landmarks.sha256 in manifest


def test_the_same_video_gives_the_same_bytes(video: Path, prepared: tuple[Path, VideoRecord], tmp_path: Path) -> None:
    span = SpanJob(identity="Some One", split="val", end_s=1.2)
    again = prepare_video(job(video, spans=[span]), SETTINGS, tmp_path)
    assert again.clips == prepared[1].clips[:1]


def test_a_listed_span_with_a_box_takes_one_of_two_faces(tmp_path: Path) -> None:
    path = tmp_path / "pair.mp4"
    write_clip(path, face_videos.astronaut_shot(10) + face_videos.two_faces_shot(30))
    listed = (
        SpanJob(identity="left", split="train", start_s=0.4, box=(0.1, 0.2, 0.45, 0.9), box_is_relative=True),
        SpanJob(identity="right", split="val", start_s=0.4, end_s=1.4, box=(580.0, 120.0, 850.0, 380.0)),
    )
    record = prepare_video(job(path, spans=listed), replace(SETTINGS, face_share=0.6), tmp_path / "out")
    assert record.error is None
    assert [(clip.identity, clip.start_s, clip.end_s) for clip in record.clips] == [
        ("left", 0.4, 1.6),
        ("right", 0.4, 1.4),
    ]
    left, right = (clip.crop_px[0] + clip.crop_px[2] / 2 for clip in record.clips)
    assert left == pytest.approx(245, abs=25)
    assert right == pytest.approx(715, abs=25)
    # Names tell the clips of one video apart, whoever they show.
    assert len({clip.media.file.rsplit("_", 1)[1] for clip in record.clips}) == 2


def test_a_turned_video_of_uneven_times_becomes_upright_clips_of_the_same_times(tmp_path: Path) -> None:
    path = tmp_path / "phone.mp4"
    upright = face_videos.portrait_shot(24)
    times = [round(90000 * (number / 25 + 0.013 * (number % 3))) for number in range(24)]
    lying = [np.ascontiguousarray(np.rot90(picture, -1)) for picture in upright]
    write_clip(path, lying, times=times, rotation=90)
    record = prepare_video(job(path), SETTINGS, tmp_path / "out")
    assert record.error is None
    clip = record.clips[0]
    frames = read_frames(tmp_path / "out" / clip.media.file)
    left, top, side = clip.crop_px
    expected = cv2.resize(upright[12][top : top + side, left : left + side], (512, 512))
    assert cv2.PSNR(frames[12], expected) > 34
    with av.open(str(tmp_path / "out" / clip.media.file)) as container:
        got = [round(float(frame.time or 0) * 90000) for frame in container.decode(video=0)]
    assert got == times


@pytest.mark.parametrize(("suffix", "codec"), [("webm", "libvpx-vp9"), ("mkv", "libsvtav1")])
def test_other_codecs_and_small_pictures(tmp_path: Path, suffix: str, codec: str) -> None:
    path = tmp_path / f"small.{suffix}"
    small = [face_videos.scale(picture, 480, 270) for picture in face_videos.portrait_shot(22)]
    with ordinary_scheduling():
        write_clip(path, small, codec=codec)
    record = prepare_video(job(path), SETTINGS, tmp_path / "out")
    assert record.error is None
    assert [(clip.size_px, clip.frames, clip.tier, clip.audio) for clip in record.clips] == [(256, 22, "C", False)]


def test_a_twin_is_cut_to_the_same_frames_and_square(tmp_path: Path) -> None:
    pictures = face_videos.portrait_shot(21)
    path, twin = tmp_path / "talk.mp4", tmp_path / "talk.sr.mp4"
    write_clip(path, pictures)
    double = [face_videos.scale(picture, 1920, 1080) for picture in pictures]
    write_clip(twin, double)
    record = prepare_video(job(path, twin=twin), SETTINGS, tmp_path / "out")
    assert record.error is None
    clip = record.clips[0]
    assert clip.twin is not None
    assert clip.twin.file == clip.media.file.replace(".mp4", ".sr.mp4")
    plain, sharp = read_frames(tmp_path / "out" / clip.media.file), read_frames(tmp_path / "out" / clip.twin.file)
    assert len(plain) == len(sharp) == 21
    assert min(cv2.PSNR(plain[number], sharp[number]) for number in plain) > 34
    write_clip(twin, double[:18])
    short = prepare_video(job(path, twin=twin), SETTINGS, tmp_path / "short")
    assert short.error is not None
    assert "talk.sr.mp4: frame 18 after 0.00 s is not at the time of the video's own" in short.error
    assert not list((tmp_path / "short").rglob("*.mp4"))


def test_a_picture_becomes_a_still(tmp_path: Path) -> None:
    path = tmp_path / "portrait.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by a quarter
    lying = np.ascontiguousarray(np.rot90(face_videos.portrait_shot(1)[0]))
    Image.fromarray(lying).save(path, quality=98, exif=exif)
    record = prepare_video(job(path), SETTINGS, tmp_path / "out")
    assert record.error is None
    still = record.clips[0]
    assert (still.split, still.frames, still.fps, still.size_px) == ("stills", 1, None, 512)
    write_dataset(tmp_path / "out", [record])
    assert build(tmp_path / "out", tmp_path / "cache", split="stills", size_px=128, frames_per_clip=1) == 1
    with Image.open(tmp_path / "out" / still.media.file) as saved, FaceMesh(static_image_mode=True) as mesh:
        seen = mesh.landmarks(np.asarray(saved.convert("RGB")))
    assert seen is not None
    apart_px = np.linalg.norm((seen - landmarks_of(tmp_path / "out", still)[0])[:, :2], axis=1) * 256
    assert apart_px.mean() < 0.7


def test_broken_files_fail_with_their_reason_and_leave_nothing(tmp_path: Path, video: Path) -> None:
    cases: dict[str, tuple[bytes, str]] = {
        "empty.mp4": (b"", "the file is empty"),
        "text.mp4": (b"not a video at all" * 50, "not a video that can be read"),
        "half.mp4": ((video.parent / "silent.mp4").read_bytes()[:40000], "not a video that can be read"),
        "picture.jpg": (b"no picture", "not a picture that can be read"),
    }
    for name, (content, reason) in cases.items():
        (tmp_path / name).write_bytes(content)
        record = prepare_video(job(tmp_path / name), SETTINGS, tmp_path / "out")
        assert record.error is not None
        assert reason in record.error
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


class TestResume:
    def check(self, video: Path, out: Path, *, settings: PrepareSettings = SETTINGS, redo: bool = False) -> int:
        """How many videos a run would prepare."""
        return len(remaining([job(video)], settings, out, redo=redo).jobs)

    @pytest.fixture
    def out(self, prepared: tuple[Path, VideoRecord], tmp_path: Path) -> Path:
        shutil.copytree(prepared[0], tmp_path / "out")
        return tmp_path / "out"

    def test_a_finished_video_is_not_prepared_again(self, video: Path, out: Path) -> None:
        assert self.check(video, out) == 0
        assert load_records(out)[0].clips[0].frames == SHOT_FRAMES

    def test_a_file_that_is_not_whole_is_made_again(
        self, video: Path, out: Path, prepared: tuple[Path, VideoRecord]
    ) -> None:
        clip = prepared[1].clips[1]
        with (out / clip.media.file).open("r+b") as file:
            file.truncate(1000)
        rest = remaining([job(video)], SETTINGS, out, redo=False)
        assert rest.remarks == ("talk.mkv: a file of it is missing or not whole, so it is done again",)
        assert not list(out.glob("val/*"))
        again = prepare_video(rest.jobs[0], SETTINGS, out)
        assert again.clips == prepared[1].clips
        assert self.check(video, out) == 0

    def test_a_run_that_was_killed_leaves_no_record_and_its_remains_are_cleared(
        self, video: Path, out: Path, prepared: tuple[Path, VideoRecord]
    ) -> None:
        record_file = next((out / "records").iterdir())
        remains = out / ".work" / record_file.stem / "0.mp4"
        record_file.unlink()
        remains.parent.mkdir(parents=True)
        remains.write_bytes(b"half")
        assert self.check(video, out) == 1
        span = SpanJob(identity="Some One", split="val", end_s=1.2)
        assert prepare_video(job(video, spans=[span]), SETTINGS, out).error is None
        assert not remains.parent.exists()

    def test_other_settings_are_refused_or_done_again(self, video: Path, out: Path) -> None:
        other = replace(SETTINGS, face_share=0.4)
        with pytest.raises(ValueError, match=r"face_share was 0.5, now 0.4\); give --redo"):
            self.check(video, out, settings=other)
        with pytest.raises(ValueError, match="give this video too and --redo"):
            remaining([], other, out, redo=True)
        assert self.check(video, out, settings=other, redo=True) == 1
        assert not list(out.glob("val/*"))

    def test_a_changed_video_is_done_again(self, video: Path, out: Path, tmp_path: Path) -> None:
        copy = tmp_path / video.name
        shutil.copy2(video, copy)
        assert self.check(copy, out) == 0
        os.utime(copy, (1, 1))
        assert self.check(copy, out) == 1

    def test_a_person_who_is_in_val_already_cannot_come_into_train(self, out: Path, tmp_path: Path) -> None:
        another = job(tmp_path / "another.mp4", spans=[SpanJob(identity="Some One", split="train")])
        with pytest.raises(ValueError, match="identity 'Some One': in both splits"):
            remaining([another], SETTINGS, out, redo=False)

    def test_a_damaged_record_is_named(self, video: Path, out: Path) -> None:
        record_file = next((out / "records").iterdir())
        record_file.write_text('{"format": 1, "clips": []}')
        with pytest.raises(ValueError, match="not a record of a prepared video"):
            self.check(video, out)


@pytest.mark.realdata
def test_a_recorded_clip_comes_out_as_it_was_with_the_stored_landmarks(
    recorded_clips: list[Path], tmp_path: Path
) -> None:
    path = recorded_clips[0]
    span = SpanJob(identity="known", split="val", end_s=3.0)
    record = prepare_video(job(path, spans=[span]), PrepareSettings(), tmp_path / "out")
    assert record.error is None
    clip = record.clips[0]
    assert (clip.crop_px, clip.size_px) == ((0, 0, 512), 512)
    stored = load_landmarks(path.with_suffix(".npz"), 512)[: clip.frames, :, :2]
    made = landmarks_of(tmp_path / "out", clip)[..., :2]
    apart_px = np.linalg.norm(made - stored, axis=2) * 256
    assert apart_px.mean() < 1.5
    source, copy = read_frames(path, {0, 40}), read_frames(tmp_path / "out" / clip.media.file, {0, 40})
    assert min(cv2.PSNR(source[number], copy[number]) for number in copy) > 36
    write_dataset(tmp_path / "out", [record])
    assert build(tmp_path / "out", tmp_path / "cache", split="val", size_px=128, frames_per_clip=8) == 8
