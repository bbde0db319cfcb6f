"""Liveness of the path: silence is noticed long before WebRTC notices (pure).

aiortc reports a dead path after 32 s and has no "disconnected" state (docs of its ICE consent checks), so silence
is measured here on every authentic datagram, acknowledgements included. A peer that hears nothing sends a probe,
because any answer, even a transport acknowledgement, proves the path.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class PathQuality(enum.Enum):
    """What silence on the line means to a person."""

    GOOD = "good"
    POOR = "poor"
    RECONNECTING = "reconnecting"
    LOST = "lost"


@dataclass(frozen=True, kw_only=True, slots=True)
class LivenessConfig:
    """Thresholds of silence, in seconds, increasing."""

    probe_s: float = 0.5
    """Silence after which a probe is sent, and the time between probes."""
    poor_s: float = 1.0
    """Silence after which the path is poor."""
    reconnecting_s: float = 3.0
    """Silence after which the path counts as interrupted."""
    lost_s: float = 30.0
    """Silence after which the call is given up; WebRTC's own consent to send ends after about as long."""

    def __post_init__(self) -> None:
        """Check the order of the thresholds.

        Raises:
            ValueError: they do not increase.
        """
        if not 0 < self.probe_s < self.poor_s < self.reconnecting_s < self.lost_s:
            raise ValueError(
                f"liveness thresholds: got {self.probe_s}, {self.poor_s}, {self.reconnecting_s}, {self.lost_s} s, "
                "expected increasing positive numbers"
            )


class Liveness:
    """Turns the time of the last datagram into a quality; the clock is the caller's."""

    def __init__(self, now: float, config: LivenessConfig | None = None) -> None:
        """Start at ``now`` (seconds, monotonic) as if a datagram had just arrived."""
        self.config = config or LivenessConfig()
        self._heard = now
        self._probed = now

    def heard(self, now: float) -> None:
        """Note that an authentic datagram arrived."""
        self._heard = max(self._heard, now)

    def silence(self, now: float) -> float:
        """Seconds since the last datagram."""
        return max(0.0, now - self._heard)

    def quality(self, now: float) -> PathQuality:
        """Judge the silence."""
        silence = self.silence(now)
        if silence >= self.config.lost_s:
            return PathQuality.LOST
        if silence >= self.config.reconnecting_s:
            return PathQuality.RECONNECTING
        return PathQuality.POOR if silence >= self.config.poor_s else PathQuality.GOOD

    def probe_due(self, now: float) -> bool:
        """True when a probe should go out now; counts it as sent."""
        due = self.silence(now) >= self.config.probe_s and now - self._probed >= self.config.probe_s
        if due:
            self._probed = now
        return due
