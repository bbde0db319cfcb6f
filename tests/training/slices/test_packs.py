"""Packs and states in parts: round trips, limits, damage."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.portraits import tiny_generator, tiny_networks, write_data_set
from training.run import RunConfig
from training.slices.dataset import DatasetConfig, open_dataset, unpack_new
from training.slices.packs import PackConfig, pack, sha256_of, unpack
from training.slices.parts import read_parts, write_parts
from training.trainer.launcher import PlainLauncher
from training.trainer.loop import Trainer
from training.trainer.state import TrainingState


def test_packs_hold_the_data_set(tmp_path: Path) -> None:
    data, packs, out = tmp_path / "data", tmp_path / "packs", tmp_path / "out"
    write_data_set(data, train=4)
    (data / "train/2.sr.mp4").write_bytes(b"twin")
    limit = 90_000
    paths = pack(data, packs, PackConfig(pack_bytes=limit))
    assert len(paths) > 1
    assert all(p.stat().st_size <= limit for p in paths)
    rows = [row for path in paths for row in unpack(path, out)]
    assert len(rows) == 6
    # Validation first, so that the first pack alone can be trained on and judged.
    assert rows[0]["split"] == "val"
    for file in sorted(p for p in data.rglob("*") if p.is_file() and p.name != "index.csv"):
        assert (out / file.relative_to(data)).read_bytes() == file.read_bytes()
    assert len(pack(data, tmp_path / "some", PackConfig(pack_bytes=limit, max_packs=1))) == 1
    few = pack(data, tmp_path / "few", PackConfig(clips=1))
    assert [r["split"] for r in unpack(few[0], out)] == ["val", "stills", "train"]
    with pytest.raises(ValueError, match="expected at most 30000; cut it shorter"):
        pack(data, tmp_path / "none", PackConfig(pack_bytes=30_000))
    with pytest.raises(ValueError, match="clips: got 0"):
        PackConfig(clips=0)


def test_damaged_packs_are_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_data_set(data)
    path = pack(data, tmp_path / "packs")[0]
    whole = path.read_bytes()
    bad = tmp_path / "pack-bad.tar"
    for cut in (0, 100, 700, len(whole) // 2, len(whole) - 12_000):
        bad.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=r"damaged|ends before|begin with"):
            unpack(bad, tmp_path / "out")
    at = whole.index((data / "val/0.npz").read_bytes()[:100]) + 50
    bad.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(ValueError, match=r"val/0\.npz does not have the SHA-256"):
        unpack(bad, tmp_path / "out")
    with tarfile.open(bad, "w") as tar:
        tar.add(data / "index.csv", "index.csv")
    with pytest.raises(ValueError, match=r"does not begin with manifest\.json"):
        unpack(bad, tmp_path / "out")


def test_pack_that_leads_outside_is_refused(tmp_path: Path) -> None:
    path, content = tmp_path / "pack-evil.tar", b"x"
    for name in ("../evil", "/evil", "val/../../evil"):
        manifest = {"format": 1, "rows": [], "sha256": {name: sha256_of(content)}}
        with tarfile.open(path, "w") as tar:
            for member, bytes_of in (("manifest.json", json.dumps(manifest).encode()), (name, content)):
                header = tarfile.TarInfo(member)
                header.size = len(bytes_of)
                tar.addfile(header, io.BytesIO(bytes_of))
        with pytest.raises(ValueError, match="leads out of the data set"):
            unpack(path, tmp_path / "inner" / "out")
    assert not list(tmp_path.rglob("evil"))


def test_later_packs_join_what_is_there(tmp_path: Path) -> None:
    data, packs, work = tmp_path / "data", tmp_path / "packs", tmp_path / "work"
    write_data_set(data, train=4)
    paths = pack(data, packs, PackConfig(pack_bytes=90_000))
    assert len(paths) >= 2
    later = tmp_path / "later"
    later.mkdir()
    for path in paths[1:]:
        path.rename(later / path.name)
    config = DatasetConfig(size_px=32, frames_per_clip=3, val_frames_per_clip=2)
    said: list[str] = []
    first = open_dataset(packs, work, config, workers=1, say=said.append)
    assert first.stills is not None
    clips = len(first.train.names)
    assert 0 < clips < 4
    assert len(first.val.frames) == 2
    said.clear()
    assert len(open_dataset(work, work, config, workers=1, say=said.append).train.names) == clips
    # Nothing is unpacked or decoded twice.
    assert said == []
    joined = open_dataset(later, work, config, workers=1, say=said.append)
    assert len(joined.train.names) == 4
    assert any("unpacked" in line for line in said)
    assert len(unpack_new(later, work, said.append)) == 6
    with pytest.raises(ValueError, match=r"hold no train clips; carry pack-000\.tar in the first call"):
        open_dataset(tmp_path / "nothing", tmp_path / "fresh", config)


@pytest.fixture
def state(tmp_path: Path) -> TrainingState:
    config = RunConfig(minutes=None, steps=2, batch=2, out=tmp_path / "x.safetensors")
    trainer = Trainer(tiny_generator(tiny_networks()), PlainLauncher("cpu"), config)
    trainer._step()
    return trainer.state()


def test_state_in_parts_round_trip(state: TrainingState, tmp_path: Path) -> None:
    folder = tmp_path / "state"
    files = write_parts(state, folder, part_bytes=50_000)
    parts = [f for f in files if f.suffix == ".part"]
    assert len(parts) > 2
    assert all(f.stat().st_size <= 50_000 for f in parts)
    again = read_parts(folder)
    assert again.progress == state.progress
    assert set(again.tensors) == set(state.tensors)
    for name, tensor in state.tensors.items():
        assert torch.equal(again.tensors[name], tensor), name
        assert again.tensors[name].dtype == tensor.dtype
    # A later state replaces it, parts and all.
    write_parts(state.weights_only(), folder, part_bytes=200_000)
    assert len(list(folder.glob("*.part"))) < len(parts)
    assert not read_parts(folder).progress.exact


def test_state_with_faults_is_refused(state: TrainingState, tmp_path: Path) -> None:
    folder = tmp_path / "state"
    *parts, manifest = write_parts(state, folder, part_bytes=50_000)
    content = parts[1].read_bytes()
    parts[1].write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"001\.part: does not have the SHA-256"):
        read_parts(folder)
    parts[1].unlink()
    with pytest.raises(ValueError, match=r"001\.part: part missing"):
        read_parts(folder)
    parts[1].write_bytes(content)
    assert read_parts(folder).progress == state.progress
    text = manifest.read_text()
    for cut in range(0, len(text), 97):
        manifest.write_text(text[:cut])
        with pytest.raises(ValueError, match="damaged"):
            read_parts(folder)
    manifest.write_text(json.dumps(json.loads(text) | {"parts": []}))
    with pytest.raises(ValueError, match="make no state"):
        read_parts(folder)
    manifest.unlink()
    with pytest.raises(FileNotFoundError, match=r"state\.json: not there"):
        read_parts(folder)


def test_no_pickle_in_a_state(state: TrainingState, tmp_path: Path) -> None:
    files = write_parts(state, tmp_path / "state")
    with np.load(files[0], allow_pickle=False) as arrays:
        assert all(arrays[name].dtype != object for name in arrays.files)
