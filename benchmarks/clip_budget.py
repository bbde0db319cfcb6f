"""Spends the bytes of a clip over its length: the counterpart of the quality search that ordinary encoders get."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.offline_line import WireBytes, reference_wire_bytes
from benchmarks.wire_rate_search import RateTarget
from sender.rate_plan import DEFAULT_MOTION_QUALITY, RatePlan
from sender.wire_cost import datagram_bytes

_REFERENCE_STEP_BPS = 100.0
_EXPECTED_FRAME_BYTES = 9
_EXPECTED_MESSAGE_BYTES = 7
_MEASURED_AFTER_S = 1.0
_PIECE_BYTES = 250  # of an ordinary reference of some 500 bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipBudgetConfig:
    """What a clip may take, and how motion is sent."""

    target: RateTarget
    """Mean wire rate over the clip."""
    seconds: float
    """Length of the clip."""
    frame_rate: float
    """Frames/s."""
    start: float = 0.0
    """Capture time of the first frame, seconds."""
    frames_per_message: int = 3
    """1 to 8."""
    motion_quality: int = DEFAULT_MOTION_QUALITY
    """0 (finest) to 15."""


class ClipBudget:
    """Plans as the call goes on: motion at the full frame rate, references evenly from what it leaves of the clip."""

    def __init__(self, config: ClipBudgetConfig) -> None:
        self._config = config
        self._payload_share = _PIECE_BYTES / reference_wire_bytes([_PIECE_BYTES])

    def __call__(self, now: float, wire: WireBytes) -> RatePlan:
        """The plan from `now` on, given what is on the wire so far.

        How much references took already is the sender's own book: its bucket keeps to the mean rate.
        """
        config = self._config
        left_bps = config.target.kbps * 1000 - 8 * self._motion_bytes_per_s(now - config.start, wire)
        if config.target.first_picture_counts:
            left_bps -= 8 * wire.first_picture / config.seconds
        reference_bps = max(0.0, left_bps * self._payload_share)
        return RatePlan(
            frames_per_message=config.frames_per_message,
            motion_quality=config.motion_quality,
            reference_bps=_REFERENCE_STEP_BPS * int(reference_bps / _REFERENCE_STEP_BPS),
        )

    def _motion_bytes_per_s(self, elapsed: float, wire: WireBytes) -> float:
        if elapsed >= _MEASURED_AFTER_S:
            return wire.motion / elapsed
        frames = self._config.frames_per_message
        message = datagram_bytes(_EXPECTED_MESSAGE_BYTES + frames * _EXPECTED_FRAME_BYTES)
        return self._config.frame_rate / frames * message
