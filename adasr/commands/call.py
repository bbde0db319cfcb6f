"""``adasr call``: a video call with another machine, invitations by copy and paste."""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path

from adasr.model_options import add_adapter_option, add_engine_options
from adasr.partial_file import check_writable, partial_file
from adasr.rate_options import add_display_option, add_rate_options, rate_config, receiver_config
from adasr.sample import sample_clip_path
from adasr.video_file import open_video
from adasr.video_writer import Mp4Writer, write_mp4
from adasr_core.bundle import open_bundle
from call.audio_sinks import FilmSpeaker, Speaker, open_speaker
from call.audio_sources import Microphone, parse_microphone
from call.peer import CallProgress, CallReport, PeerConfig, hold_call
from call.sending import call_sender_config
from call.signalling import InvitationKind
from call.sinks import FileSink, FrameSink, PreviewSink
from call.sources import CameraSource, ClipSource, FrameSource
from sender import CropMode

_ANSWER_WAIT_S = 600.0
_FILE_POLL_S = 0.1
_FILM_FPS = Fraction(30)


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand and its arguments."""
    parser = subparsers.add_parser(
        "call",
        help="hold a video call with another machine",
        description="Hold a video call. One side runs `adasr call --offer` and sends the invitation that it prints to "
        "the other side, which runs `adasr call --answer`, pastes it, and sends its answer back. Ctrl-C hangs up.",
    )
    role = parser.add_mutually_exclusive_group(required=True)
    role.add_argument("--offer", action="store_true", help="make the invitation")
    role.add_argument("--answer", action="store_true", help="answer an invitation")
    parser.add_argument(
        "--source",
        default="camera",
        metavar="WHAT",
        help="what to send: camera, camera:DEVICE, sample (the portrait that comes along), none, or a video file",
    )
    parser.add_argument(
        "--sink",
        default="preview",
        metavar="WHERE",
        help="where the rebuilt video goes: an mp4 FILE, preview (rebuilt, not kept), or none (not received)",
    )
    parser.add_argument(
        "--microphone",
        default="none",
        metavar="WHAT",
        help="what sound to send: a file, source (the sound of the video file in --source), device or device:NAME (a "
        "sound card; needs adasr[audio]), alsa:NAME, pulse:NAME, avfoundation:NAME, dshow:NAME, or none (default)",
    )
    parser.add_argument(
        "--speaker",
        default="none",
        metavar="WHERE",
        help="where the other side's sound goes: a .wav FILE, device or device:NAME (a sound card; needs adasr[audio]; "
        "wear headphones, for there is no echo cancellation), film (into the mp4 of --sink alone), or none (default); "
        "what is played goes into that mp4 as well",
    )
    crop = parser.add_mutually_exclusive_group()
    crop.add_argument("--face", action="store_true", help="follow the face (default)")
    crop.add_argument("--full", action="store_true", help="send the largest centred square, for clips framed already")
    add_engine_options(parser)
    add_rate_options(parser)
    add_display_option(parser)
    add_adapter_option(parser, "the person whom you will see")
    parser.add_argument(
        "--remember",
        type=Path,
        metavar="DIR",
        help="keep pictures of this call in DIR, so that a later call with the same person begins at once; both sides "
        "must; DIR holds faces: delete it to forget them (default: nothing is kept)",
    )
    parser.add_argument("--device", help="the engine's device (default: the processor)")
    parser.add_argument("--seconds", type=float, help="hang up so long after the video began")
    parser.add_argument("--loopback", action="store_true", help="both sides are on this machine; touch no network")
    parser.add_argument("--invitation-file", type=Path, metavar="FILE", help="exchange the invitation in this file")
    parser.add_argument("--answer-file", type=Path, metavar="FILE", help="exchange the answer in this file")


def run(args: argparse.Namespace) -> int:
    """Hold the call; 0 when it ended in good order, 1 when it failed."""
    if args.seconds is not None and args.seconds <= 0:
        raise ValueError(f"--seconds: got {args.seconds}, expected a positive number")
    if (args.invitation_file is None) != (args.answer_file is None):
        raise ValueError("--invitation-file and --answer-file: give both, or neither for copy and paste")
    if args.adapter is not None and args.sink == "none":
        raise ValueError("--adapter: nothing is rebuilt with --sink none; leave one of the two out")
    in_files = args.invitation_file is not None
    source = parse_source(args.source)
    config = PeerConfig(
        offer=args.offer,
        model=args.model,
        engine=args.engine,
        device=args.device,
        adapter=args.adapter,
        source=source,
        microphone=_open_microphone(args.microphone, source),
        receives=args.sink != "none",
        remember=args.remember,
        seconds=args.seconds,
        loopback_only=args.loopback,
        connect_timeout_s=30.0 if args.offer or in_files else _ANSWER_WAIT_S,
        rate=rate_config(args),
        receiver=receiver_config(args),
        sender=call_sender_config(CropMode.FULL if args.full else CropMode.FACE),
    )
    signalling = FileSignalling(args.invitation_file, args.answer_file) if in_files else TerminalSignalling()
    sink = _open_sink(args.sink, config.model, records_sound=args.speaker != "none")
    try:
        speaker = _open_speaker(args.speaker, sink)
    except BaseException:
        _abandon(sink)
        raise
    progress = ProgressLine()
    try:
        report = hold_call(config, signalling, sink=sink, speaker=speaker, on_progress=progress.show)
    except BaseException:
        _abandon(speaker)
        _abandon(sink)
        raise
    progress.end()
    _finish(speaker)
    if sink is not None and (report.receiving is None or report.receiving.frames_shown == 0):
        _abandon(sink)
    elif sink is not None:
        sink.close()
    _print_report(report)
    if args.remember is not None:
        ours, theirs = report.remembered
        print(f"kept for later calls: {ours} pictures sent, {theirs} received, in {args.remember}")
    if report.failed:
        print(f"adasr: {report.reason}", file=sys.stderr)
    return 1 if report.failed else 0


def parse_source(text: str) -> FrameSource | None:
    """The source that ``--source`` names.

    Raises:
        OSError: the file or the camera cannot be read.
        ValueError: the file is no video.
    """
    if text == "none":
        return None
    if text == "camera" or text.startswith("camera:"):
        camera = CameraSource(device=text.partition(":")[2] or None)
        camera.check()
        return camera
    path = sample_clip_path() if text == "sample" else Path(text)
    open_video(path)
    return ClipSource(path, open_video, repeat=text == "sample")


class TerminalSignalling:
    """People copy the invitations from and to the terminal."""

    def publish(self, kind: InvitationKind, text: str) -> None:
        """Print our half."""
        what = "invitation" if kind == "offer" else "answer"
        print(f"Send this {what} to the other side:\n\n{text}\n", flush=True)

    def obtain(self, kind: InvitationKind) -> str:
        """Ask for the other half.

        Raises:
            ValueError: the input ended.
        """
        what = "invitation" if kind == "offer" else "answer"
        try:
            return input(f"Paste the {what} of the other side, then press Enter: ")
        except EOFError as error:
            raise ValueError(f"{what}: the input ended before it was pasted") from error


class FileSignalling:
    """Scripts exchange the invitations in two files."""

    def __init__(self, invitation: Path, answer: Path, wait_s: float = 120.0) -> None:
        self._paths: dict[InvitationKind, Path] = {"offer": invitation, "answer": answer}
        self._wait_s = wait_s

    def publish(self, kind: InvitationKind, text: str) -> None:
        """Write our half; the file appears complete.

        Raises:
            OSError: the file cannot be written.
        """
        with partial_file(self._paths[kind]) as path:
            path.write_text(text + "\n", encoding="ascii")

    def obtain(self, kind: InvitationKind) -> str:
        """Wait for the other half's file, at most two minutes, and remove it: an invitation serves once.

        Raises:
            TimeoutError: it did not appear.
            OSError: it cannot be read.
        """
        path = self._paths[kind]
        deadline = time.monotonic() + self._wait_s
        while not path.exists():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{path}: did not appear within {self._wait_s:g} s; is the other side running?")
            time.sleep(_FILE_POLL_S)
        text = path.read_text(encoding="ascii", errors="replace")
        path.unlink()
        return text


class ProgressLine:
    """One line on standard error that tells how the call stands; nothing where no person watches."""

    def show(self, progress: CallProgress) -> None:
        """Rewrite the line."""
        if sys.stderr.isatty():
            print(
                f"\r{progress.seconds:6.1f} s  sent {progress.frames_sent} frames  "
                f"shown {progress.frames_shown} frames  line {progress.path.value:<14}",
                end="",
                file=sys.stderr,
                flush=True,
            )

    def end(self) -> None:
        """Go on below the line."""
        if sys.stderr.isatty():
            print(file=sys.stderr)


def _open_microphone(text: str, source: FrameSource | None) -> Microphone | None:
    clip = source if isinstance(source, ClipSource) else None
    return parse_microphone(text, clip.path if clip else None, repeat=clip is not None and clip.repeat)


def _open_speaker(text: str, sink: FrameSink | None) -> Speaker | None:
    film = sink if isinstance(sink, FileSink) else None
    if text == "film":
        if film is None:
            raise ValueError("--speaker film: got no film to put it in; name an mp4 file in --sink")
        return FilmSpeaker(film)
    speaker = open_speaker(text, partial_file)
    return FilmSpeaker(film, speaker) if film is not None and speaker is not None else speaker


def _open_sink(text: str, model: str, *, records_sound: bool = False) -> FrameSink | None:
    if text == "none":
        return None
    if text == "preview":
        return PreviewSink()
    path = Path(text)
    check_writable(path)
    frame_px = open_bundle(model).manifest.frame_px

    @contextmanager
    def open_writer(final: Path) -> Iterator[Mp4Writer]:
        with (
            partial_file(final) as partial,
            write_mp4(
                partial,
                width_px=frame_px,
                height_px=frame_px,
                frame_rate=_FILM_FPS,
                records_sound=records_sound,
            ) as writer,
        ):
            yield writer

    return FileSink(path, open_writer)


def _finish(speaker: Speaker | None) -> None:
    """Close the speaker; sound that could not be written costs nothing else."""
    if speaker is not None:
        try:
            speaker.close()
        except OSError as error:
            print(f"adasr: the sound could not be written: {error}", file=sys.stderr)


def _abandon(sink: FrameSink | Speaker | None) -> None:
    """Close a sink without complaint: that its film could not be written follows from what is reported anyway."""
    if sink is not None:
        with suppress(OSError, ValueError):
            sink.close()


def _print_report(report: CallReport) -> None:
    if report.sending is not None:
        sent = report.sending
        mean = sent.motion_bytes / max(sent.frames_sent, 1)
        named = f" ({sent.references_named} by name alone)" if sent.references_named else ""
        gathered = sent.frames_sent / max(sent.messages, 1)
        print(
            f"sent: {sent.frames_sent} frames, {mean:.1f} bytes each, {gathered:.1f} a message, "
            f"{sent.references} references{named}, {sent.anchors} anchors"
        )
    if report.receiving is not None:
        shown = report.receiving
        print(f"shown: {shown.frames_shown} frames, {shown.frames_made_up} of them made up")
    if report.sound_sent is not None:
        sound = report.sound_sent
        spoken_s = sound.frames_sent * sound.frame_ms / 1000
        print(f"sound sent: {spoken_s:.1f} s of {sound.frames * sound.frame_ms / 1000:.1f} s, {sound.bytes} bytes")
    if report.sound_heard is not None:
        heard = report.sound_heard
        counts = heard.statistics
        print(f"sound heard: {heard.seconds:.1f} s, {counts.gaps} gaps or pauses, {counts.late} frames late")
    if report.statistics is not None:
        count = report.statistics.now.count
        print(f"on the wire: {count.sent_bytes} bytes sent, {count.received_bytes} bytes received")
