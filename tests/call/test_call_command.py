"""Two `adasr call` programs, as two people would run them, that exchange their invitations in files."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adasr.video_file import open_video
from adasr_core.bundle import ModelBundle, open_bundle, write_manifest
from tests.call.conftest import MODEL


def _call(folder: Path, role: str, *arguments: str) -> "subprocess.Popen[str]":
    files = ["--invitation-file", str(folder / "invitation"), "--answer-file", str(folder / "answer")]
    command = [sys.executable, "-m", "adasr", "call", f"--{role}", "--loopback", *files, *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
    )


def _finish(*processes: "subprocess.Popen[str]") -> list[tuple[int, str, str]]:
    results = []
    for process in processes:
        try:
            out, err = process.communicate(timeout=90)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
        results.append((process.returncode, out, err))
    return results


def test_a_call_into_a_file(bundle: ModelBundle, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    film = tmp_path / "film.mp4"
    ours, theirs = (tmp_path_factory.mktemp(name) / "kept" for name in ("ours", "theirs"))
    offer = _call(
        tmp_path,
        "offer",
        *("--source", "sample", "--full", "--sink", "none", "--seconds", "3", "--model", MODEL),
        *("--remember", str(ours)),
    )
    answer = _call(
        tmp_path, "answer", "--source", "none", "--sink", str(film), "--model", MODEL, "--remember", str(theirs)
    )
    sent, shown = _finish(offer, answer)
    assert sent[0] == 0, sent
    assert shown[0] == 0, shown
    assert "bytes each" in sent[1]
    assert "a message" in sent[1]
    frames = list(open_video(film).frames())
    assert len(frames) > 5
    assert f"shown: {len(frames)} frames" in shown[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.mp4"]
    kept = {path.name for path in (ours / "sent").iterdir()} & {path.name for path in (theirs / "received").iterdir()}
    assert kept, "both sides keep the same pictures under the same names"
    assert f"kept for later calls: {len(list((ours / 'sent').iterdir()))} pictures sent, 0 received" in sent[1]
    assert "kept for later calls: 0 pictures sent" in shown[1]


def _other_model(bundle: ModelBundle, folder: Path) -> Path:
    """The same networks with coarser steps: another meaning of packets, so another codec id."""
    folder.mkdir()
    for part in bundle.manifest.graphs:
        (folder / bundle.path(part).name).symlink_to(bundle.path(part).resolve())
    tables = bundle.tables()
    coarser = replace(tables, steps=np.asarray(tables.steps * 2, np.float32))
    coarser.save(folder / "tables.safetensors")
    manifest = bundle.manifest
    write_manifest(
        folder,
        name="coarse",
        version=manifest.version,
        architecture=manifest.architecture,
        keypoints=manifest.keypoints,
        frame_px=manifest.frame_px,
        detector_px=manifest.detector_px,
        opset=manifest.opset,
        files={part: manifest.files[part].path for part in manifest.graphs} | {"tables": "tables.safetensors"},
        inputs=manifest.inputs,
        outputs=manifest.outputs,
        training={},
        quality={},
    )
    return folder


def test_another_codec_id_is_refused_with_both_names(bundle: ModelBundle, tmp_path: Path) -> None:
    other = _other_model(bundle, tmp_path / "coarse")
    other_id = open_bundle(other).codec_id
    assert other_id != bundle.codec_id
    offer = _call(tmp_path, "offer", "--source", "sample", "--sink", "none", "--model", MODEL)
    answer = _call(tmp_path, "answer", "--source", "none", "--model", str(other))
    for code, _, err in _finish(offer, answer):
        assert code == 1
        assert "Traceback" not in err
        for name in (bundle.codec_id, other_id, bundle.manifest.name, "coarse"):
            assert name in err


@pytest.mark.skipif(os.name == "nt", reason="kill signals are POSIX")
def test_a_killed_program_is_noticed_and_the_film_is_kept(bundle: ModelBundle, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    offer = _call(tmp_path, "offer", "--source", "sample", "--full", "--sink", "none", "--model", MODEL)
    answer = _call(tmp_path, "answer", "--source", "none", "--sink", str(film), "--model", MODEL)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".film.mp4.*")):  # the film begins with the first frame
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(1.0)
    offer.send_signal(signal.SIGKILL)
    _, shown = _finish(offer, answer)
    assert shown[0] == 1
    # Its transport process lives on for a moment and says goodbye for it.
    assert "the other side ended the call: the other side's program stopped" in shown[2]
    assert len(list(open_video(film).frames())) > 3


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent as a signal")
def test_ctrl_c_hangs_up_in_order(bundle: ModelBundle, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    offer = _call(tmp_path, "offer", "--source", "sample", "--full", "--sink", "none", "--model", MODEL)
    answer = _call(tmp_path, "answer", "--source", "none", "--sink", str(film), "--model", MODEL)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".film.mp4.*")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    offer.send_signal(signal.SIGINT)
    sent, shown = _finish(offer, answer)
    assert sent[0] == 0, sent
    assert shown[0] == 0, shown
    assert "Traceback" not in sent[2] + shown[2]


def test_the_model_is_checked_before_an_invitation_is_made(tmp_path: Path) -> None:
    ((code, out, err),) = _finish(_call(tmp_path, "offer", "--source", "none", "--model", "no-such-model"))
    assert code == 2
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert "no-such-model" in err


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the device's name is Linux's")
def test_a_camera_that_is_not_there_is_named_before_an_invitation_is_made(tmp_path: Path) -> None:
    ((code, out, err),) = _finish(_call(tmp_path, "offer", "--source", "camera:/dev/video99", "--sink", "film.mp4"))
    assert (code, out) == (2, "")
    assert len(err.strip().splitlines()) == 1
    assert "camera /dev/video99: cannot be opened" in err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_is_named_before_an_invitation_is_made(bundle: ModelBundle, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("no folder")
    ((code, out, err),) = _finish(
        _call(tmp_path, "offer", "--source", "none", "--model", MODEL, "--remember", str(tmp_path / "kept"))
    )
    assert (code, out) == (2, "")
    assert len(err.strip().splitlines()) == 1
    assert "no folder for kept pictures" in err


def test_a_pasted_text_that_is_no_invitation_is_one_line(bundle: ModelBundle, tmp_path: Path) -> None:
    (tmp_path / "invitation").write_text("hello, shall we talk?\n")
    ((code, _, err),) = _finish(_call(tmp_path, "answer", "--source", "none", "--model", MODEL))
    assert code == 1
    assert len(err.strip().splitlines()) == 1
    assert "expected a text that starts with adasr1-offer:" in err
