"""The demo: two peers in processes of their own hold a call on loopback, and what happened is measured.

Each peer is a media process with a transport process of its own, as in a call between two machines; this process only
carries the two invitations and waits. Both peers read one monotonic clock, so latency is exact.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from adasr_core.bundle import open_bundle
from adasr_core.engines.runner import EngineName
from call.audio_sources import Microphone
from call.demo_figures import DemoFigures, measure_demo
from call.demo_sound import SoundFigures, SoundStore, StoredSound, measure_sound
from call.emulated_line import LineConfig
from call.peer import CallProgress, CallReport, PeerConfig, hold_call
from call.sending import call_sender_config
from call.signalling import InvitationKind
from call.sinks import PictureStore, StoredFrame, temporary_folder
from call.sources import ClipSource, VideoClip
from receiver import ReceiverConfig
from sender import CropMode
from sender.rate_control import RateControlConfig

_PEERS = ("sending", "receiving")
_START_S = 90.0
_EXIT_S = 15.0
_EXTRA_S = 30.0


class DemoError(OSError):
    """A peer of the demo could not do its part; the message says which and why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoConfig:
    """What the demo does."""

    clip: Path
    """The video that the sending peer plays."""
    open_clip: Callable[[Path], VideoClip]
    """Opens the clip; a function of a module, because it travels to another process."""
    microphone: Microphone | None = None
    """Where the sending peer's sound comes from; None sends none."""
    model: str = "edge"
    """Name or folder of the model."""
    engine: EngineName = "openvino"
    """What runs the networks."""
    seconds: float | None = None
    """Length of the call; None plays the clip once."""
    full: bool = True
    """Send the whole square clip rather than a crop around the face."""
    sending_threads: int = 1
    """Threads of the sender's networks."""
    receiving_threads: int = 2
    """Threads of the receiver's networks."""
    rate: RateControlConfig = field(default_factory=RateControlConfig)
    """What the video may take of the line."""
    receiver: ReceiverConfig = field(default_factory=ReceiverConfig)
    """How packets become frames."""
    line: LineConfig | None = None
    """The emulated line from the sending to the receiving peer; None leaves loopback as it is."""
    line_back: LineConfig | None = None
    """The same for the way back, which carries feedback and acknowledgements."""


@dataclass(frozen=True, slots=True)
class DemoCall:
    """A finished demo: reports, figures, and where the pictures lie while the caller's block lasts.

    Attributes:
        sending: the sending peer's report.
        receiving: the receiving peer's report.
        sent_frames: times of the pictures in ``sent_path``.
        shown_frames: times of the pictures in ``shown_path``.
        sent_path: what the sender's packets described, as ``call.sinks.read_pictures`` reads it.
        shown_path: what the receiver rebuilt.
        picture_px: edge of the pictures.
        figures: what was measured.
        sound: what was measured of the sound; None when none was sent.
        stored_sound: where what was heard lies; None when nothing was.
    """

    sending: CallReport
    receiving: CallReport
    sent_frames: tuple[StoredFrame, ...]
    shown_frames: tuple[StoredFrame, ...]
    sent_path: Path
    shown_path: Path
    picture_px: int
    figures: DemoFigures
    sound: SoundFigures | None = None
    stored_sound: StoredSound | None = None


@dataclass(frozen=True, slots=True)
class _Invitation:
    text: str


@dataclass(frozen=True, slots=True)
class _Finished:
    report: CallReport
    frames: tuple[StoredFrame, ...]
    sound_begin_s: float | None = None


@dataclass(frozen=True, slots=True)
class _Failed:
    message: str


@dataclass(slots=True)
class _Peer:
    name: str
    process: BaseProcess
    pipe: Connection
    finished: _Finished | None = None
    progress: CallProgress | None = None


def run_demo(
    config: DemoConfig,
    use: Callable[[DemoCall], None],
    on_progress: Callable[[CallProgress, CallProgress], None] | None = None,
) -> DemoCall:
    """Hold the call and measure it.

    Args:
        config: what to do.
        use: called with the finished demo while its pictures still exist.
        on_progress: called with the progress of the sending and the receiving peer.

    Raises:
        BundleError: the model cannot be used.
        DemoError: a peer failed, died or did not finish in time.
    """
    picture_px = open_bundle(config.model).manifest.frame_px
    with temporary_folder() as folder:
        paths = [Path(folder) / f"{name}.rgb" for name in _PEERS]
        sending, receiving = _hold(config, paths, picture_px, on_progress)
        demo = DemoCall(
            sending=sending.report,
            receiving=receiving.report,
            sent_frames=sending.frames,
            shown_frames=receiving.frames,
            sent_path=paths[0],
            shown_path=paths[1],
            picture_px=picture_px,
            figures=measure_demo(
                sending.report,
                receiving.report,
                sending.frames,
                receiving.frames,
                paths[0],
                paths[1],
                picture_px,
                config.line,
            ),
            sound=measure_sound(sending.report, receiving.report),
            stored_sound=(
                StoredSound(_sound_path(paths[1]), receiving.sound_begin_s)
                if receiving.sound_begin_s is not None
                else None
            ),
        )
        use(demo)
    return demo


