"""Kept pictures on disk: private, few, checked against their names."""

from __future__ import annotations

import logging
import os
import stat
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adasr_core.bitstream.kept_picture import KeptPicture, kept_name
from adasr_core.bundle import ModelBundle
from adasr_core.geometry import MotionParameters
from call.kept_folder import KeptFolder, KeptFolderConfig


def made(bundle: ModelBundle, number: int, *, sent: bool = False) -> KeptPicture:
    """A grey picture with a little noise."""
    side, K = bundle.manifest.frame_px, bundle.manifest.keypoints
    generator = np.random.default_rng(number)
    pixels = np.full((side, side, 3), number, np.uint8)
    pixels[:16] = generator.integers(0, 255, (16, side, 3), np.uint8)
    vector = generator.normal(0, 0.3, 6 * K).astype(np.float32)
    parameters = MotionParameters.from_vector(vector) if sent else None
    return KeptPicture(kept_name(pixels, bundle.codec_id), pixels, parameters)


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_a_picture_comes_back_as_it_was(bundle: ModelBundle, tmp_path: Path) -> None:
    folder = KeptFolder(tmp_path / "kept", bundle)
    plain, sent = made(bundle, 1), made(bundle, 2, sent=True)
    assert folder.keep([plain, sent]) == 2
    assert folder.keep([plain, sent]) == 0
    again = KeptFolder(tmp_path / "kept", bundle)
    assert set(again.names()) == {plain.name, sent.name}
    for kept in (plain, sent):
        loaded = again.load(kept.name)
        assert loaded is not None
        np.testing.assert_array_equal(loaded.picture, kept.picture)
        if kept.parameters is None:
            assert loaded.parameters is None
        else:
            assert loaded.parameters is not None
            np.testing.assert_array_equal(loaded.parameters.vector(), kept.parameters.vector())


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_files_and_folder_are_private(bundle: ModelBundle, tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        folder = KeptFolder(tmp_path / "deep" / "kept", bundle)
        folder.keep([made(bundle, 1)])
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "deep" / "kept").stat().st_mode) == 0o700
    assert stat.S_IMODE(only_file(tmp_path / "deep" / "kept").stat().st_mode) == 0o600


def damage_pixels(path: Path) -> None:
    """A sound PNG of another picture: only the name tells."""
    with Image.open(path) as image:
        pixels = np.array(image)
    pixels[100, 100, 1] ^= 1
    Image.fromarray(pixels).save(path)


def damage_bytes(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x40
    path.write_bytes(data)


def make_small(path: Path) -> None:
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(path)


def make_bomb(path: Path) -> None:
    """A header that claims 60,000 pixels a side."""
    data = bytearray(path.read_bytes())
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:500])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [damage_pixels, damage_bytes, make_small, make_bomb, cut, empty])
def test_what_is_no_longer_what_it_was_is_deleted_and_said_so(
    bundle: ModelBundle, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: object
) -> None:
    folder = KeptFolder(tmp_path, bundle)
    kept = made(bundle, 3)
    folder.keep([kept])
    assert callable(damage)
    damage(only_file(tmp_path))
    with caplog.at_level(logging.WARNING):
        assert folder.load(kept.name) is None
    assert list(tmp_path.iterdir()) == []
    (record,) = caplog.records
    assert "deleted" in record.getMessage()
    assert kept.name.hex() in record.getMessage()
    assert folder.load(kept.name) is None, "and is not looked for in vain"


def test_parameters_of_another_model_are_refused(bundle: ModelBundle, tmp_path: Path) -> None:
    folder = KeptFolder(tmp_path, bundle)
    kept = made(bundle, 4)
    short = MotionParameters.from_vector(np.zeros(12, np.float32))
    folder.keep([KeptPicture(kept.name, kept.picture, short)])
    assert folder.load(kept.name) is None


def test_the_longest_unused_go_first(bundle: ModelBundle, tmp_path: Path) -> None:
    config = KeptFolderConfig(pictures=3)
    folder = KeptFolder(tmp_path, bundle, config)
    pictures = [made(bundle, number) for number in range(4)]
    folder.keep(pictures[:3])
    now = time.time()
    for age, kept in enumerate(pictures[:3]):
        (path,) = tmp_path.glob(f"*{kept.name.hex()}*")
        os.utime(path, (now - 100 + 10 * age, now - 100 + 10 * age))
    assert folder.use(pictures[0].name) is not None
    folder.keep(pictures[3:])
    assert folder.names()[-1] == pictures[2].name
    assert set(folder.names()) == {pictures[number].name for number in (0, 2, 3)}


def test_old_ones_and_too_many_bytes_go(bundle: ModelBundle, tmp_path: Path) -> None:
    folder = KeptFolder(tmp_path, bundle)
    pictures = [made(bundle, number) for number in range(3)]
    folder.keep(pictures)
    (old,) = tmp_path.glob(f"*{pictures[0].name.hex()}*")
    os.utime(old, (time.time() - 61 * 86_400,) * 2)
    assert len(KeptFolder(tmp_path, bundle).names()) == 2
    size = max(path.stat().st_size for path in tmp_path.iterdir())
    assert len(KeptFolder(tmp_path, bundle, KeptFolderConfig(total_bytes=size + 10)).names()) == 1


def test_other_files_and_other_models_are_left_alone(bundle: ModelBundle, tmp_path: Path) -> None:
    stranger = tmp_path / "holiday.png"
    stranger.write_bytes(b"not ours")
    kept = made(bundle, 5)
    other = tmp_path / f"{'f' * 16}-{kept.name.hex()}.png"
    other.write_bytes(b"of another model")
    half = tmp_path / f".{other.name}.77.partial"
    fresh = tmp_path / f".{other.name}.78.partial"
    for path in (half, fresh):
        path.write_bytes(b"half")
    for path in (stranger, half):
        os.utime(path, (1e9, 1e9))
    folder = KeptFolder(tmp_path, bundle)
    assert folder.names() == ()
    assert {path.name for path in tmp_path.iterdir()} == {stranger.name, other.name, fresh.name}
    assert folder.load(kept.name) is None
    assert other.exists()


def test_a_folder_that_went_away_is_a_warning(
    bundle: ModelBundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = KeptFolder(tmp_path / "kept", bundle)
    (tmp_path / "kept").rmdir()
    with caplog.at_level(logging.WARNING):
        assert folder.keep([made(bundle, 6)]) == 0
    assert "cannot be written" in caplog.text


def test_a_file_in_the_folder_s_place_is_named(bundle: ModelBundle, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("no folder")
    for folder in (tmp_path / "kept", tmp_path / "kept" / "sent"):
        with pytest.raises(OSError, match="no folder for kept pictures"):
            KeptFolder(folder, bundle)


def test_config_ranges() -> None:
    with pytest.raises(ValueError, match="days"):
        KeptFolderConfig(days=0.0)
