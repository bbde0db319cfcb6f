"""``adasr animate``: a real portrait driven by a real clip, and everything that can be wrong with either."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adasr.animation import AnimateOptions, find_portrait_face, read_portrait
from adasr.cli import main
from adasr.clip_analysis import analyse_clip
from adasr.progress import no_progress
from adasr.video_file import open_video
from adasr_core.geometry import FACE_KEYPOINTS
from adasr_core.picture_quality import psnr_db
from tests.cli.clip_builders import Picture, numbered_pictures, write_clip
from tests.real_model import edge_model, empty_room
from tests.real_model import portrait as astronaut


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory, portrait_pictures: list[Picture]) -> Path:
    """Ten frames of a talking head, with sound."""
    path = tmp_path_factory.mktemp("driver") / "driver.mp4"
    write_clip(path, portrait_pictures[:30:3], rate=5, audio_codec="aac")
    return path


@pytest.fixture(scope="module")
def own_portrait(tmp_path_factory: pytest.TempPathFactory, driver: Path) -> Path:
    """The driver's first frame as a picture."""
    path = tmp_path_factory.mktemp("portrait") / "first.png"
    Image.fromarray(next(iter(open_video(driver).frames())).image).save(path)
    return path


def test_a_clip_driven_by_itself_comes_back(
    own_portrait: Path, driver: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.mp4"
    assert main(["animate", str(own_portrait), str(driver), str(out), "--json", "-"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["frames"], figures["start_frame"]) == (10, 0)
    assert figures["scale"] == pytest.approx(1.0, abs=0.01)
    source, made = list(open_video(driver).frames()), list(open_video(out).frames())
    assert [frame.ticks for frame in made] == [frame.ticks for frame in source]
    moved = [psnr_db(a.image, b.image) for a, b in zip(source[1:], made[1:], strict=True)]
    held = [psnr_db(frame.image, source[0].image) for frame in source[1:]]
    assert np.mean(moved) > np.mean(held) + 1.0
    before, after = open_video(driver).read_audio(), open_video(out).read_audio()
    assert before is not None
    assert after is not None
    assert [packet.data for packet in after.packets] == [packet.data for packet in before.packets]


@pytest.mark.parametrize("way", ["--relative", "--absolute"])
def test_a_portrait_of_another_size_takes_over_the_motion(
    way: str, tmp_path: Path, portrait_pictures: list[Picture]
) -> None:
    portrait, clip, out = tmp_path / "astronaut.jpg", tmp_path / "driver.mp4", tmp_path / "out.mp4"
    Image.fromarray(astronaut()[:400]).resize((720, 563)).save(portrait, quality=95)
    write_clip(clip, portrait_pictures[:30:6], rate=5)
    assert main(["animate", str(portrait), str(clip), str(out), way]) == 0
    model = edge_model()
    made, driven = (analyse_clip(open_video(path), model, None, no_progress) for path in (out, clip))
    assert made.frame_px == 512
    tracks = [
        np.stack([frame.parameters.keypoints[:FACE_KEYPOINTS].mean(axis=0) for frame in clip.frames])
        for clip in (made, driven)
    ]
    # The head goes where the driver's goes, frame for frame, in its own place or in the driver's.
    correlation = np.corrcoef(tracks[0][:, 0], tracks[1][:, 0])[0, 1]
    assert correlation > 0.95
    if way == "--absolute":
        assert np.abs(tracks[0] - tracks[1]).max() < 0.1


def test_a_portrait_lying_on_its_side_is_turned_upright(tmp_path: Path) -> None:
    upright = astronaut()
    lying = Image.fromarray(np.ascontiguousarray(np.rot90(upright)))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise to show
    lying.save(tmp_path / "lying.png", exif=exif)
    assert np.array_equal(read_portrait(tmp_path / "lying.png"), upright)


def test_a_framed_portrait_is_taken_whole_and_another_is_cropped(own_portrait: Path) -> None:
    model = edge_model()
    framed = read_portrait(own_portrait)
    whole, cropped = find_portrait_face(framed, model), find_portrait_face(astronaut(), model)
    assert whole is not None
    assert np.array_equal(whole.picture, framed)
    assert cropped is not None
    assert cropped.crop.size_px < 512


@pytest.mark.parametrize("case", ["no face in portrait", "no picture", "no face in driver", "no video", "no frame"])
def test_mistakes_are_one_line(
    case: str, own_portrait: Path, driver: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    portrait, clip, out, options = own_portrait, driver, tmp_path / "out.mp4", []
    if case == "no face in portrait":
        portrait = tmp_path / "room.png"
        Image.fromarray(empty_room(320, 240)).save(portrait)
    elif case == "no picture":
        portrait = tmp_path / "text.jpg"
        portrait.write_text("no picture")
    elif case == "no face in driver":
        clip = tmp_path / "blank.mp4"
        write_clip(clip, numbered_pictures(1))
    elif case == "no video":
        clip = own_portrait.with_suffix(".missing")
    else:
        options = ["--best-frame", "99"]
    assert main(["animate", str(portrait), str(clip), str(out), *options]) == 2
    error = capsys.readouterr().err
    expected = {
        "no face in portrait": "no face found in the portrait",
        "no picture": "not a picture that can be read",
        "no face in driver": "no face found in any of its 1 frames",
        "no video": "first.missing",
        "no frame": "best frame: got 99, expected below 10",
    }[case]
    assert expected in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_options_that_contradict_are_refused() -> None:
    with pytest.raises(ValueError, match="leave --best-frame out"):
        AnimateOptions(relative=False, start_frame=3)
    with pytest.raises(ValueError, match="best frame: got -1"):
        AnimateOptions(start_frame=-1)


def test_output_over_an_input_is_refused(own_portrait: Path, driver: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = driver.read_bytes()
    assert main(["animate", str(own_portrait), str(driver), str(driver)]) == 2
    assert "same file" in capsys.readouterr().err
    assert driver.read_bytes() == before
