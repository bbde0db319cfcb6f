"""The sample clip: what the command line promises of it, and that the script still makes it."""

import dataclasses
import math
from fractions import Fraction

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.data import astronaut

from adasr.sample import sample_clip_path
from adasr.sample.performance import BLINKS_S, PERIOD_S, performance_at
from adasr.sample.portrait import FRAME_PX, PosablePortrait
from adasr.sample_pictures import sample_pictures
from adasr.video_file import open_video


@pytest.fixture(scope="module")
def portrait() -> PosablePortrait:
    return PosablePortrait(astronaut())


def psnr_db(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio over all channels."""
    error = float(np.mean((first.astype(np.float64) - second.astype(np.float64)) ** 2))
    return 10.0 * math.log10(255.0**2 / max(error, 1e-9))


def test_size_rate_and_length() -> None:
    path = sample_clip_path()
    assert path.stat().st_size < 400_000
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.average_rate) == (512, 512, Fraction(25))
        times = [frame.time for frame in container.decode(stream)]
    assert times == pytest.approx([index / 25 for index in range(200)], abs=1e-3)


@pytest.mark.parametrize("index", [0, 32, 100, 199])
def test_the_script_makes_this_clip(portrait: PosablePortrait, index: int) -> None:
    frames = open_video(sample_clip_path()).frames()
    frame = next(frame for frame in frames if frame.number == index)
    assert psnr_db(portrait.render(performance_at(index / 25)), frame.image) > 36.0


def test_the_person_moves_and_the_wall_does_not(portrait: PosablePortrait) -> None:
    pictures = [portrait.render(performance_at(time_s)) for time_s in (0.0, 1.6, 6.1)]
    assert pictures[0].shape == (FRAME_PX, FRAME_PX, 3)
    for picture in pictures[1:]:
        np.testing.assert_array_equal(picture[:120, :60], pictures[0][:120, :60])
        assert psnr_db(picture[100:340, 140:380], pictures[0][100:340, 140:380]) < 26.0


def test_the_performance_repeats_and_blinks() -> None:
    again = dataclasses.astuple(performance_at(0.3 + PERIOD_S))
    assert again == pytest.approx(dataclasses.astuple(performance_at(0.3)), abs=1e-6)
    assert all(performance_at(time_s).blink > 0.99 for time_s in BLINKS_S)
    assert performance_at(0.0).blink < 0.01
    states = [performance_at(index / 25) for index in range(200)]
    assert max(state.yaw_rad for state in states) > math.radians(12)
    assert min(state.yaw_rad for state in states) < math.radians(-12)
    assert max(state.jaw_px for state in states) > 4.0
    assert min(state.jaw_px for state in states) < -2.0


def test_sample_pictures_are_spread_over_the_clip() -> None:
    pictures = sample_pictures(3)
    frames = [frame.image for frame, _ in zip(open_video(sample_clip_path()).frames(), range(9), strict=False)]
    for picture, expected in zip(pictures, frames[::4], strict=True):
        np.testing.assert_array_equal(picture, expected)
