"""``adasr train evaluate``: the figures of a clip through the real codec, and what it says is missing."""

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from adasr.cli import main
from adasr.evaluation_measures import ClipMeasures, MetricNetworks, Strides
from adasr.file_codec import DECODER_PARTS, EncodeOptions, encode_file, open_decodable, rebuilt_frames
from adasr.video_file import open_video
from adasr_core.bundle import ModelBundle
from adasr_core.engines import FaceModel
from adasr_core.landmarks import LANDMARKS
from benchmarks.rebuild_quality import psnr_db
from tests.cli.clip_builders import Picture, write_clip
from training.metrics import ssim

pytest.importorskip("mediapipe", reason="MediaPipe is not installed")

KEYS = (
    "psnr_db", "static_psnr_db", "face_psnr_db", "static_face_psnr_db", "ssim", "ms_ssim", "ssimulacra2", "akd_px",
    "akd68_l1_px", "sharpness", "frames", "bytes_per_frame", "lpips", "fid", "aed",
)  # fmt: skip


def landmarked(clip: Path) -> Path:
    """Put landmarks beside a clip: an ellipse about the middle, the same in every frame."""
    frames = len(list(open_video(clip).frames()))
    angles = np.linspace(0, 2 * np.pi, LANDMARKS, endpoint=False)
    points = np.stack((256 + 100 * np.cos(angles), 230 + 130 * np.sin(angles), 0 * angles), axis=1)
    deltas = np.zeros((frames, LANDMARKS, 3), np.int16)
    deltas[0] = np.round(points * 4)
    np.savez(clip.with_suffix(".npz"), landmarks_delta_q=deltas)
    return clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, portrait_pictures: list[Picture]) -> Path:
    """Five frames of a talking head."""
    path = tmp_path_factory.mktemp("evaluate") / "head.mp4"
    write_clip(path, portrait_pictures[:25:5], rate=5)
    return landmarked(path)


