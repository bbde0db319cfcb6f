"""The sending half of a media process: frames to packets.

    source --capture thread--> newest 2 frames --coding thread--> Sender --> transport

Neither thread blocks the other: a frame that coding did not get to gives way to a newer one. The sender's closed loop
runs between frames: after a frame's packets are on their way, and not while newer frames wait, except once a second. A
failure ends the loop and is kept for the thread that owns the call.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from call.control import ReferenceAck, ReferenceRequest
from call.drop_oldest import DropOldestQueue
from call.messages import SendMotion, SendReference, ToTransport
from call.sinks import PictureStore
from call.sources import CapturedFrame, FrameSource, SourceError
from sender import CropMode, Sender, SenderConfig, TrackerConfig

_NEWEST_FRAMES = 2
_FEEDBACK_WAITING = 64
_SOURCE_SILENT_S = 5.0
_JOIN_S = 5.0
_TIMES_KEPT = 100_000
_CLOSED_LOOP_FRAMES = 25
_CLOSED_LOOP_OVERDUE_S = 1.0


@dataclass(frozen=True, slots=True)
class SendingReport:
    """What a sending loop did.

    Attributes:
        frames_captured: frames that the source gave.
        frames_dropped: frames left out because coding did not keep up.
        frames_without_face: coded frames in which no face was seen.
        frames_sent: frames that became a motion packet.
        motion_bytes: bytes of motion packets, headers of the packets included.
        references: references sent.
        reference_bytes: bytes of references.
        sent_times_ms: capture times of the frames sent, monotonic milliseconds, the latest 100,000.
        coding_ms: time that each of them took from capture to packet, milliseconds.
        capture_span_s: seconds from the first to the last frame that the source gave.
    """

    frames_captured: int
    frames_dropped: int
    frames_without_face: int
    frames_sent: int
    motion_bytes: int
    references: int
    reference_bytes: int
    sent_times_ms: tuple[int, ...]
    coding_ms: tuple[float, ...]
    capture_span_s: float


def call_sender_config(crop: CropMode) -> SenderConfig:
    """How frames become packets in a call.

    A measurement took 34 to 38 ms beside other work, and coding 10 ms of a frame's 40: the next frame goes out late.
    The demo's median latency at one frame in 25 was 11 ms below that at one in 20 and 17 ms below that at one in 15;
    in calls of 30 s, 20 and 25 were alike in latency, references and PSNR.
    """
    return SenderConfig(tracker=TrackerConfig(mode=crop), closed_loop_interval_frames=_CLOSED_LOOP_FRAMES)


class SendingLoop:
    """Captures, codes and sends until its source ends or it is stopped."""

    def __init__(
        self,
        source: FrameSource,
        sender: Sender,
        send: Callable[[ToTransport], None],
        recording: PictureStore | None = None,
    ) -> None:
        """Prepare; ``start`` begins.

        Args:
            source: where frames come from.
            sender: used by the coding thread alone from here on.
            send: hands a message to the transport; must not block.
            recording: keeps the picture of every frame sent, for measuring.
        """
        self._source = source
        self._sender = sender
        self._send = send
        self._recording = recording
        self._stop = threading.Event()
        self._newest: DropOldestQueue[CapturedFrame] = DropOldestQueue(_NEWEST_FRAMES)
        self._feedback: DropOldestQueue[ReferenceAck | ReferenceRequest] = DropOldestQueue(_FEEDBACK_WAITING)
        self._captured = 0
        self._first_capture_s = self._last_capture_s = 0.0
        self._captured_at = self._loop_closed_at = time.monotonic()
        self._sent = 0
        self._without_face = 0
        self._motion_bytes = 0
        self._references = 0
        self._reference_bytes = 0
        self._times_ms: deque[int] = deque(maxlen=_TIMES_KEPT)
        self._coding_ms: deque[float] = deque(maxlen=_TIMES_KEPT)
        self.failure: Exception | None = None
        self._threads = [
            threading.Thread(target=self._guarded, args=(self._capture,), name="capture", daemon=True),
            threading.Thread(target=self._guarded, args=(self._code,), name="coding", daemon=True),
        ]

    @property
    def frames_sent(self) -> int:
        """Frames that became a motion packet so far."""
        return self._sent

    @property
    def finished(self) -> bool:
        """True when the source has ended and every frame is coded, or something failed."""
        return self.failure is not None or not any(thread.is_alive() for thread in self._threads)

    def start(self) -> None:
        """Begin capturing and coding."""
        self._captured_at = self._loop_closed_at = time.monotonic()
        for thread in self._threads:
            thread.start()

    def feedback(self, message: ReferenceAck | ReferenceRequest) -> None:
        """Take what the receiver says about references; from any thread."""
        self._feedback.put(message)

    def check_source(self, now: float) -> None:
        """Note as a failure that the source is silent: an unplugged camera may just stop."""
        silent = now - self._captured_at
        if silent > _SOURCE_SILENT_S and self._threads[0].is_alive() and self.failure is None:
            self.failure = SourceError(f"the source gave no frame for {silent:.0f} s; is the camera still connected?")

    def stop(self) -> None:
        """Stop both threads; a source that hangs is left behind (its thread is a daemon)."""
        self._stop.set()
        self._newest.close()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(_JOIN_S)

    def report(self) -> SendingReport:
        """What was done so far."""
        return SendingReport(
            frames_captured=self._captured,
            frames_dropped=self._newest.dropped,
            frames_without_face=self._without_face,
            frames_sent=self._sent,
            motion_bytes=self._motion_bytes,
            references=self._references,
            reference_bytes=self._reference_bytes,
            sent_times_ms=tuple(self._times_ms),
            coding_ms=tuple(self._coding_ms),
            capture_span_s=self._last_capture_s - self._first_capture_s,
        )

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - carried over to the thread that owns the call
            self.failure = self.failure or error
            self._stop.set()
        finally:
            self._newest.close()

    def _capture(self) -> None:
        for frame in self._source.frames(self._stop):
            self._first_capture_s = frame.time_s if self._captured == 0 else self._first_capture_s
            self._last_capture_s = frame.time_s
            self._captured += 1
            self._captured_at = time.monotonic()
            self._newest.put(frame)

    def _code(self) -> None:
        while (frame := self._newest.take()) is not None:
            while (message := self._feedback.take(0)) is not None:
                if isinstance(message, ReferenceAck):
                    self._sender.acknowledge_reference(message.slot, message.generation)
                else:
                    self._sender.request_reference()
            output = self._sender.push_frame(frame.image, frame.time_s)
            if output.motion is not None:
                packet = output.motion.pack()
                self._send(SendMotion(packet))
                self._sent += 1
                self._motion_bytes += len(packet)
                self._times_ms.append(round(frame.time_s * 1000))
                self._coding_ms.append((time.monotonic() - frame.time_s) * 1000)
                if self._recording is not None and output.picture is not None:
                    self._recording.add(output.picture, round(frame.time_s * 1000))
            if output.reference is not None:
                data = output.reference.pack()
                self._send(SendReference(data))
                self._references += 1
                self._reference_bytes += len(data)
            self._without_face += not output.face_found
            self._close_loop()

    def _close_loop(self) -> None:
        """Let the sender rebuild a frame while none waits; on a machine that never catches up, once a second."""
        now = time.monotonic()
        if len(self._newest) == 0 or now - self._loop_closed_at >= _CLOSED_LOOP_OVERDUE_S:
            self._loop_closed_at = now
            self._sender.close_loop()
