"""The options of commands that send video over a line: what of it the video may take, and how it is shown."""

import argparse

from receiver import PlayoutConfig, ReceiverConfig
from sender.plan_choice import MAX_FPS, DelayMode
from sender.rate_control import RateControlConfig


def add_rate_options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that `rate_config` reads."""
    group = parser.add_argument_group("rate")
    group.add_argument(
        "--delay",
        choices=[mode.value for mode in DelayMode],
        default=DelayMode.BALANCED.value,
        help="lowest: every frame leaves at once, 25 kbps; balanced (default): up to 25 kbps, frames wait for each "
        "other while mouth to ear stays within 150 ms; saving: up to eight frames a message, 12 kbps",
    )
    group.add_argument(
        "--max-kbps",
        type=float,
        metavar="N",
        help="never more than N kbps on the wire, all headers and the first "
        "picture included; the other side is asked to keep to it as well (default: what --delay says, as a mean)",
    )
    group.add_argument("--fps", type=float, default=MAX_FPS, metavar="N", help="at most N frames a second, 5 to 30")
    group.add_argument(
        "--frames-per-message",
        type=int,
        metavar="N",
        help="always N frames in a message, 1 to 8, whatever the line says",
    )


def add_display_option(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that `receiver_config` reads."""
    parser.add_argument(
        "--display-fps",
        type=float,
        metavar="N",
        help="show about N frames a second, 1 to 250, drawing some between those that were sent (default: as sent)",
    )
    parser.add_argument(
        "--no-refine",
        action="store_true",
        help="mix frames between two pictures instead of letting the model's refiner paint them: softer, and faster",
    )


def receiver_config(args: argparse.Namespace) -> ReceiverConfig:
    """What the arguments say.

    Raises:
        ValueError: a value out of range.
    """
    refine = not args.no_refine
    if args.display_fps is None:
        return ReceiverConfig(refine=refine)
    if not 1 <= args.display_fps <= 250:
        raise ValueError(f"--display-fps: got {args.display_fps}, expected 1 to 250")
    return ReceiverConfig(playout=PlayoutConfig(display_interval_ms=1000 / args.display_fps), refine=refine)


def rate_config(args: argparse.Namespace) -> RateControlConfig:
    """What the arguments say.

    Raises:
        ValueError: a value out of range.
    """
    if args.max_kbps is not None and not args.max_kbps > 0:
        raise ValueError(f"--max-kbps: got {args.max_kbps}, expected a positive number")
    return RateControlConfig(
        mode=DelayMode(args.delay),
        cap_bps=None if args.max_kbps is None else args.max_kbps * 1000,
        max_fps=args.fps,
        frames_per_message=args.frames_per_message,
    )
