"""``adasr demo``: a call with itself over WebRTC on this machine, and the figures of it."""

import argparse
import sys
import time
from fractions import Fraction
from pathlib import Path

from rich.console import Console
from rich.table import Table

from adasr.json_report import write_json_report
from adasr.model_options import add_engine_options
from adasr.partial_file import check_writable, partial_file
from adasr.sample import sample_clip_path
from adasr.video_file import open_video
from adasr.video_writer import write_mp4
from call.channels import ChannelConfig
from call.demo import DemoCall, DemoConfig, run_demo
from call.demo_figures import DemoFigures, beside_each_other, demo_faults
from call.peer import CallProgress

_PLAIN_PROGRESS_S = 2.0


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand and its arguments."""
    parser = subparsers.add_parser(
        "demo",
        help="hold a call with itself over WebRTC on this machine and show the figures",
        description="Two peers, each in processes of its own, hold a call over WebRTC on loopback: one sends the "
        "sample clip, the other rebuilds it. Prints what it took and writes source beside rebuilt into an mp4 file.",
    )
    parser.add_argument("--json", metavar="FILE", help="write the figures there as JSON; - for the standard output")
    parser.add_argument(
        "--out", type=Path, default=Path("demo.mp4"), metavar="FILE", help="the film (default: demo.mp4)"
    )
    parser.add_argument("--seconds", type=float, help="length of the call (default: the clip once)")
    parser.add_argument("--clip", type=Path, metavar="FILE", help="send this video instead of the sample")
    parser.add_argument("--face", action="store_true", help="follow the face rather than take the whole square")
    add_engine_options(parser)
    parser.add_argument("--frames-per-message", type=int, default=1, help="1 to 4: more saves bandwidth, costs delay")


def run(args: argparse.Namespace) -> int:
    """Hold the call; 0 when it worked, 1 when it did not."""
    if args.seconds is not None and args.seconds <= 0:
        raise ValueError(f"--seconds: got {args.seconds}, expected a positive number")
    clip = args.clip or sample_clip_path()
    open_video(clip)
    check_writable(args.out)
    config = DemoConfig(
        clip=clip,
        open_clip=open_video,
        model=args.model,
        engine=args.engine,
        seconds=args.seconds,
        full=not args.face,
        channels=ChannelConfig(frames_per_message=args.frames_per_message),
    )
    progress = _ProgressLine()
    demo = run_demo(config, lambda finished: _write_film(finished, args.out), progress.show)
    progress.end()
    faults = demo_faults(demo.sending, demo.receiving, demo.figures)
    # The table gives way to JSON on the standard output.
    Console(stderr=args.json == "-").print(_table(demo.figures, args.out))
    if args.json:
        write_json_report(_report(demo.figures), args.json)
    for fault in faults:
        print(f"adasr: the demo did not work: {fault}", file=sys.stderr)
    return 1 if faults else 0


class _ProgressLine:
    """How the call stands, on standard error: a line rewritten for people, a line every two seconds for logs."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._printed = 0.0

    def show(self, sending: CallProgress, receiving: CallProgress) -> None:
        now = time.monotonic()
        if not self._terminal and now - self._printed < _PLAIN_PROGRESS_S:
            return
        self._printed = now
        line = (
            f"call {sending.seconds:5.1f} s: {sending.frames_sent} frames sent, {receiving.frames_shown} rebuilt, "
            f"line {receiving.path.value}"
        )
        if self._terminal:
            line = f"\r{line:<78}"
        print(line, end="" if self._terminal else "\n", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._terminal:
            print(file=sys.stderr)


def _write_film(demo: DemoCall, path: Path) -> None:
    if not demo.sent_frames:
        return
    pictures = beside_each_other(demo.sent_frames, demo.shown_frames, demo.sent_path, demo.shown_path, demo.picture_px)
    with (
        partial_file(path) as partial,
        write_mp4(
            partial,
            width_px=2 * demo.picture_px,
            height_px=demo.picture_px,
            frame_rate=Fraction(demo.figures.fps_captured or 25).limit_denominator(1001),
        ) as writer,
    ):
        for picture, ticks in pictures:
            writer.write(picture, ticks)


def _table(figures: DemoFigures, film: Path) -> Table:
    table = Table(title="adasr demo: one call over WebRTC on loopback", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in (
        ("frames sent", f"{figures.frames_sent}"),
        ("frames rebuilt (interpolated)", f"{figures.frames_rebuilt} ({figures.frames_interpolated})"),
        ("frames a second, captured / shown", f"{figures.fps_captured:.1f} / {figures.fps_shown:.1f}"),
        ("bytes a frame", f"{figures.bytes_per_frame:.1f}"),
        ("references (bytes)", f"{figures.references} ({figures.reference_bytes})"),
        ("payload", f"{figures.payload_kbps:.1f} kbps"),
        ("on the wire, all headers", _with_unit(figures.wire_kbps, "kbps")),
        ("  without the first picture", _with_unit(figures.steady_wire_kbps, "kbps")),
        ("coming back (SACKs)", _with_unit(figures.return_kbps, "kbps")),
        ("latency p50 / p95", f"{_plain(figures.latency_ms_p50)} / {_plain(figures.latency_ms_p95)} ms"),
        ("  to the packet, p50", _with_unit(figures.coding_ms_p50, "ms")),
        ("  one rebuild, p50 / p95", f"{_plain(figures.rebuild_ms_p50)} / {_plain(figures.rebuild_ms_p95)} ms"),
        ("PSNR against the source", _with_unit(figures.psnr_db, "dB")),
        ("film", str(film)),
    ):
        table.add_row(name, value)
    return table


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _with_unit(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{value:.1f} {unit}"


def _report(figures: DemoFigures) -> dict[str, object]:
    return {
        "seconds": figures.seconds,
        "frames_captured": figures.frames_captured,
        "frames_sent": figures.frames_sent,
        "frames_rebuilt": figures.frames_rebuilt,
        "frames_interpolated": figures.frames_interpolated,
        "fps_captured": figures.fps_captured,
        "fps_shown": figures.fps_shown,
        "bytes_per_frame": figures.bytes_per_frame,
        "references": figures.references,
        "reference_bytes": figures.reference_bytes,
        "payload_kbps": figures.payload_kbps,
        "wire_kbps": figures.wire_kbps,
        "steady_wire_kbps": figures.steady_wire_kbps,
        "return_kbps": figures.return_kbps,
        "latency_ms": {"p50": figures.latency_ms_p50, "p95": figures.latency_ms_p95},
        "coding_ms": {"p50": figures.coding_ms_p50},
        "rebuild_ms": {"p50": figures.rebuild_ms_p50, "p95": figures.rebuild_ms_p95},
        "psnr_db": figures.psnr_db,
    }
