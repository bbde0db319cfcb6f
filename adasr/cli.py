"""The ``adasr`` command: a thin shell that finds the subcommand, runs it and turns errors into one line.

Exit codes: 0 done, 1 done and the answer is no (a call that failed, a machine that is too slow), 2 a mistake in the
arguments, the files or the bytes, 130 interrupted with Ctrl-C.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

from adasr import __version__

EXIT_MISTAKE = 2
EXIT_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Command:
    """One subcommand.

    Attributes:
        name: the word typed after ``adasr``; also the module's name in ``adasr.commands``.
        summary: the line that ``adasr --help`` prints.
    """

    name: str
    summary: str

    def load(self) -> ModuleType:
        """Import the module of the subcommand."""
        return importlib.import_module(f"adasr.commands.{self.name}")


COMMANDS = (
    Command("demo", "hold a call with itself over WebRTC on this machine and show the figures"),
    Command("call", "hold a video call with another machine"),
    Command("encode", "encode a video file into an .akc file"),
    Command("decode", "decode an .akc file into a video file"),
    Command("info", "show what an .akc file holds"),
    Command("doctor", "show whether this machine can hold a call, and how fast"),
    Command("models", "show the models: size, work per frame, quality"),
    Command("bench", "measure speed and quality"),
    Command("export", "fit a model to a machine: TensorRT engines, int8 graphs"),
    Command("train", "prepare clips, train the networks, measure and ship them"),
    Command("animate", "drive a portrait with the face of a video"),
)


def build_parser(name: str | None) -> argparse.ArgumentParser:
    """Build the parser with the arguments of one subcommand.

    Args:
        name: the subcommand whose module is imported; the others appear with their summary only. None imports none.
    """
    parser = argparse.ArgumentParser(
        prog="adasr",
        description="A video codec for faces in calls: one key frame, then only keypoints and Jacobians.",
    )
    parser.add_argument("--version", action="version", version=f"adasr {__version__}")
    parser.add_argument(
        "--traceback", action="store_true", help="on an error show where it was raised, not only one line"
    )
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        if command.name == name:
            command.load().add_parser(subparsers)
        else:
            subparsers.add_parser(command.name, help=command.summary)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments after the program's name; None takes those of the process.

    Returns:
        The exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    names = {command.name: command for command in COMMANDS}
    name = next((argument for argument in arguments if argument in names), None)
    show_traceback = False
    try:
        args = build_parser(name).parse_args(arguments)
        show_traceback = args.traceback
        if getattr(args, "engine", None) == "auto":
            from adasr.engine_choice import settle_engine

            settle_engine(args)
        exit_code: int = names[args.command].load().run(args)
    except KeyboardInterrupt:
        print("adasr: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output (a pager, head) has gone; the interpreter must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_MISTAKE
    except (ValueError, OSError, RuntimeError) as error:
        if show_traceback or not _is_foreseen(error):
            raise
        print(f"adasr: {describe_error(error)}", file=sys.stderr)
        return EXIT_MISTAKE
    return exit_code


def _is_foreseen(error: Exception) -> bool:
    """Whether an error speaks to the user; a RuntimeError that is no engine's is a bug and keeps its traceback."""
    if not isinstance(error, RuntimeError):
        return True
    from adasr_core.engines import EngineError

    return isinstance(error, EngineError)


def describe_error(error: Exception) -> str:
    """Say in one line what went wrong.

    An error of the operating system or of FFmpeg names the file and the reason; any other speaks for itself.
    """
    reason = getattr(error, "strerror", None)
    filename = getattr(error, "filename", None)
    text = f"{filename}: {reason}" if reason and filename else str(reason or error)
    return " ".join(text.split()) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
