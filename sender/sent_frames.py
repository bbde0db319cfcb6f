"""What became of the motion frames sent: loss, round trip and travel times, from the receiver's feedback.

    on_message: sequences 17 18 19, left at t  --line-->  receiver --feedback: newest 19, mask ...1101--> on_feedback
                                                                                |
                                             lost frames and runs, round trip, one-way delay <----------+

A frame counts as lost when a frame some places newer was decoded and it was not: so reordering is no loss.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from adasr_core.bitstream.feedback import MASK_FRAMES, MAX_HELD_MS, MotionFeedback

_FRAMES_KEPT = 128
_REORDER_FRAMES = 6
_LOSS_WINDOW_S = 5.0
_RTT_WINDOW_S = 10.0
_LONGEST_RTT_S = 5.0
_RUN_KEPT_S = 60.0
_RUNS_KEPT = 64
_BURST_MESSAGES = 2


@dataclass(slots=True)
class _SentFrame:
    number: int
    sent_time: float
    capture_time: float
    newest: bool
    message: int
    decoded: bool = False


@dataclass(frozen=True, slots=True)
class _Verdict:
    time: float
    message: int
    lost: bool


@dataclass(frozen=True, slots=True)
class Travel:
    """One measured journey of a frame.

    sent: when it left, seconds. one_way_s: from leaving the sender to arriving, plus the clocks' offset; unwrapped.
    rtt_s: without what the receiver held it; None when it held it too long to say.
    """

    sent: float
    one_way_s: float
    rtt_s: float | None


class SentFrames:
    """Follows the frames of one sender. Times are seconds on one clock."""

    def __init__(self) -> None:
        self._frames: deque[_SentFrame] = deque(maxlen=_FRAMES_KEPT)
        self._verdicts: deque[_Verdict] = deque()
        self._rtts: deque[tuple[float, float]] = deque()
        self._judged = -1  # number of the newest frame with a verdict
        self._run = (-1, 0)  # the last message that counted, lost messages in a row up to it
        self._runs: deque[tuple[float, int]] = deque(maxlen=_RUNS_KEPT)
        self._next = 0
        self._messages = 0
        self._newest_known = -1
        self._transit_ms: int | None = None

    def on_message(self, sequence: int, frames: int, capture_time: float, now: float) -> None:
        """A message left whose newest frame is `sequence` (0..255), with `frames` frames not sent before.

        Args:
            sequence: of the newest frame.
            frames: 1 or more.
            capture_time: of the newest frame.
            now: when it left.

        Raises:
            ValueError: no frame.
        """
        if frames < 1:
            raise ValueError(f"frames: got {frames}, expected at least 1; a message of repeats alone is not sent")
        self._next += (sequence - frames + 1 - self._next) & 0xFF
        for index in range(frames):
            newest = index == frames - 1
            self._frames.append(_SentFrame(self._next + index, now, capture_time, newest, self._messages))
        self._next += frames
        self._messages += 1

    def on_feedback(self, feedback: MotionFeedback, now: float) -> Travel | None:
        """Take what the receiver says; the journey of its newest frame when that was not known before.

        Feedback about frames that were never sent has no effect: it comes from the peer, which may be wrong.
        """
        newest = self._find(feedback)
        if newest is None:
            return None
        known = {
            newest.number,
            *(newest.number - 1 - bit for bit in range(MASK_FRAMES) if feedback.received >> bit & 1),
        }
        for frame in self._frames:
            frame.decoded = frame.decoded or frame.number in known
        self._judge(newest.number, now)
        if newest.number <= self._newest_known:
            return None
        self._newest_known = newest.number
        rtt_s = None
        if feedback.held_ms < MAX_HELD_MS:
            rtt_s = max(now - newest.sent_time - feedback.held_ms / 1000, 0.0)
            self._note_rtt(rtt_s, now)
        return Travel(newest.sent_time, self._one_way_s(feedback, newest), rtt_s)

    def note_round_trip(self, rtt_s: float, now: float) -> None:
        """Take a round trip that was measured in another way (a ping)."""
        self._note_rtt(rtt_s, now)

    def round_trip_s(self) -> float | None:
        """Shortest round trip of the last 10 s with one, seconds: what the line takes without queues."""
        return min((rtt for _, rtt in self._rtts), default=None)

    def loss(self, now: float, window_s: float = _LOSS_WINDOW_S) -> tuple[float, int]:
        """Share of frames lost among those judged in the last `window_s` (at most 5) seconds, 0 to 1, and how many."""
        recent = [verdict.lost for verdict in self._verdicts if now - verdict.time <= window_s]
        return (sum(recent) / len(recent) if recent else 0.0), len(recent)

    def losses_apart(self, now: float) -> int:
        """Messages with a lost frame in the last 5 s: one lost datagram is one, however many frames it held."""
        return len({one.message for one in self._verdicts if one.lost and now - one.time <= _LOSS_WINDOW_S})

    def longest_run(self, now: float) -> int:
        """Most messages lost in a row in the last minute: who saw a burst expects another one."""
        return max((length for when, length in self._runs if now - when <= _RUN_KEPT_S), default=0)

    def forget_unjudged(self) -> None:
        """After a silence of the line: what was sent into it is no measure of loss."""
        self._judged = self._next - 1

    def _find(self, feedback: MotionFeedback) -> _SentFrame | None:
        for frame in reversed(self._frames):
            if frame.number & 0xFF == feedback.sequence:
                return frame
        return None

    def _judge(self, newest: int, now: float) -> None:
        """Give a verdict on the frames that can no longer be just late."""
        for frame in self._frames:
            if self._judged < frame.number <= newest - _REORDER_FRAMES:
                self._judged = frame.number
                # Frames beyond the mask are not told of.
                if newest - frame.number <= MASK_FRAMES or frame.decoded:
                    self._verdicts.append(_Verdict(now, frame.message, not frame.decoded))
                    self._note_run(frame, now)
        while self._verdicts and now - self._verdicts[0].time > _LOSS_WINDOW_S:
            self._verdicts.popleft()

    def _note_run(self, frame: _SentFrame, now: float) -> None:
        """Count messages lost in a row."""
        if frame.decoded:
            self._run = (frame.message, 0)
            return
        last, length = self._run
        if frame.message != last:
            length += 1
            self._run = (frame.message, length)
        elif length == 0:  # the message's other frames came as repeats only
            return
        if length >= _BURST_MESSAGES:
            self._runs.append((now, length))

    def _one_way_s(self, feedback: MotionFeedback, frame: _SentFrame) -> float:
        """Transit without the time from capture to leaving, which coding and gathering took."""
        before = self._transit_ms if self._transit_ms is not None else feedback.transit_ms
        self._transit_ms = before + ((feedback.transit_ms - before + 0x8000) & 0xFFFF) - 0x8000
        return self._transit_ms / 1000 - (frame.sent_time - frame.capture_time)

    def _note_rtt(self, rtt_s: float, now: float) -> None:
        if rtt_s <= _LONGEST_RTT_S:
            self._rtts.append((now, rtt_s))
        while len(self._rtts) > 1 and now - self._rtts[0][0] > _RTT_WINDOW_S:
            self._rtts.popleft()
