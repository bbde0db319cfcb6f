"""One peer of a call, from the invitation to the goodbye."""

from __future__ import annotations

import threading
from collections.abc import Callable

from adasr_core.adapter import open_adapter
from adasr_core.bundle import open_bundle
from call.audio_sinks import Speaker
from call.call_course import CallCourse
from call.peer_config import CallProgress, CallReport, PeerConfig, Signalling
from call.sinks import FrameSink, PictureStore

__all__ = ["CallProgress", "CallReport", "PeerConfig", "Signalling", "hold_call"]


def hold_call(
    config: PeerConfig,
    signalling: Signalling,
    *,
    sink: FrameSink | None = None,
    speaker: Speaker | None = None,
    recording: PictureStore | None = None,
    on_progress: Callable[[CallProgress], None] | None = None,
    hang_up: threading.Event | None = None,
) -> CallReport:
    """Hold one call, from invitation to goodbye; returns when it is over.

    Args:
        config: what this peer does.
        signalling: carries the invitations.
        sink: takes the rebuilt frames; needed when the peer receives. Not closed here.
        speaker: takes the sound; None plays none. Not closed here.
        recording: keeps the pictures sent, for measuring. Not closed here.
        on_progress: called about four times a second in the calling thread.
        hang_up: set it from any thread to end the call.

    Raises:
        BundleError: the model cannot be used.
        AdapterError: the adapter cannot be used with it.
        SourceError: the source failed; the other peer was told.
        KeyboardInterrupt: before the call was connected; afterwards Ctrl-C hangs up.
    """
    bundle = open_bundle(config.model)
    adapter = open_adapter(config.adapter, bundle)
    call = CallCourse(config, bundle, adapter, sink, speaker, recording, hang_up or threading.Event())
    try:
        call.connect(signalling)
        call.run(on_progress)
    finally:
        call.close()
    return call.report()
