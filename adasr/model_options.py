"""The options that several commands share: the model, what runs it, how a clip is coded."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from adasr_core.engines.runner import EngineName

if TYPE_CHECKING:
    from adasr.file_codec import EncodeOptions


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Declare --model and --engine."""
    parser.add_argument("--model", default="edge", help="name of a model, or the path of its folder (default: edge)")
    add_engine_option(parser)


def add_engine_option(parser: argparse.ArgumentParser, *more: str) -> None:
    """Declare --engine; `more` are engines that one command alone knows."""
    parser.add_argument(
        "--engine",
        choices=(*get_args(EngineName), *more, "auto"),
        default="openvino",
        help="what runs the networks (default: openvino); auto: the fastest here that passes its self-check",
    )


def add_coding_options(parser: argparse.ArgumentParser) -> None:
    """Declare --quality, --motion-quality and --effort: how finely, and with how much work, a clip is coded."""
    parser.add_argument("--quality", type=int, default=60, help="picture quality of the key frames, 1 to 100 (60)")
    parser.add_argument(
        "--motion-quality", type=int, default=2, metavar="Q", help="step of the motion, 0 (finest) to 15 (2)"
    )
    parser.add_argument(
        "--effort",
        type=int,
        default=2,
        metavar="N",
        help="how a frame's motion is found: 0 detected (fast), 1 corrected by its rebuild, 2 fitted to it (default)",
    )


def measured_options(args: argparse.Namespace) -> "EncodeOptions":
    """How a clip is coded to be measured: whole and without its sound, by --references and `add_coding_options`."""
    from adasr.file_codec import EncodeOptions
    from sender.tracker import CropMode

    return EncodeOptions(
        references=args.references,
        picture_quality=args.quality,
        motion_quality=args.motion_quality,
        effort=args.effort,
        crop=CropMode.FULL,
        keep_audio=False,
    )


def add_adapter_option(parser: argparse.ArgumentParser, person: str) -> None:
    """Declare --adapter; `person` says in a few words whose it is."""
    parser.add_argument(
        "--adapter", type=Path, metavar="FILE", help=f"adapter of {person} (adasr train personalise makes one)"
    )


def add_workers_option(parser: argparse.ArgumentParser) -> None:
    """Declare --workers: clips at once."""
    parser.add_argument(
        "--workers",
        type=at_least_one,
        metavar="N",
        help="clips at once, each in a process of about a gigabyte (default: one for each core, at most 8; 1 on a GPU)",
    )


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Declare --model, --engine, --device and --threads."""
    add_engine_options(parser)
    add_device_options(parser)


def add_device_options(parser: argparse.ArgumentParser) -> None:
    """Declare --device and --threads."""
    parser.add_argument(
        "--device",
        help="OpenVINO device (CPU, GPU, NPU), ONNX Runtime provider, or number of the NVIDIA GPU (onnxruntime-cuda, "
        "tensorrt, torch-cuda); default: the CPU, or the first GPU",
    )
    parser.add_argument("--threads", type=at_least_one, metavar="N", help="processor threads (default: all cores)")


def at_least_one(text: str) -> int:
    """Read a count from the command line.

    Raises:
        ValueError: not a whole number, or below 1; argparse names the option and the text.
    """
    count = int(text)
    if count < 1:
        raise ValueError(f"got {count}, expected at least 1")
    return count
