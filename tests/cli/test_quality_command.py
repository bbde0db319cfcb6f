"""``adasr bench quality``: the figures of a clip that goes through the codec and back."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from adasr.cli import main
from adasr.file_codec import EncodeOptions, decode_file, encode_file
from adasr.quality_bench import frame_pairs
from adasr.video_file import open_video
from adasr_core.bundle import ModelBundle
from adasr_core.landmarks import load_landmarks
from benchmarks.rebuild_quality import psnr_db


def test_figures_are_those_of_the_files(
    landmarked: Path, tmp_path: Path, bundle: ModelBundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "quality", str(landmarked), "--effort", "0", "--json", "-"]) == 0
    report = json.loads(capsys.readouterr().out)
    (clip,) = report["clips"]
    coded, decoded = tmp_path / "own.akc", tmp_path / "own.mp4"
    encode_file(landmarked, coded, bundle, EncodeOptions(references=1, effort=0, keep_audio=False))
    decode_file(coded, decoded, bundle)
    pairs = list(frame_pairs(landmarked, decoded))
    assert clip["total_bytes"] == coded.stat().st_size
    assert clip["psnr_db"] == pytest.approx(np.mean([psnr_db(a, b) for a, b in pairs[1:]]), abs=0.05)
    assert clip["static_psnr_db"] == pytest.approx(np.mean([psnr_db(a, pairs[0][0]) for a, _ in pairs[1:]]), abs=0.01)
    assert report["mean"]["psnr_db"] == clip["psnr_db"]
    assert report["references"] == 1


def test_landmarks_of_another_clip_are_refused(landmarked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with np.load(landmarked.with_suffix(".npz")) as file:
        deltas = file["landmarks_delta_q"]
    np.savez(landmarked.with_suffix(".npz"), landmarks_delta_q=deltas[:-2])
    assert main(["bench", "quality", str(landmarked), "--effort", "0"]) == 2
    assert "as the landmarks have" in capsys.readouterr().err


def test_landmark_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", landmarks_delta_q=np.zeros((3, 68, 2), np.int16))
    with pytest.raises(ValueError, match=r"expected \(T, 478, 3\)"):
        load_landmarks(tmp_path / "x.npz", 512)
    np.savez(tmp_path / "y.npz", other=np.zeros(3))
    with pytest.raises(ValueError, match="landmarks_delta_q"):
        load_landmarks(tmp_path / "y.npz", 512)


@pytest.mark.realdata
def test_landmarks_lie_on_the_recorded_faces(recorded_clips: list[Path]) -> None:
    """The irises are darker than the rest of the face: the landmarks and the pixels share one coordinate frame."""
    for clip in recorded_clips[:4]:
        first = next(iter(open_video(clip).frames())).image
        grey = cv2.GaussianBlur(cv2.cvtColor(first, cv2.COLOR_RGB2GRAY), (0, 0), 2)
        points = load_landmarks(clip.with_suffix(".npz"), first.shape[0])[0, :, :2]
        column, row = ((points + 1) * first.shape[0] / 2).astype(int).T
        assert grey[row[[468, 473]], column[[468, 473]]].mean() < 0.85 * grey[row[:468], column[:468]].mean()
