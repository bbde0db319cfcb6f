"""The shell around the subcommands: exit codes, and errors in one line."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from adasr.cli import COMMANDS, build_parser, describe_error, main
from adasr.json_report import write_json_report
from adasr_core.engines import EngineError


def one_line(text: str) -> str:
    """The text of a single line on standard error that the shell wrote."""
    assert text.startswith("adasr: ")
    assert text.endswith("\n")
    assert text.count("\n") == 1, text
    return text


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_has_a_parser_and_help(command: object, capsys: pytest.CaptureFixture[str]) -> None:
    name = getattr(command, "name", "")
    with pytest.raises(SystemExit) as exit_:
        main([name, "--help"])
    assert exit_.value.code == 0
    assert f"adasr {name}" in capsys.readouterr().out


def test_help_lists_every_command() -> None:
    text = build_parser(None).format_help()
    assert all(command.name in text for command in COMMANDS)


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["info"], ["bench"], ["bench", "speed", "--runs", "0"]])
def test_wrong_arguments_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert "usage: adasr" in capsys.readouterr().err


def test_a_missing_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "missing.akc"
    assert main(["info", str(missing)]) == 2
    assert str(missing) in one_line(capsys.readouterr().err)


def test_traceback_is_there_when_asked_for(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        main(["--traceback", "info", str(tmp_path / "missing.akc")])


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    import adasr.commands.info

    def broken(args: object) -> int:
        raise RuntimeError("a bug, not an engine")

    monkeypatch.setattr(adasr.commands.info, "run", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        main(["info", "some.akc"])


def test_an_engine_error_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import adasr.commands.info

    def refused(args: object) -> int:
        raise EngineError("device NPU:\nnot here")

    monkeypatch.setattr(adasr.commands.info, "run", refused)
    assert main(["info", "some.akc"]) == 2
    assert "device NPU: not here" in one_line(capsys.readouterr().err)


def test_describe_error() -> None:
    assert describe_error(ValueError("two\n  lines")) == "two lines"
    assert describe_error(FileNotFoundError(2, "No such file", "a.mp4")) == "a.mp4: No such file"
    assert describe_error(ValueError()) == "ValueError"


def test_ctrl_c_exits_130_without_a_traceback() -> None:
    command = [sys.executable, "-m", "adasr", "doctor", "--runs", "1000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("system")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert one_line(errors) == "adasr: interrupted\n"


def test_a_reader_that_goes_away_causes_no_traceback() -> None:
    command = [sys.executable, "-m", "adasr", "doctor", "--runs", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        errors = process.stderr.read()
        process.wait(timeout=60)
    assert "Traceback" not in errors
    assert "BrokenPipe" not in errors


def test_json_report_appears_whole_or_not_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "report.json"
    write_json_report({"psnr_db": 27.5}, str(report))
    assert json.loads(report.read_text()) == {"psnr_db": 27.5}
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json_report({"psnr_db": float("nan")}, str(report))
    assert json.loads(report.read_text()) == {"psnr_db": 27.5}
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.json"]
    with pytest.raises(OSError, match="folder"):
        write_json_report({}, str(tmp_path / "no" / "report.json"))
    write_json_report({"a": [1]}, "-")
    assert json.loads(capsys.readouterr().out) == {"a": [1]}
