"""What sound takes of the line (pure).

| mode     | frame | motion messages at most apart | bitrates, highest first    |
|----------|-------|-------------------------------|----------------------------|
| lowest   | 20 ms |                         40 ms | 16, 12, 8 kbit/s           |
| balanced | 20 ms |                        125 ms | 12, 8 kbit/s               |
| saving   | 60 ms |                        330 ms | 6 kbit/s                   |

Sound goes first: the bitrate steps down when it would take more than half of the line, but never stops. What it takes
with its headers is kept from the video while somebody speaks and a little after, and so long motion messages come often
enough to carry it.
"""

from __future__ import annotations

from dataclasses import dataclass

from sender.plan_choice import DelayMode
from sender.wire_cost import DATA_CHUNK_BYTES, chunk_bytes, datagram_bytes

LEAST_CAP_BPS = 10_000.0
"""Below this cap sound would leave nothing for the picture."""

_MESSAGE_HEAD_BYTES = 5
_PADDING_BYTES = 1.5
_LATE_S = 0.02
_SHARE = 0.55
_BETTER_SHARE = 0.45
_REPEATING_SHARE = 0.6
_HOLD_S = 8.0
_SPEECH_HOLD_S = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioRules:
    """How sound is sent in a delay mode.

    frame_ms: 20, 40 or 60. longest_message_s: motion messages are no further apart, so that sound finds company.
    bitrates_bps: of the codec, highest
    first. most_repeats: frames that leave once more on lines that lose.
    """

    frame_ms: int
    longest_message_s: float
    bitrates_bps: tuple[int, ...]
    most_repeats: int

    @property
    def patience_s(self) -> float:
        """Frames wait so long for a motion message, a late one too."""
        return self.longest_message_s + _LATE_S


def audio_rules(mode: DelayMode) -> AudioRules:
    """The rules of a mode."""
    match mode:
        case DelayMode.LOWEST:
            return AudioRules(frame_ms=20, longest_message_s=0.04, bitrates_bps=(16_000, 12_000, 8_000), most_repeats=2)
        case DelayMode.BALANCED:
            return AudioRules(frame_ms=20, longest_message_s=0.125, bitrates_bps=(12_000, 8_000), most_repeats=4)
        case DelayMode.SAVING:
            return AudioRules(frame_ms=60, longest_message_s=0.33, bitrates_bps=(6_000,), most_repeats=1)


def wire_bps(rules: AudioRules, bitrate_bps: int, *, repeats: int = 0, alone: bool = False) -> float:
    """What sound adds to the wire, bits a second, when motion messages are as far apart as they may be.

    alone: there are none, and sound pays for its own datagrams.
    """
    apart_s = max(rules.longest_message_s, rules.frame_ms / 1000)
    frames = apart_s * 1000 / rules.frame_ms
    frame_bytes = bitrate_bps * rules.frame_ms / 8000 + 1
    body = _MESSAGE_HEAD_BYTES + frame_bytes * (frames + min(repeats, frames)) + _PADDING_BYTES
    headers = datagram_bytes(1) - chunk_bytes(1) if alone else 0
    return (headers + DATA_CHUNK_BYTES + body) * 8 / apart_s


class AudioRate:
    """Chooses the bitrate for what the line carries and says what to keep for it; times are seconds on one clock."""

    def __init__(self, rules: AudioRules) -> None:
        """Start with the highest bitrate."""
        self.rules = rules
        self._index = 0
        self._changed_s: float | None = None
        self._spoke_s: float | None = None

    @property
    def bitrate_bps(self) -> int:
        """Of the codec."""
        return self.rules.bitrates_bps[self._index]

    def follow(self, line_bps: float, *, lossy: bool, now: float) -> None:
        """Take what sound and video may have together, bits a second on the wire."""
        repeats = self.rules.most_repeats if lossy else 0
        held = self._changed_s is None or now - self._changed_s >= _HOLD_S

        def share(index: int) -> float:
            return wire_bps(self.rules, self.rules.bitrates_bps[index], repeats=repeats) / line_bps

        if self._index + 1 < len(self.rules.bitrates_bps) and share(self._index) > _SHARE:
            self._index += 1
            self._changed_s = now
        elif self._index > 0 and share(self._index - 1) < _BETTER_SHARE and held:
            self._index -= 1
            self._changed_s = now

    def repeats(self, line_bps: float, *, lossy: bool) -> int:
        """Frames of the message before that leave once more: as many as the line carries beside the rest."""
        if not lossy:
            return 0
        for repeats in range(self.rules.most_repeats, 0, -1):
            if wire_bps(self.rules, self.bitrate_bps, repeats=repeats) <= _REPEATING_SHARE * line_bps:
                return repeats
        return 0

    def spoke(self, now: float) -> None:
        """A frame with sound was recorded."""
        self._spoke_s = now

    def reserve_bps(self, *, repeats: int, alone: bool, now: float) -> float:
        """To be kept from the video, bits a second on the wire; nothing a while after the last word."""
        if self._spoke_s is None or now - self._spoke_s > _SPEECH_HOLD_S:
            return 0.0
        return wire_bps(self.rules, self.bitrate_bps, repeats=repeats, alone=alone)
