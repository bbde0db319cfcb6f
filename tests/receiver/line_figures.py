"""What is shown of 4000 frames over bad lines: the table of docs/concealment.md.

python -m tests.receiver.line_figures
"""

from __future__ import annotations

import numpy as np

from receiver import Origin
from tests.receiver.simulated_line import Played, SimulatedLine, SimulatedSender, play

FRAMES = 4000
LINES = {
    "good": SimulatedLine(),
    "loss 5 %": SimulatedLine(loss=0.05, jitter_ms=10),
    "loss 10 %": SimulatedLine(loss=0.10, jitter_ms=10),
    "loss 20 %": SimulatedLine(loss=0.20, jitter_ms=10),
    "jitter 50 ms": SimulatedLine(jitter_ms=50),
    "reordering 10 %": SimulatedLine(reordered=0.1, jitter_ms=10),
    "duplication 20 %": SimulatedLine(duplicated=0.2, jitter_ms=10),
    "all, loss 10 %": SimulatedLine(loss=0.1, reordered=0.1, duplicated=0.2, jitter_ms=50),
}
SENDERS = {
    "1 frame a message": SimulatedSender(frames=FRAMES),
    "1, and 1 repeat": SimulatedSender(frames=FRAMES, repeats=1),
    "2 frames a message": SimulatedSender(frames=FRAMES, frames_per_message=2),
    "2, and 2 repeats": SimulatedSender(frames=FRAMES, frames_per_message=2, repeats=2),
    "3 frames a message": SimulatedSender(frames=FRAMES, frames_per_message=3),
}


def row(name: str, sender: str, played: Played) -> str:
    """One line of the table."""
    arrived = len([number for number in played.arrived if number >= 50]) / (FRAMES - 50)
    shares = [
        played.share_shown(origins) for origins in ({Origin.SENT}, {Origin.SENT, Origin.INTERPOLATED}, set(Origin))
    ]
    added = played.latencies_ms() - SimulatedLine().delay_ms
    cells = [
        name,
        sender,
        *(f"{100 * share:.1f}" for share in (arrived, *shares)),
        f"{1000 * played.longest_freeze_s():.0f}",
        f"{np.median(added):.0f} / {added.max():.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table."""
    print("| line | sender | arrived % | shown % | with drawn between % | with carried on % | still ms | delay ms |")
    print("|---|---|---|---|---|---|---|---|")
    for name, line in LINES.items():
        for sender in SENDERS:
            if "repeat" in sender and not line.loss:
                continue
            print(row(name, sender, play(SENDERS[sender], line)), flush=True)
    for sender, frames in (("1 frame a message", 1), ("2 frames a message", 2)):
        burst = SimulatedLine(burst=0.01 * frames, burst_messages=8 // frames, jitter_ms=10)
        print(row("bursts of 8 frames", sender, play(SENDERS[sender], burst)))


if __name__ == "__main__":
    main()