def _sound_path(path: Path) -> Path:
    """Where sound lies beside a peer's pictures."""
    return path.with_suffix(".pcm")


def _hold(
    config: DemoConfig,
    paths: list[Path],
    picture_px: int,
    on_progress: Callable[[CallProgress, CallProgress], None] | None,
) -> tuple[_Finished, _Finished]:
    context = multiprocessing.get_context("spawn")
    peers: list[_Peer] = []
    try:
        for name, path in zip(_PEERS, paths, strict=True):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_run_peer, args=(theirs, config, name == "sending", path, picture_px), name=f"adasr-{name}"
            )
            process.start()
            theirs.close()
            peers.append(_Peer(name, process, ours))
        return _follow(peers, config, on_progress)
    finally:
        _end(peers)


def _follow(
    peers: list[_Peer], config: DemoConfig, on_progress: Callable[[CallProgress, CallProgress], None] | None
) -> tuple[_Finished, _Finished]:
    """Carry the invitations and wait for both reports."""
    deadline = time.monotonic() + _START_S
    began = False
    while any(peer.finished is None for peer in peers):
        waiting = {peer.pipe: peer for peer in peers if peer.finished is None}
        ready = wait(list(waiting), timeout=1.0)
        if time.monotonic() > deadline:
            raise DemoError("the demo's peers did not finish in time; is another program using all processors?")
        for pipe in ready:
            assert isinstance(pipe, Connection)
            peer = waiting[pipe]
            message = _receive(peer)
            match message:
                case _Invitation():
                    _send(next(other for other in peers if other is not peer), message)
                case _Failed():
                    raise DemoError(f"the {peer.name} peer failed: {message.message}")
                case _Finished():
                    peer.finished = message
                case CallProgress():
                    peer.progress = message
                    if not began and message.seconds > 0:
                        began = True
                        deadline = time.monotonic() + (config.seconds or 600.0) + _EXTRA_S
                    if on_progress is not None and all(known.progress for known in peers):
                        first, second = (known.progress for known in peers)
                        assert first is not None
                        assert second is not None
                        on_progress(first, second)
    finished = [peer.finished for peer in peers if peer.finished is not None]
    return finished[0], finished[1]


def _receive(peer: _Peer) -> object:
    try:
        return peer.pipe.recv()
    except (EOFError, OSError) as error:
        peer.process.join(_EXIT_S)
        raise DemoError(f"the {peer.name} peer's process died (exit code {peer.process.exitcode})") from error


def _send(peer: _Peer, message: _Invitation) -> None:
    try:
        peer.pipe.send(message)
    except OSError as error:
        raise DemoError(f"the {peer.name} peer's process died before the call began") from error


def _end(peers: list[_Peer]) -> None:
    """Close the pipes, which tells the peers to stop, and make sure that both processes end."""
    for peer in peers:
        peer.pipe.close()
    for peer in peers:
        peer.process.join(_EXIT_S)
        if peer.process.is_alive():
            peer.process.terminate()
            peer.process.join(2.0)
        if peer.process.is_alive():
            peer.process.kill()
            peer.process.join()
        peer.process.close()


class _PipeSignalling:
    """Invitations through the pipe to the demo's main process, whose end of file hangs up."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self.hang_up = threading.Event()

    def publish(self, kind: InvitationKind, text: str) -> None:
        self._pipe.send(_Invitation(text))

    def obtain(self, kind: InvitationKind) -> str:
        message = self._pipe.recv()
        assert isinstance(message, _Invitation)
        threading.Thread(target=self._watch, name="demo-pipe", daemon=True).start()
        return message.text

    def _watch(self) -> None:
        with contextlib.suppress(OSError):  # closed by ourselves: the call is over
            self._pipe.poll(None)
        self.hang_up.set()


def _run_peer(pipe: Connection, config: DemoConfig, sends: bool, path: Path, picture_px: int) -> None:
    """Entry point of a peer's media process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the main process, which closes the pipe
    signalling = _PipeSignalling(pipe)
    try:
        peer = PeerConfig(
            offer=sends,
            model=config.model,
            engine=config.engine,
            sending_threads=config.sending_threads,
            receiving_threads=config.receiving_threads,
            source=ClipSource(config.clip, config.open_clip, repeat=config.seconds is not None) if sends else None,
            microphone=config.microphone if sends else None,
            receives=not sends,
            seconds=config.seconds if sends else None,
            loopback_only=True,
            rate=config.rate,
            receiver=config.receiver,
            line=config.line if sends else config.line_back,
            sender=call_sender_config(CropMode.FULL if config.full else CropMode.FACE),
        )
        store = PictureStore(path, picture_px)
        sound = SoundStore(_sound_path(path)) if config.microphone is not None and not sends else None
        try:
            report = hold_call(
                peer,
                signalling,
                sink=None if sends else store,
                speaker=sound,
                recording=store if sends else None,
                on_progress=pipe.send,
                hang_up=signalling.hang_up,
            )
        finally:
            store.close()
            if sound is not None:
                sound.close()
        pipe.send(_Finished(report, tuple(store.frames), sound.begin_s if sound is not None else None))
    except (ValueError, OSError) as error:
        if not isinstance(error, BrokenPipeError | EOFError):
            pipe.send(_Failed(str(error)))
    finally:
        pipe.close()