@pytest.fixture(scope="module")
def report(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """The JSON report on the clip, and the folder with it and the worst frames."""
    folder = tmp_path_factory.mktemp("report")
    options = ["--json", str(folder / "out.json"), "--worst", str(folder / "worst"), "--stride", "3"]
    assert main(["train", "evaluate", str(clip), *options]) == 0
    return json.loads((folder / "out.json").read_text()), folder


def test_the_report_is_complete(report: tuple[Any, Path], bundle: ModelBundle) -> None:
    figures, _ = report
    assert (figures["model"], figures["codec_id"], figures["references"]) == ("edge", bundle.codec_id, 1)
    assert (figures["stride_similarity"], figures["stride_ssimulacra2"]) == (3, 10)
    mean, (clip,) = figures["mean"], figures["clips"]
    assert set(KEYS) <= set(mean)
    assert set(KEYS) <= set(clip)
    assert clip["clip"] == "head"
    assert mean["akd_px"] == clip["akd_px"]
    missing = figures["missing"]
    # What is null is explained, and what is explained is null.
    assert {name for name in KEYS if mean[name] is None} == set(missing)
    assert clip["akd_missing"] == 0


def test_frames_are_scored_as_the_generator_leaves_them(
    report: tuple[Any, Path], clip: Path, tmp_path: Path, bundle: ModelBundle
) -> None:
    (figures,) = report[0]["clips"]
    coded = tmp_path / "own.akc"
    encode_file(clip, coded, bundle, EncodeOptions(references=1, keep_audio=False))
    model = FaceModel.load(bundle, parts=DECODER_PARTS)
    rebuilt = [frame.image for frame in rebuilt_frames(open_decodable(coded, bundle), model)]
    source = [frame.image for frame in open_video(clip).frames()]
    pairs = list(zip(source, rebuilt, strict=True))[1:]
    assert figures["psnr_db"] == pytest.approx(np.mean([psnr_db(a, b) for a, b in pairs]), abs=1e-6)
    assert figures["static_psnr_db"] == pytest.approx(np.mean([psnr_db(a, source[0]) for a, _ in pairs]), abs=1e-6)
    # Every third frame after the first: 1 and 4.
    assert figures["ssim"] == pytest.approx(np.mean([ssim(*pairs[i]) for i in (0, 3)]), abs=1e-6)
    assert figures["bytes_per_frame"] == pytest.approx(figures["motion_bytes"] / 5, abs=1e-3)
    assert 0 < figures["akd68_l1_px"] < figures["akd_px"] < 12


def test_workers_find_the_same_figures(clip: Path, tmp_path: Path, portrait_pictures: list[Picture]) -> None:
    """Two clips in two processes, and one after the other here: equal to the last digit."""
    other = tmp_path / "other.mp4"
    write_clip(other, portrait_pictures[2:12:8], rate=5)
    reports = []
    for workers in ("1", "2"):
        path = tmp_path / f"{workers}.json"
        options = ["--effort", "1", "--stride", "4", "--workers", workers, "--json", str(path)]
        assert main(["train", "evaluate", str(clip), str(landmarked(other)), *options]) == 0
        reports.append(json.loads(path.read_text()))
        assert reports[-1].pop("seconds") > 0
    assert reports[0] == reports[1]
    assert [row["clip"] for row in reports[0]["clips"]] == ["head", "other"]


def test_the_worst_frame_is_shown_beside_its_source(report: tuple[Any, Path], clip: Path) -> None:
    figures, folder = report
    (row,) = figures["clips"]
    (path,) = (folder / "worst").iterdir()
    assert path.name.startswith(f"head_frame{row['worst_frame']}_")
    sheet = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    assert sheet is not None
    assert sheet.shape == (512, 3 * 512, 3)
    source = [frame.image for frame in open_video(clip).frames()][int(row["worst_frame"])]
    assert psnr_db(np.asarray(sheet[:, :512], np.uint8), source) > 32


def test_equal_frames_have_no_distance(portrait_pictures: list[Picture]) -> None:
    networks = MetricNetworks(None, None, None, face_mesh=True)
    pairs = [(picture, picture) for picture in portrait_pictures[:2]]
    with ClipMeasures(512, networks, Strides(similarity=1, ssimulacra2=1), keep_sampled=True) as measures:
        assert [a is b for a, b in measures.watch(iter(pairs))] == [True] * 2
        figures = measures.to_json()
    # What FID counts: the first frame is left out.
    assert [source is portrait_pictures[1] for source, _ in measures.sampled] == [True]
    assert figures["akd_px"] == figures["akd68_l1_px"] == 0.0
    assert figures["ssim"] == pytest.approx(1.0, abs=1e-6)
    assert figures["ssimulacra2"] == pytest.approx(100.0, abs=1e-6)


def test_a_missing_face_mesh_is_said_and_nothing_else_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> object:
        raise ModuleNotFoundError("face landmarks need MediaPipe 0.10.21")

    monkeypatch.setattr("adasr.evaluation_measures.FaceMesh", missing)
    networks = MetricNetworks.find()
    assert not networks.face_mesh
    assert "MediaPipe" in networks.missing["akd_px"]
    blank = np.zeros((512, 512, 3), np.uint8)
    with ClipMeasures(512, networks, Strides()) as measures:
        list(measures.watch(iter([(blank, blank)] * 2)))
        figures = measures.to_json()
    assert figures["akd_px"] is figures["akd_missing"] is None
    assert figures["ssim"] == pytest.approx(1.0, abs=1e-6)


def test_mistakes_are_one_line(
    clip: Path, tmp_path: Path, portrait_pictures: list[Picture], capsys: pytest.CaptureFixture[str]
) -> None:
    bare, small = tmp_path / "bare.mp4", tmp_path / "small.mp4"
    shutil.copyfile(clip, bare)
    write_clip(small, [np.asarray(cv2.resize(p, (256, 256)), np.uint8) for p in portrait_pictures[:2]])
    cases = [
        ([str(bare)], "bare.npz"),
        ([str(landmarked(small))], "got 256x256, expected 512x512"),
        ([str(clip), "--lpips-weights", str(tmp_path / "none.pth")], "weights of lpips: no such file"),
        ([str(clip), "--aed-network", str(tmp_path / "none.onnx")], "face recognition network: no such file"),
    ]
    for arguments, expected in cases:
        assert main(["train", "evaluate", *arguments]) == 2
        error = capsys.readouterr().err
        assert expected in error.replace("none.pth: ", "").replace("none.onnx: ", "")
        assert error.count("\n") == 1
    with pytest.raises(ValueError, match="stride of similarity: got 0"):
        Strides(similarity=0)
