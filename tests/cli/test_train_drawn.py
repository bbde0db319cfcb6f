"""``adasr train drawn``: frames of real calls, as the receiver drew them."""

from pathlib import Path

import numpy as np
import pytest

from adasr.cli import main
from adasr.sample import sample_clip_path
from adasr_core.picture_quality import psnr_db
from training.drawn_frames import DrawnFrames


def data_set(folder: Path, rows: list[str]) -> Path:
    (folder / "index.csv").write_text("\n".join(["split,file,size_px,frames,tier", *rows]) + "\n")
    return folder


def test_what_is_recorded_is_what_was_drawn(tmp_path: Path) -> None:
    data = data_set(
        tmp_path,
        [
            f"train,{sample_clip_path()},512,200,A",
            f"train,{sample_clip_path()},256,200,A",
            f"train,{sample_clip_path()},512,200,C",
            f"val,{sample_clip_path()},512,200,B",
        ],
    )
    arguments = ["train", "drawn", "--data", str(data), "--out", str(tmp_path / "drawn"), "--split", "train"]
    arguments += ["--recordings", "1", "--length", "26", "--keep", "9", "--crf", "55,55", "--every", "4"]
    assert main(arguments) == 0
    assert not (tmp_path / "drawn" / "drawn-val").exists()
    frames = DrawnFrames.open(tmp_path / "drawn" / "drawn-train")
    assert frames.truth.shape == (9, 512, 512, 3)  # the clips of another size and of a poor tier are left out
    assert set(np.round(frames.weight, 2)) <= {0.0, 0.25, 0.5, 0.75}
    assert frames.crf.tolist() == [55.0] * 9
    for number, weight in enumerate(frames.weight):
        earlier, later = frames.earlier[number], frames.later[number]
        assert np.array_equal(earlier, later) == (weight == 0)
        mixed = np.asarray(np.round((1 - weight) * earlier + weight * later), np.uint8)
        own = psnr_db(frames.truth[number], mixed)
        # It shows its own moment, not a frame near by.
        assert all(own > psnr_db(frames.truth[other], mixed) for other in range(9) if other != number)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--crf", "60,50"], "crf"),
        (["--every", "4,9"], "every: got 4,9, expected numbers from 1 to 8"),
        (["--keep", "0"], "keep"),
        ([], "has no val clip of 512 px"),
    ],
)
def test_wrong_input_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: list[str], message: str
) -> None:
    data = data_set(tmp_path, [f"train,{sample_clip_path()},512,200,A"])
    arguments = ["train", "drawn", "--data", str(data), "--out", str(tmp_path / "drawn"), "--split", "val", *option]
    try:
        code = main(arguments)
    except SystemExit as stopped:
        code = int(str(stopped.code))
    assert code == 2
    assert message in capsys.readouterr().err
