"""The figures of docs/audio.md: ``python -m tests.call.sound_figures``.

First sound over real sockets, threads and processes beside motion messages of the usual size and pace, without the
networks; then calls in made-up time in which somebody speaks without a pause.
"""

from __future__ import annotations

import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from adasr.sample import sample_clip_path
from adasr_core.bundle import open_bundle
from call.audio_receiving import AudioReceivingLoop
from call.audio_sending import AudioSendingLoop
from call.audio_sinks import HeardBlock
from call.audio_sources import FileMicrophone
from call.emulated_line import LineConfig, parse_line
from call.messages import ReceivedAudio, SendMotion
from sender.plan_choice import DelayMode
from sender.rate_control import RateControlConfig
from tests.call.conftest import MODEL
from tests.call.loopback import connected_peers
from tests.call.speech import speech, write_wav
from tests.call.virtual_call import open_studio
from tests.call.virtual_sound import hold_sound_call

SECONDS = 30.0
REAL_SECONDS = 10.0
CALLS = (
    (DelayMode.LOWEST, None, "delay_ms=20"),
    (DelayMode.BALANCED, None, "delay_ms=20"),
    (DelayMode.BALANCED, 25_000.0, "delay_ms=20"),
    (DelayMode.BALANCED, None, "delay_ms=20,rate_kbps=24"),
    (DelayMode.BALANCED, None, "delay_ms=20,loss=0.1"),
    (DelayMode.SAVING, None, "delay_ms=20"),
    (DelayMode.SAVING, 16_000.0, "delay_ms=20"),
    (DelayMode.SAVING, 12_000.0, "delay_ms=20"),
    (DelayMode.SAVING, 10_000.0, "delay_ms=20"),
)
MOTION = ((DelayMode.LOWEST, 0.04, 18), (DelayMode.BALANCED, 0.08, 28), (DelayMode.SAVING, 0.28, 52))


@dataclass
class Ear:
    """Takes sound."""

    paces: bool = False
    latency_s: float = 0.0
    blocks: list[HeardBlock] = field(default_factory=list)

    def play(self, block: HeardBlock) -> None:
        """Forget it."""

    def close(self) -> None:
        """Nothing to finish."""


def print_calls() -> None:
    """One row a call: what is on the wire, of pictures and of sound."""
    studio = open_studio(open_bundle(MODEL), sample_clip_path())
    print(
        "| mode | cap, kbps | line | kbps | frames sent | anchors | first picture s | sound kbit/s | heard % | alone |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for mode, cap, text in CALLS:
        line = parse_line(text)
        back = LineConfig(delay_ms=line.delay_ms, loss=line.loss, seed=2)
        result, sound = hold_sound_call(studio, RateControlConfig(mode=mode, cap_bps=cap), SECONDS, line, back)
        print(
            f"| {mode.value} | {'' if cap is None else f'{cap / 1000:g}'} | {text} | {result.kbps():.1f} | "
            f"{len(result.sent_ms)} | {result.anchors} | {result.shown_s[0]:.1f} | {sound.bitrates_bps[-1] / 1000:g} | "
            f"{100 * len(sound.arrived) / sound.frames:.0f} | {sound.alone} of {sound.messages} |"
        )


def print_delays() -> None:
    """One row a mode: mouth to ear over real sockets."""
    print("| mode | motion every ms | mouth to ear p50 / p95 ms | gaps and pauses | late | messages |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        microphone = FileMicrophone(write_wav(Path(folder) / "said.wav", speech(REAL_SECONDS)))
        for mode, motion_s, motion_bytes in MOTION:
            print(_delay_row(microphone, mode, motion_s, motion_bytes))


def _delay_row(microphone: FileMicrophone, mode: DelayMode, motion_s: float, motion_bytes: int) -> str:
    with connected_peers() as (first, second):
        ear, stop = AudioReceivingLoop(Ear()), threading.Event()
        sending = AudioSendingLoop(microphone, mode, first.send)

        def pass_on() -> None:
            while not stop.is_set():
                for _, message in second.collect(0.005):
                    if isinstance(message, ReceivedAudio):
                        ear.hear(message.data)

        threading.Thread(target=pass_on, daemon=True).start()
        ear.start()
        began = time.monotonic() + 0.1
        sending.start(began)
        for number in range(round(REAL_SECONDS / motion_s)):
            # Frames are coded 15 ms after their capture.
            time.sleep(max(began + number * motion_s + 0.015 - time.monotonic(), 0))
            first.send(SendMotion(bytes(motion_bytes)))
        sending.stop()
        ear.stop()
        stop.set()
    report = ear.report()
    delays = np.array(report.statistics.delays_ms) % 65_536
    p50, p95 = np.percentile(delays, [50, 95])
    counts = report.statistics
    return (
        f"| {mode.value} | {1000 * motion_s:.0f} | {p50:.0f} / {p95:.0f} | {counts.gaps} | {counts.late} | "
        f"{report.messages} |"
    )


if __name__ == "__main__":
    print_delays()
    print()
    print_calls()
