"""``--adapter``: the commands that rebuild frames take one, and refuse what does not fit in one line."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from adasr.cli import main
from adasr.file_codec import EncodeOptions, encode_file
from adasr.video_file import open_video
from adasr_core.adapter import Adapter
from adasr_core.bundle import ModelBundle
from adasr_core.landmarks import LANDMARKS
from tests.adapters import random_adapter
from tests.cli.clip_builders import Picture, write_clip


@pytest.fixture(scope="module")
def adapter(bundle: ModelBundle) -> Adapter:
    return random_adapter(bundle, strength=1.0)


@pytest.fixture
def adapter_file(tmp_path: Path, adapter: Adapter) -> Path:
    path = tmp_path / "someone.adapter"
    path.write_bytes(adapter.to_bytes())
    return path


def _frames(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.stack([frame.image for frame in open_video(path).frames()]).astype(np.float32)


def test_decode_shows_what_the_adapter_makes_of_it(unfitted_akc: Path, adapter_file: Path, tmp_path: Path) -> None:
    plain, adapted = tmp_path / "plain.mp4", tmp_path / "adapted.mp4"
    assert main(["decode", str(unfitted_akc), str(plain)]) == 0
    assert main(["decode", str(unfitted_akc), str(adapted), "--adapter", str(adapter_file)]) == 0
    first, second = _frames(plain), _frames(adapted)
    assert first.shape == second.shape
    assert np.abs(first - second).mean() > 1


def test_encode_chooses_by_the_adapted_rebuild(
    portrait_pictures: list[Picture], adapter: Adapter, bundle: ModelBundle, tmp_path: Path
) -> None:
    clip = tmp_path / "clip.mp4"
    write_clip(clip, portrait_pictures[:8])
    options = EncodeOptions(references=2, effort=0, candidates=2, targets=2, rebuilds_per_frame=1)
    found = [
        encode_file(clip, tmp_path / "coded.akc", bundle, options, adapter=chosen).estimated_psnr_db
        for chosen in (None, adapter)
    ]
    assert found[0] is not None
    assert found[1] is not None
    assert found[1] < found[0] - 0.1, "a random adapter rebuilds worse, and the encoder must see it"


def test_bench_quality_measures_with_the_adapter(
    portrait_pictures: list[Picture],
    adapter: Adapter,
    adapter_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clip = tmp_path / "clip.mp4"
    write_clip(clip, portrait_pictures[:8])
    points = np.random.default_rng(0).uniform(150, 360, (LANDMARKS, 3))
    deltas = np.zeros((8, LANDMARKS, 3), np.int16)
    deltas[0] = np.round(points * 4)
    np.savez(clip.with_suffix(".npz"), landmarks_delta_q=deltas)
    reports = []
    for options in ([], ["--adapter", str(adapter_file)]):
        assert main(["bench", "quality", str(clip), "--effort", "0", "--json", "-", *options]) == 0
        reports.append(json.loads(capsys.readouterr().out))
    assert [r["adapter_sha256"] for r in reports] == [None, adapter.sha256]
    assert reports[1]["mean"]["psnr_db"] < reports[0]["mean"]["psnr_db"] - 0.1


@pytest.mark.parametrize("command", ["decode", "encode", "bench", "call"])
def test_an_adapter_that_does_not_fit_is_one_line_and_exit_code_2(
    command: str, portrait: Path, unfitted_akc: Path, adapter: Adapter, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    other = tmp_path / "other.adapter"
    other.write_bytes(dataclasses.replace(adapter, codec_id="0" * 16, model="large").to_bytes())
    damaged = tmp_path / "damaged.adapter"
    damaged.write_bytes(adapter.to_bytes()[:-1])
    out = str(tmp_path / "out")
    start = {
        "decode": ["decode", str(unfitted_akc), out + ".mp4"],
        "encode": ["encode", str(portrait), out + ".akc", "--single-key-frame"],
        "bench": ["bench", "quality", str(portrait)],
        "call": ["call", "--offer", "--loopback", "--source", "none"],
    }[command]
    expected = {
        other: "made for model 'large' (codec id 0000000000000000), but the model here is 'edge'",
        damaged: "not a safetensors file",
        tmp_path / "missing.adapter": "No such file",
    }
    for file, message in expected.items():
        assert main([*start, "--adapter", str(file)]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert message in error
        assert file.name in error
    assert not list(tmp_path.glob("out*"))


def test_an_adapter_for_a_call_that_shows_nothing_is_refused(
    adapter_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = ["call", "--offer", "--loopback", "--source", "sample", "--sink", "none"]
    assert main([*start, "--adapter", str(adapter_file)]) == 2
    assert "nothing is rebuilt with --sink none" in capsys.readouterr().err
