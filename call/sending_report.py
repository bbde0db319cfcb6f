"""What a sending loop did: counts while it runs, a report of them for people and for measuring."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from sender.rate_control import LineFigures

_TIMES_KEPT = 100_000


@dataclass(frozen=True, kw_only=True, slots=True)
class SendingReport:
    """What a sending loop did.

    Attributes:
        frames_captured: frames that the source gave.
        frames_dropped: frames left out because coding did not keep up.
        frames_left_out: frames left out because the line does not afford the source's frame rate.
        frames_without_face: coded frames in which no face was seen.
        frames_sent: frames that left in a motion message.
        messages: motion messages.
        motion_bytes: their bytes, without any transport header.
        references: references sent.
        reference_bytes: bytes of references.
        references_named: of the references, those whose picture is one of an earlier call, by name alone.
        references_by_kind: how many were sent for each reason.
        anchors: pictures sent with motion messages, between which frames are drawn.
        anchor_bytes: their bytes.
        malformed: feedback that could not be read.
        sent_times_ms: capture times of the frames sent, monotonic milliseconds, the latest 100,000.
        coding_ms: time that each of them took from capture until its message left, milliseconds.
        capture_span_s: seconds from the first to the last frame that the source gave.
        line: what was known of the line at the end.
    """

    frames_captured: int
    frames_dropped: int
    frames_left_out: int
    frames_without_face: int
    frames_sent: int
    messages: int
    motion_bytes: int
    references: int
    reference_bytes: int
    references_named: int
    references_by_kind: tuple[tuple[str, int], ...]
    anchors: int
    anchor_bytes: int
    malformed: int
    sent_times_ms: tuple[int, ...]
    coding_ms: tuple[float, ...]
    capture_span_s: float
    line: LineFigures


class SendingTally:
    """Counts what a sending loop does; its two threads write different fields."""

    def __init__(self) -> None:
        """Start at zero."""
        self._captured = 0
        self._first_capture_s = self._last_capture_s = 0.0
        self._left_out = 0
        self._without_face = 0
        self._messages = 0
        self._motion_bytes = 0
        self._reference_bytes = self._references_named = 0
        self._kinds: Counter[str] = Counter()
        self._anchors = self._anchor_bytes = 0
        self._malformed = 0
        self._times_ms: deque[int] = deque(maxlen=_TIMES_KEPT)
        self._coding_ms: deque[float] = deque(maxlen=_TIMES_KEPT)
        self.frames_sent = 0

    def captured(self, time_s: float) -> None:
        """The source gave a frame at this time."""
        self._first_capture_s = time_s if self._captured == 0 else self._first_capture_s
        self._last_capture_s = time_s
        self._captured += 1

    def left_out(self) -> None:
        """A frame was not coded: the line does not afford it."""
        self._left_out += 1

    def coded(self, *, face_found: bool) -> None:
        """A frame was coded."""
        self._without_face += not face_found

    def malformed(self) -> None:
        """Feedback could not be read."""
        self._malformed += 1

    def sent_message(self, size_bytes: int, capture_times_s: Sequence[float], now: float) -> None:
        """A motion message left with frames captured at these times."""
        self._messages += 1
        self._motion_bytes += size_bytes
        for time_s in capture_times_s:
            self._times_ms.append(round(time_s * 1000))
            self._coding_ms.append((now - time_s) * 1000)
        self.frames_sent += len(capture_times_s)

    def sent_reference(self, size_bytes: int, kind: str, *, named: bool = False) -> None:
        """A reference left. named: its picture is one of an earlier call, by name alone."""
        self._references_named += named
        self._reference_bytes += size_bytes
        self._kinds[kind] += 1

    def sent_anchor(self, size_bytes: int) -> None:
        """An anchor left."""
        self._anchors += 1
        self._anchor_bytes += size_bytes

    @property
    def first_capture_s(self) -> float | None:
        """When the source gave its first frame; None before it."""
        return self._first_capture_s if self._captured else None

    @property
    def pictures_sent(self) -> int:
        """References and anchors so far."""
        return self._kinds.total() + self._anchors

    def report(self, frames_dropped: int, line: LineFigures) -> SendingReport:
        """The counts now."""
        return SendingReport(
            frames_captured=self._captured,
            frames_dropped=frames_dropped,
            frames_left_out=self._left_out,
            frames_without_face=self._without_face,
            frames_sent=self.frames_sent,
            messages=self._messages,
            motion_bytes=self._motion_bytes,
            references=self._kinds.total(),
            reference_bytes=self._reference_bytes,
            references_named=self._references_named,
            references_by_kind=tuple(sorted(self._kinds.items())),
            anchors=self._anchors,
            anchor_bytes=self._anchor_bytes,
            malformed=self._malformed,
            sent_times_ms=tuple(self._times_ms),
            coding_ms=tuple(self._coding_ms),
            capture_span_s=self._last_capture_s - self._first_capture_s,
            line=line,
        )
