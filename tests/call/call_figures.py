"""The figures of calls over bad lines, in made-up time: the tables of docs/call.md.

python -m tests.call.call_figures
"""

from __future__ import annotations

import sys

from adasr.sample import sample_clip_path
from adasr_core.bundle import open_bundle
from call.emulated_line import parse_line
from sender.plan_choice import DelayMode
from sender.rate_control import RateControlConfig
from tests.call.virtual_call import Studio, VirtualResult, hold_virtual_call, open_studio

MODEL = "edge"
MODES = {mode.value: RateControlConfig(mode=mode) for mode in DelayMode}
CLEAN = {"clean": ("delay_ms=10", 60.0)}
LINES = {
    "loss 5 %": ("loss=0.05,delay_ms=30", 30.0),
    "loss 10 %": ("loss=0.1,delay_ms=30", 30.0),
    "loss 20 %": ("loss=0.2,delay_ms=30", 30.0),
    "loss 10 % in bursts of 8": ("loss=0.1,burst=8,delay_ms=30", 30.0),
    "jitter 50 ms": ("jitter_ms=50,delay_ms=30", 30.0),
    "reordering 10 %": ("reorder=0.1,delay_ms=30", 30.0),
    "duplication 20 %": ("duplicate=0.2,delay_ms=30", 30.0),
    "loss, jitter, reordering, duplication": (
        "loss=0.1,jitter_ms=50,reorder=0.1,duplicate=0.1,delay_ms=30",
        30.0,
    ),
    "outage of 5 s": ("outage_at_s=8,outage_s=5,delay_ms=30", 30.0),
    "16 kbps": ("rate_kbps=16,delay_ms=30", 60.0),
}


def measure(studio: Studio, rate: RateControlConfig, text: str, seconds: float) -> VirtualResult:
    """One call; the way back is as bad as the way there, with chances of its own."""
    return hold_virtual_call(studio, rate, seconds, line=parse_line(text), back=parse_line(f"{text},seed=2"))


def row(name: str, mode: str, result: VirtualResult) -> str:
    """One line of the table."""
    frames = len(result.sent_ms)
    recovery = f"{result.recovery_ms():.0f}" if result.outage is not None else ""
    cells = [
        name,
        mode,
        f"{result.kbps():.1f}",
        f"{result.motion_bytes / frames:.1f}",
        f"{result.references}",
        f"{frames}",
        f"{100 * result.shown_share():.1f}",
        f"{result.freeze_ms():.0f}",
        recovery,
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table."""
    studio = open_studio(open_bundle(MODEL), sample_clip_path())
    print("| line | mode | kbps | bytes a frame | references | frames | shown % | longest freeze ms | recovery ms |")
    print("|---|---|---|---|---|---|---|---|---|")
    for mode, rate in MODES.items():
        for name, (text, seconds) in (CLEAN | LINES).items():
            print(row(name, mode, measure(studio, rate, text, seconds)))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
