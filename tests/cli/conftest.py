"""Clips and encoded files that the tests of the command line share. They use the shipped model."""

import shutil
from fractions import Fraction
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from adasr.file_codec import EncodeOptions, encode_file
from adasr.video_file import SourceFrame, open_video
from adasr_core.bundle import ModelBundle, open_bundle
from adasr_core.landmarks import LANDMARKS
from tests.cli.clip_builders import Picture, write_clip

FRAMES = 30


@pytest.fixture(scope="session")
def bundle() -> ModelBundle:
    """The shipped model."""
    return open_bundle("edge")


@pytest.fixture(scope="session")
def portrait_frames() -> list[SourceFrame]:
    """Every third frame of the sample clip, until there are 30: 3.6 s of a talking head, 512x512."""
    path = Path(str(files("adasr") / "sample" / "portrait.mp4"))
    frames = [frame for frame in open_video(path).frames() if frame.number % 3 == 0]
    return frames[:FRAMES]


@pytest.fixture(scope="session")
def portrait_pictures(portrait_frames: list[SourceFrame]) -> list[Picture]:
    """The pictures of `portrait_frames`."""
    return [frame.image for frame in portrait_frames]


@pytest.fixture(scope="session")
def portrait(tmp_path_factory: pytest.TempPathFactory, portrait_pictures: list[Picture]) -> Path:
    """`portrait_pictures` as an mp4 with sound, at 25/3 frames/s."""
    path = tmp_path_factory.mktemp("portrait") / "portrait.mp4"
    write_clip(path, portrait_pictures, rate=Fraction(25, 3), audio_codec="aac")
    return path


@pytest.fixture(scope="session")
def portrait_akc(tmp_path_factory: pytest.TempPathFactory, portrait: Path, bundle: ModelBundle) -> Path:
    """`portrait` encoded with a single key frame."""
    path = tmp_path_factory.mktemp("akc") / "portrait.akc"
    encode_file(portrait, path, bundle, EncodeOptions(references=1))
    return path


@pytest.fixture(scope="session")
def unfitted_akc(tmp_path_factory: pytest.TempPathFactory, portrait: Path, bundle: ModelBundle) -> Path:
    """The same with the motion as it was detected: five times as fast to make, for tests of everything but quality."""
    path = tmp_path_factory.mktemp("akc") / "unfitted.akc"
    encode_file(portrait, path, bundle, EncodeOptions(references=1, effort=0))
    return path


@pytest.fixture
def landmarked(tmp_path: Path, portrait: Path) -> Path:
    """The short portrait clip with landmarks beside it: an ellipse about the middle, the same in every frame."""
    clip = tmp_path / "clip.mp4"
    shutil.copyfile(portrait, clip)
    frames = len(list(open_video(clip).frames()))
    angles = np.linspace(0, 2 * np.pi, LANDMARKS, endpoint=False)
    points = np.stack((256 + 100 * np.cos(angles), 230 + 130 * np.sin(angles), 0 * angles), axis=1)
    deltas = np.zeros((frames, LANDMARKS, 3), np.int16)
    deltas[0] = np.round(points * 4)
    np.savez(clip.with_suffix(".npz"), landmarks_delta_q=deltas)
    return clip
