"""``adasr demo``: a call with itself over WebRTC on this machine, and the figures of it."""

import argparse
import sys
import time
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from adasr.json_report import write_json_report
from adasr.model_options import add_engine_options
from adasr.partial_file import check_writable, partial_file
from adasr.rate_options import add_display_option, add_rate_options, rate_config, receiver_config
from adasr.sample import sample_clip_path
from adasr.video_file import open_video
from adasr.video_writer import RECORDED_HZ, write_mp4
from adasr_core.bitstream import TICKS_PER_SECOND
from call.audio_sources import parse_microphone
from call.demo import DemoCall, DemoConfig, run_demo
from call.demo_figures import DemoFigures, beside_each_other, demo_faults
from call.demo_sound import SoundFigures
from call.emulated_line import LineConfig, parse_line
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
    parser.add_argument(
        "--microphone",
        default="none",
        metavar="WHAT",
        help="send sound as well: a file, source (the sound of --clip), a device as in adasr call, or none (default); "
        "what the other peer hears goes into the film",
    )
    parser.add_argument("--face", action="store_true", help="follow the face rather than take the whole square")
    add_engine_options(parser)
    add_rate_options(parser)
    add_display_option(parser)
    parser.add_argument(
        "--line",
        metavar="TEXT",
        help="emulate a bad line, both ways: loss=0.1,burst=8,delay_ms=50,jitter_ms=50,reorder=0.1,duplicate=0.1,"
        "rate_kbps=20,outage_at_s=5,outage_s=5 or some of these (docs/call.md)",
    )
    parser.add_argument("--line-back", metavar="TEXT", help="another line for the way back; '' leaves it as it is")


def run(args: argparse.Namespace) -> int:
    """Hold the call; 0 when it worked, 1 when it did not."""
    if args.seconds is not None and args.seconds <= 0:
        raise ValueError(f"--seconds: got {args.seconds}, expected a positive number")
    line, line_back = _lines(args)
    clip = args.clip or sample_clip_path()
    open_video(clip)
    check_writable(args.out)
    config = DemoConfig(
        clip=clip,
        open_clip=open_video,
        microphone=parse_microphone(args.microphone, clip, repeat=args.seconds is not None),
        model=args.model,
        engine=args.engine,
        seconds=args.seconds,
        full=not args.face,
        rate=rate_config(args),
        receiver=receiver_config(args),
        line=line,
        line_back=line_back,
    )
    progress = _ProgressLine()
    demo = run_demo(config, lambda finished: _write_film(finished, args.out), progress.show)
    progress.end()
    faults = demo_faults(demo.sending, demo.receiving, demo.figures)
    # The table gives way to JSON on the standard output.
    Console(stderr=args.json == "-").print(_table(demo.figures, args.out, demo.sound))
    if args.json:
        write_json_report(_report(demo.figures, demo.sound), args.json)
    for fault in faults:
        print(f"adasr: the demo did not work: {fault}", file=sys.stderr)
    return 1 if faults else 0


def _lines(args: argparse.Namespace) -> tuple[LineConfig | None, LineConfig | None]:
    """The lines there and back; each has chances of its own."""
    line = parse_line(args.line) if args.line else None
    if args.line_back is None:
        return line, None if line is None else replace(line, seed=line.seed + 1)
    return line, parse_line(args.line_back) if args.line_back else None


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
            records_sound=demo.stored_sound is not None,
        ) as writer,
    ):
        first_ms = demo.sent_frames[0].time_ms
        sound = demo.stored_sound.beside(first_ms) if demo.stored_sound is not None else np.zeros(0, np.float32)
        written = 0
        for picture, ticks in pictures:
            until = ticks * RECORDED_HZ // TICKS_PER_SECOND
            if len(sound):
                writer.write_sound(sound[written:until])
            written = until
            writer.write(picture, ticks)


def _table(figures: DemoFigures, film: Path, sound: SoundFigures | None) -> Table:
    table = Table(title="adasr demo: one call over WebRTC on loopback", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    kinds = ", ".join(f"{count} {kind}" for kind, count in figures.references_by_kind)
    rows: list[tuple[str, str]] = [
        ("frames sent (left out)", f"{figures.frames_sent} ({figures.frames_left_out})"),
        ("frames rebuilt (made up)", f"{figures.frames_rebuilt} ({figures.frames_made_up})"),
        ("  of those sent, shown", f"{100 * figures.shown_share:.1f} %"),
        ("longest freeze", _with_unit(figures.longest_freeze_ms, "ms")),
        ("recovery after the outage", _with_unit(figures.recovery_ms, "ms")),
        ("frames a second, captured / shown", f"{figures.fps_captured:.1f} / {figures.fps_shown:.1f}"),
        ("frames a message", f"{figures.frames_per_message:.2f}"),
        ("bytes a frame", f"{figures.bytes_per_frame:.1f}"),
        ("references (bytes)", f"{figures.references} ({figures.reference_bytes})"),
        ("anchors (bytes)", f"{figures.anchors} ({figures.anchor_bytes})"),
        ("  by reason", kinds or "-"),
        ("payload", f"{figures.payload_kbps:.1f} kbps"),
        ("on the wire, all headers", _with_unit(figures.wire_kbps, "kbps")),
        ("  without the first picture", _with_unit(figures.steady_wire_kbps, "kbps")),
        ("coming back", _with_unit(figures.return_kbps, "kbps")),
        ("line: rate / loss / round trip", _line(figures)),
        ("latency p50 / p95", f"{_plain(figures.latency_ms_p50)} / {_plain(figures.latency_ms_p95)} ms"),
        ("  to the message, p50", _with_unit(figures.coding_ms_p50, "ms")),
        ("  one rebuild, p50 / p95", f"{_plain(figures.rebuild_ms_p50)} / {_plain(figures.rebuild_ms_p95)} ms"),
        ("PSNR against the source", _with_unit(figures.psnr_db, "dB")),
    ]
    if sound is not None:
        spoken = f"{sound.seconds_sent:.1f} of {sound.seconds:.1f} s"
        delays = f"{_plain(sound.mouth_to_ear_ms_p50)} / {_plain(sound.mouth_to_ear_ms_p95)} ms"
        rows += [
            ("sound sent, silence left out", f"{spoken}, {sound.payload_kbps:.1f} kbps"),
            ("  messages (alone)", f"{sound.messages} ({sound.messages_alone})"),
            ("  mouth to ear p50 / p95", delays),
            ("  later than its picture, p50", _with_unit(sound.skew_ms_p50, "ms")),
        ]
    for name, value in (*rows, ("film", str(film))):
        table.add_row(name, value)
    return table


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _with_unit(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{value:.1f} {unit}"


def _line(figures: DemoFigures) -> str:
    rate = f"{figures.line_kbps:.0f} kbps / {100 * figures.line_loss:.1f} %"
    return f"{rate} / {_with_unit(figures.rtt_ms, 'ms')}"


def _report(figures: DemoFigures, sound: SoundFigures | None) -> dict[str, object]:
    """The figures under their own names, percentiles of one thing together."""
    report: dict[str, object] = asdict(figures)
    report["references_by_kind"] = dict(figures.references_by_kind)
    for name in ("latency_ms", "coding_ms", "rebuild_ms"):
        percentiles = {key: report.pop(f"{name}_{key}") for key in ("p50", "p95") if f"{name}_{key}" in report}
        report[name] = percentiles
    if sound is not None:
        report["sound"] = asdict(sound)
    return report
