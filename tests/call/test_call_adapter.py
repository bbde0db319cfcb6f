"""A call whose receiver adds an adapter to its decoder."""

from pathlib import Path

import numpy as np
import pytest

from adasr.sample import sample_clip_path
from adasr.video_file import open_video
from adasr_core.bundle import ModelBundle
from adasr_core.picture_quality import psnr_db
from tests.adapters import random_adapter
from tests.call.test_call_command import _call, _finish


@pytest.mark.slow
def test_the_film_shows_what_the_adapter_makes_of_the_call(bundle: ModelBundle, tmp_path: Path) -> None:
    adapter, film = tmp_path / "strange.adapter", tmp_path / "film.mp4"
    adapter.write_bytes(random_adapter(bundle, strength=4.0).to_bytes())
    offer = _call(tmp_path, "offer", "--source", "sample", "--full", "--sink", "none", "--seconds", "3")
    answer = _call(tmp_path, "answer", "--source", "none", "--sink", str(film), "--adapter", str(adapter))
    sent, shown = _finish(offer, answer)
    assert (sent[0], shown[0]) == (0, 0), (sent, shown)
    frames = [frame.image for frame in open_video(film).frames()]
    source = [frame.image for frame in open_video(sample_clip_path()).frames()]
    assert frames
    nearest = [max(psnr_db(picture, frame) for picture in source[::4]) for frame in frames[len(frames) // 2 :][:6]]
    # Anchors, and what lies between two that are there, are no work of the generator's.
    assert min(nearest) < 21, "the plain decoder rebuilds the sample at 26 dB and more; this one must not"
    assert np.std(frames[-1]) > 1
