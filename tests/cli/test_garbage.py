"""What a user can hand over by mistake: one clear line, exit code 2, nothing left behind under the final name."""

import io
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adasr.akc_summary import open_akc
from adasr.cli import build_parser, main
from adasr.file_codec import EncodeOptions
from adasr_core.bitstream import PICTURE_AV1_CHAIN, AkcWriter, ReferencePacket
from adasr_core.bundle import ModelBundle
from tests.cli.clip_builders import numbered_pictures, write_clip


def refused(capsys: pytest.CaptureFixture[str], folder: Path, *argv: object) -> str:
    """Run the command line, check that it refuses properly and adds no file to the folder; return its one line."""
    before = sorted(folder.iterdir())
    capsys.readouterr()
    assert main([str(argument) for argument in argv]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("adasr: ")
    assert "Traceback" not in captured.err
    assert sorted(folder.iterdir()) == before
    return lines[0]


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("command", ["decode", "info"])
def test_truncated_akc(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, unfitted_akc: Path, kept: float, command: str
) -> None:
    data = unfitted_akc.read_bytes()
    path = tmp_path / "cut.akc"
    path.write_bytes(data[: int(len(data) * kept)])
    output = [tmp_path / "out.mp4"] if command == "decode" else []
    assert "cut.akc" in refused(capsys, tmp_path, command, path, *output)


def test_every_bit_flip_in_an_akc_is_found(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, unfitted_akc: Path
) -> None:
    data = bytearray(unfitted_akc.read_bytes())
    rng = np.random.default_rng(7)
    path = tmp_path / "flipped.akc"
    positions = [*range(24), *rng.integers(24, len(data), 24).tolist(), *range(len(data) - 8, len(data))]
    for position in positions:
        data[position] ^= 1 << (position % 8)
        path.write_bytes(data)
        assert "flipped.akc" in refused(capsys, tmp_path, "decode", path, tmp_path / "out.mp4")
        data[position] ^= 1 << (position % 8)


def test_akc_with_a_damaged_picture_and_a_right_checksum(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, unfitted_akc: Path
) -> None:
    """A crafted file passes the checksum: the error comes half way, and still leaves no mp4."""
    akc = open_akc(unfitted_akc)
    buffer = io.BytesIO()
    with AkcWriter(buffer, akc.header) as writer:
        first = akc.references[0]
        writer.write_reference(first)
        for number, motion in enumerate(akc.motions):
            if number == 3:
                writer.write_reference(
                    ReferencePacket(
                        slot=first.slot,
                        generation=first.generation,
                        time_ms=0,
                        frame_px=512,
                        parameters=first.parameters,
                        picture=first.picture[:-100],
                    )
                )
            writer.write_motion(motion.message, motion.pts_ticks)
    path = tmp_path / "crafted.akc"
    path.write_bytes(buffer.getvalue())
    assert "picture" in refused(capsys, tmp_path, "decode", path, tmp_path / "out.mp4")


def test_akc_whose_record_says_another_number_of_frames(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, unfitted_akc: Path
) -> None:
    """The record's type and the message's body must agree; only decoding can tell."""
    akc = open_akc(unfitted_akc)
    first, *others = akc.motions
    assert len(first.pts_ticks) == 4
    for times in (first.pts_ticks[:3], first.pts_ticks[:1]):
        header = replace(akc.header, frames=akc.header.frames - 4 + len(times))
        buffer = io.BytesIO()
        with AkcWriter(buffer, header) as writer:
            writer.write_reference(akc.references[0])
            writer.write_motion(first.message, times)
            for motion in others:
                writer.write_motion(motion.message, motion.pts_ticks)
        path = tmp_path / "crafted.akc"
        path.write_bytes(buffer.getvalue())
        line = refused(capsys, tmp_path, "decode", path, tmp_path / "out.mp4")
        assert f"akc motion record: got 4 frames, expected {len(times)}" in line


def test_akc_without_the_base_of_a_message(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, unfitted_akc: Path
) -> None:
    """A message is taken out: the next one is coded against a frame that is not there."""
    akc = open_akc(unfitted_akc)
    buffer = io.BytesIO()
    with AkcWriter(buffer, replace(akc.header, frames=akc.header.frames - 4)) as writer:
        writer.write_reference(akc.references[0])
        for number, motion in enumerate(akc.motions):
            if number != 2:
                writer.write_motion(motion.message, motion.pts_ticks)
    path = tmp_path / "crafted.akc"
    path.write_bytes(buffer.getvalue())
    assert "its base 11 is not held" in refused(capsys, tmp_path, "decode", path, tmp_path / "out.mp4")


@pytest.mark.parametrize("change", [{"picture_codec": PICTURE_AV1_CHAIN}, {"base": (0, 0)}])
def test_akc_with_a_reference_of_calls(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, unfitted_akc: Path, change: dict[str, Any]
) -> None:
    """What builds on earlier references is for calls; in a file every reference stands alone."""
    akc = open_akc(unfitted_akc)
    buffer = io.BytesIO()
    with AkcWriter(buffer, akc.header) as writer:
        writer.write_reference(replace(akc.references[0], **change))
        for motion in akc.motions:
            writer.write_motion(motion.message, motion.pts_ticks)
    path = tmp_path / "crafted.akc"
    path.write_bytes(buffer.getvalue())
    assert "expected an AVIF picture and parameters of its own" in refused(
        capsys, tmp_path, "decode", path, tmp_path / "out.mp4"
    )


@pytest.mark.parametrize("command", ["encode", "decode", "info"])
def test_text_file(capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("Dear diary, today I tried to encode a text file.\n" * 40)
    output = [] if command == "info" else [tmp_path / "out"]
    assert "notes.txt" in refused(capsys, tmp_path, command, path, *output)


@pytest.mark.parametrize("command", ["encode", "decode", "info"])
def test_zero_byte_file(capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str) -> None:
    path = tmp_path / "empty.mp4"
    path.touch()
    output = [] if command == "info" else [tmp_path / "out"]
    assert "empty.mp4" in refused(capsys, tmp_path, command, path, *output)


@pytest.mark.parametrize("command", ["encode", "decode", "info"])
def test_missing_file_and_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str) -> None:
    output = [] if command == "info" else [tmp_path / "out"]
    assert "missing.mp4" in refused(capsys, tmp_path, command, tmp_path / "missing.mp4", *output)
    refused(capsys, tmp_path, command, tmp_path, *output)


@pytest.mark.parametrize("crop", [[], ["--full"], ["--face"]])
@pytest.mark.parametrize("mode", [["--single-key-frame"], ["--references", "2"]])
def test_clip_without_a_face(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, crop: list[str], mode: list[str]
) -> None:
    path = tmp_path / "empty-room.mp4"
    write_clip(path, numbered_pictures(4, 256, 256))
    line = refused(capsys, tmp_path, "encode", path, tmp_path / "out.akc", *crop, *mode)
    assert "empty-room.mp4: no face found in any of its 4 frames" in line


def test_noise_has_no_face(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "noise.mp4"
    rng = np.random.default_rng(3)
    write_clip(path, [rng.integers(0, 256, (180, 320, 3), dtype=np.uint8) for _ in range(2)])
    assert "no face found" in refused(capsys, tmp_path, "encode", path, tmp_path / "out.akc")


@pytest.mark.parametrize("part", ["detector.onnx", "encoder.onnx", "motion.onnx", "generator.onnx", "manifest.json"])
def test_model_folder_with_one_byte_changed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, portrait: Path, bundle: ModelBundle, part: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(bundle.folder, folder)
    file = folder / part
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x80
    file.chmod(0o644)
    file.write_bytes(data)
    line = refused(capsys, tmp_path, "encode", portrait, tmp_path / "out.akc", "--model", folder, "--single-key-frame")
    assert str(folder) in line


def test_unknown_model(capsys: pytest.CaptureFixture[str], tmp_path: Path, portrait: Path) -> None:
    assert "nonsense" in refused(capsys, tmp_path, "encode", portrait, tmp_path / "o.akc", "--model", "nonsense")


def test_missing_output_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path, portrait: Path) -> None:
    line = refused(capsys, tmp_path, "encode", portrait, tmp_path / "no" / "out.akc", "--single-key-frame")
    assert "folder of the output" in line


def test_an_older_output_survives_a_failure(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, unfitted_akc: Path
) -> None:
    data = unfitted_akc.read_bytes()
    cut, output = tmp_path / "cut.akc", tmp_path / "out.mp4"
    cut.write_bytes(data[:-1])
    output.write_bytes(b"an older result")
    refused(capsys, tmp_path, "decode", cut, output)
    assert output.read_bytes() == b"an older result"


def test_sound_that_mp4_cannot_carry(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, portrait_pictures: list[np.ndarray]
) -> None:
    path = tmp_path / "clip.mkv"
    write_clip(path, portrait_pictures[:3], audio_codec="pcm_s16le")
    assert "pcm_s16le" in refused(capsys, tmp_path, "encode", path, tmp_path / "out.akc")
    assert (
        main(["encode", str(path), str(tmp_path / "out.akc"), "--no-audio", "--single-key-frame", "--effort", "0"]) == 0
    )


def test_in_a_process_of_its_own(tmp_path: Path, unfitted_akc: Path) -> None:
    """Nothing of FFmpeg or of an engine may add lines to the error."""
    cut = tmp_path / "cut.akc"
    cut.write_bytes(unfitted_akc.read_bytes()[:-5])
    (tmp_path / "empty.mp4").touch()
    for argv in (["decode", "cut.akc", "out.mp4"], ["encode", "empty.mp4", "out.akc"]):
        done = subprocess.run(
            [sys.executable, "-m", "adasr", *argv], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.akc", "empty.mp4"]


def test_commands_print_their_figures(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, portrait: Path, unfitted_akc: Path
) -> None:
    akc, video, figures = tmp_path / "out.akc", tmp_path / "out.mp4", tmp_path / "out.json"
    arguments = ["encode", str(portrait), str(akc), "--single-key-frame", "--json", str(figures)]
    assert build_parser("encode").parse_args(arguments).effort == EncodeOptions().effort > 0
    assert main([*arguments, "--effort", "0"]) == 0
    assert json.loads(figures.read_text())["reference_frames"] == [0]
    assert akc.read_bytes() == unfitted_akc.read_bytes()
    text = capsys.readouterr().out
    assert "the whole frame: the clip is square and its face framed" in text
    assert main(["decode", str(akc), str(video), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["frames"] == 30
    assert main(["info", str(akc), "--json", "-"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["total_bytes"] == akc.stat().st_size
    assert report["references"] == 1
