"""`adasr train prepare` as people run it, its worker processes and Ray."""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import threading
import time
from pathlib import Path

import pytest

from adasr.cli import main
from tests.cli.clip_builders import write_clip
from tests.training.prepare import face_videos
from training.prepare.job import SpanJob, VideoJob
from training.prepare.progress import PrepareProgress
from training.prepare.record import failed_record
from training.prepare.settings import PrepareSettings
from training.prepare.workers import map_locally, map_on_ray

pytest.importorskip("mediapipe")

SETTINGS = PrepareSettings(min_seconds=0.5)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two people and a broken file."""
    folder = tmp_path_factory.mktemp("videos")
    for person in ("anna", "ben"):
        (folder / person).mkdir()
    write_clip(folder / "anna" / "one.mp4", face_videos.portrait_shot(16))
    write_clip(folder / "ben" / "one.mp4", face_videos.astronaut_shot(16))
    (folder / "ben" / "broken.mp4").write_bytes(b"no video")
    return folder


def jobs(folder: Path) -> list[VideoJob]:
    return [
        VideoJob(
            path=str(folder / person / "one.mp4"),
            key=f"{person}/one.mp4",
            spans=(SpanJob(identity=person, split="train"),),
            licence="",
            source="",
        )
        for person in ("anna", "ben")
    ]


def test_a_folder_is_prepared_once_and_a_broken_file_does_not_stop_it(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set"
    arguments = ["train", "prepare", str(videos), "--out", str(out), "--identity", "folder", "--min-seconds", "0.5"]
    arguments += ["--workers", "1", "--licence", "CC0-1.0", "--source", "made here"]
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert "2 clips and stills" in said.out
    assert "failed: ben/broken.mp4: " in said.err
    assert "1 of 3 failed" in said.err
    assert "[3/3]" in said.err
    with (out / "index.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["identity"] for row in rows} == {"anna", "ben"}
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["settings"]["min_seconds"] == 0.5
    assert [clip["licence"] for clip in manifest["clips"]] == ["CC0-1.0"] * 2
    assert not (out / ".work").exists()
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.mp4")}

    (videos / "ben" / "broken.mp4").unlink()
    assert main(arguments) == 0
    again = capsys.readouterr()
    assert "2 of 2 are finished already" in again.err
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.mp4")} == before

    assert main([*arguments, "--min-seconds", "0.6"]) == 2
    assert "was prepared in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.mp4"], "nowhere.mp4: no such video, picture or folder"),
        ([".", "--val-share", "2"], "--val-share: got 2.0, expected 0 to 1"),
        ([".", "--workers", "0"], "--workers: got 0, expected 1 or more"),
        ([".", "--identity", "("], "not a regular expression"),
        ([".", "--max-seconds", "3"], "max_seconds: got 3"),
        ([".", "--list", "missing.csv"], "missing.csv: No such file"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str],
    message: str,
    videos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(videos)
    assert main(["train", "prepare", *arguments, "--out", str(tmp_path / "set")]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "set").exists()


def test_progress_tells_a_line_for_each_video_where_nobody_watches() -> None:
    stream = io.StringIO()
    job = VideoJob(path="a.mp4", key="a.mp4", spans=(), licence="", source="")
    with PrepareProgress(2, stream) as progress:
        progress.add(failed_record(job, SETTINGS, "[bold]damaged[/bold] after 3 s"))
    assert stream.getvalue() == "[1/2] a.mp4: failed: [bold]damaged[/bold] after 3 s\n"
    assert [record.key for record in progress.failures] == ["a.mp4"]


@pytest.mark.slow
def test_a_worker_that_dies_does_not_lose_a_video(videos: Path, tmp_path: Path) -> None:
    killed: list[int | None] = []

    def kill_first_worker() -> None:
        while not (workers := multiprocessing.active_children()):
            time.sleep(0.01)
        time.sleep(0.5)
        workers[0].kill()
        killed.append(workers[0].pid)

    killer = threading.Thread(target=kill_first_worker)
    killer.start()
    records = list(map_locally(jobs(videos), SETTINGS, tmp_path, workers=1))
    killer.join()
    assert len(killed) == 1
    assert sorted(record.key for record in records) == ["anna/one.mp4", "ben/one.mp4"]
    assert [record.error for record in records] == [None, None]


@pytest.mark.slow
def test_ray_prepares_the_same_clips_as_this_process(videos: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    on_ray = list(map_on_ray(jobs(videos), SETTINGS, tmp_path / "ray", address="local", workers=1))
    here = list(map_locally(jobs(videos), SETTINGS, tmp_path / "here", workers=1))
    assert [record.error for record in on_ray] == [None, None]
    clips = {record.key: record.clips for record in here}
    assert {record.key: record.clips for record in on_ray} == clips
    assert all(
        (tmp_path / "ray" / file.file).is_file() for record in on_ray for clip in record.clips for file in clip.files
    )
